"""Decide claims, and say in a line each what became of them."""

import time
from collections.abc import Iterator, Sequence

from bitlog2.documents import Document
from bitlog2.names import did_you_mean
from bitlog2.sim import SCHEMES, AttentionConfig

from ...junit import JunitCase, JunitSuite
from .claim import PROVED, REFUTED, UNDECIDED, Answer, Claim, Deadline, Setting

_RESULTS = {PROVED: "proved", REFUTED: "REFUTED", UNDECIDED: "NOT PROVED"}


class Line(Document, frozen=True, kw_only=True):
    """What became of a claim.

    Attributes:
        claim: its name.
        scheme: the scheme that it is about, or "-" where schemes do not differ.
        requirements: ids of SPEC.md.
        over: values that the decision covers.
        by: method of the decision.
        result: "proved", "REFUTED" or "NOT PROVED".
        detail: the counterexample, or what was not decided; empty where it holds.
        seconds: wall time.
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
        """Whether the claim is proved."""
        return self.result == _RESULTS[PROVED]


class Lines(Document, frozen=True, kw_only=True):
    """What became of claims."""

    claims: tuple[Line, ...]

    def suites(self) -> list[JunitSuite]:
        """Return a suite with a case per claim and scheme."""
        cases = [
            JunitCase(
                f"proof.{each.scheme}",
                each.claim,
                each.seconds,
                not each.holds,
                (f"{each.result}: {each.requirements}, over {each.over}", each.detail),
            )
            for each in self.claims
        ]
        return [JunitSuite("proof", cases, sum(case.seconds for case in cases))]


def selected(
    claims: Sequence[Claim], names: Sequence[str] | None, schemes: Sequence[str]
) -> list[tuple[Claim, Setting]]:
    """Return claims with the settings that they are decided for.

    Args:
        claims: all there are.
        names: names of wanted claims; None for all.
        schemes: schemes for the claims that differ by scheme.

    Raises:
        ValueError: a name is not one of the claims'.
    """
    known = [claim.name for claim in claims]
    for name in names or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f"claim must be one of {', '.join(known)}, got {name!r}{hint}")
    wanted = known if names is None else names
    every = {scheme: Setting(AttentionConfig(scheme=scheme)) for scheme in SCHEMES}
    usual = [every[AttentionConfig().scheme], *every.values()]
    return [
        (claim, setting)
        for claim in claims
        if claim.name in wanted
        for setting in (
            _about(claim, [every[scheme] for scheme in schemes])
            if claim.per_scheme
            else _about(claim, usual)[:1]
        )
    ]


def _about(claim: Claim, settings: Sequence[Setting]) -> list[Setting]:
    return [setting for setting in settings if setting.scheme.family in claim.families]


def decide(claim: Claim, setting: Setting, timeout: float) -> Line:
    """Decide a claim.

    Args:
        claim: the claim.
        setting: configuration and RTL that it is about.
        timeout: seconds for the solver, all obligations together.

    Raises:
        ValueError, ToolError: the RTL cannot be read, or a tool is not installed.
    """
    start = time.monotonic()
    deadline = Deadline(timeout)
    answer = _first_not_proved(one.decide(deadline) for one in claim.obligations(setting))
    return Line(
        claim=claim.name,
        scheme=setting.scheme.name if claim.per_scheme else "-",
        requirements=claim.requirements,
        over=claim.over(setting),
        by=claim.by,
        result=_RESULTS[answer.status],
        detail=answer.detail,
        seconds=round(time.monotonic() - start, 2),
    )


def _first_not_proved(answers: Iterator[Answer]) -> Answer:
    """Return the first answer that is no proof; without any answer nothing is proved."""
    answer = Answer(UNDECIDED, "there is nothing to prove")
    for answer in answers:
        if answer.status != PROVED:
            break
    return answer
