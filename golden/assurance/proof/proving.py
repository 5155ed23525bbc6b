"""Decide claims, and say in a line each what became of them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitlog2.sim import AttentionConfig

from .claim import (
    EXHAUSTION,
    PROVED,
    REFUTED,
    UNDECIDED,
    Answer,
    Claim,
    Deadline,
    Holds,
    Setting,
    exhausted,
)

__all__ = ["REDUCED", "Line", "decide", "reduced_config", "selected"]

#: The result of a claim that was tried with every value at reduced widths.
REDUCED = "exhausted at reduced width"
_RESULTS = {PROVED: "proved", REFUTED: "REFUTED", UNDECIDED: "NOT PROVED"}


@dataclass(frozen=True)
class Line:
    """What became of a claim.

    Attributes:
        claim: its name.
        scheme: the scheme that it is about, or "-" where schemes do not differ.
        requirements: ids of SPEC.md.
        over: over what it was decided.
        by: by what.
        result: "proved", "exhausted at reduced width", "REFUTED" or "NOT PROVED".
        detail: the counterexample, or what was not decided; empty where it holds.
        seconds: how long it took.
    """

    claim: str
    scheme: str
    requirements: str
    over: str
    by: str
    result: str
    detail: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the claim is proved, or exhausted at the widths that the line gives."""
        return self.result in (_RESULTS[PROVED], REDUCED)

    def as_dict(self) -> dict[str, Any]:
        """Return the line by field."""
        return asdict(self)


def selected(
    claims: Sequence[Claim], names: Sequence[str] | None, schemes: Sequence[str]
) -> list[tuple[Claim, Setting]]:
    """Return claims with the settings that they are decided for.

    Args:
        claims: all there are.
        names: of those that are wanted; None means all.
        schemes: of the claims that differ by scheme.

    Raises:
        ValueError: a name is not one of the claims'.
    """
    known = [claim.name for claim in claims]
    for name in names or ():
        if name not in known:
            raise ValueError(f"claim must be one of {', '.join(known)}, got {name!r}")
    wanted = known if names is None else names
    settings = {scheme: Setting(AttentionConfig(scheme=scheme)) for scheme in schemes}
    usual = Setting(AttentionConfig())
    return [
        (claim, setting)
        for claim in claims
        if claim.name in wanted
        for setting in (settings.values() if claim.per_scheme else [usual])
    ]


def decide(claim: Claim, setting: Setting, timeout: float) -> Line:
    """Decide a claim.

    Where the solver does not come to an end and the claim can be reduced, every value is tried on
    a reduced configuration of the same scheme, and the line is about that one.

    Args:
        claim: what is claimed.
        setting: of what.
        timeout: seconds for the solver, all obligations together.

    Raises:
        OSError, ToolError: the RTL cannot be read, or a tool is not installed.
    """
    start = time.monotonic()
    answer = _answer(claim, setting, Deadline(timeout))
    over, by, result = claim.over(setting), claim.by, _RESULTS[answer.status]
    if answer.status == UNDECIDED and claim.reducible:
        small = Setting(reduced_config(setting.config), setting.rtl)
        tried = _tried(claim, small)
        if tried.status != UNDECIDED:
            over = claim.over(small).replace("full width", "reduced width")
            by = EXHAUSTION
            result = REDUCED if tried.status == PROVED else _RESULTS[REFUTED]
            answer = tried
    return Line(
        claim.name,
        setting.scheme.name if claim.per_scheme else "-",
        claim.requirements,
        over,
        by,
        result,
        answer.detail,
        round(time.monotonic() - start, 2),
    )


def reduced_config(config: AttentionConfig) -> AttentionConfig:
    """Return a configuration of the same scheme whose units have few input bits."""
    return AttentionConfig(
        scheme=config.scheme,
        q_bits=2,
        k_bits=2,
        v_bits=2,
        o_bits=2,
        max_head_dim=1,
        max_tokens=8,
        fraction_bits=2,
        table_bits=7,
        distance_int_bits=4,
        m_bits=4,
        max_n=4,
        m2_bits=4,
        max_n2=4,
        t_bits=8,
    )


def _answer(claim: Claim, setting: Setting, deadline: Deadline) -> Answer:
    answers = (one.decide(deadline) for one in claim.obligations(setting))
    return _first_not_proved(answers)


def _tried(claim: Claim, setting: Setting) -> Answer:
    return _first_not_proved(
        exhausted(one) if isinstance(one, Holds) else Answer(UNDECIDED, one.what)
        for one in claim.obligations(setting)
    )


def _first_not_proved(answers: Iterator[Answer]) -> Answer:
    """Return the first answer that is no proof; without any answer nothing is proved."""
    answer = Answer(UNDECIDED, "there is nothing to prove")
    for answer in answers:
        if answer.status != PROVED:
            break
    return answer
