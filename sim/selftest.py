"""Known answers: the specification and the kernels against a file of registers fixed once."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from . import spec
from .config import AttentionConfig, LayerParams, config_from_mapping
from .heads import AttentionTrace, attention, attention_from_scores
from .kernel.constants import layer_constants, scheme_constants
from .registers import REGISTERS, registers_of
from .scheme import SCHEMES
from .units.distance_quantizer import distance_quantizer_kernel
from .units.exp2 import exp2_kernel
from .units.log2_quantizer import log2_quantizer_kernel
from .units.output_requantizer import output_requantizer_kernel
from .units.row_multiplier import row_multiplier_kernel
from .units.score_requantizer import score_requantizer_kernel

#: Mismatches that a report prints.
_SHOWN = 10

#: Implementations by name, each with what it answers.
Answers = Iterator[tuple[str, list[int]]]


@dataclass(frozen=True)
class AnswerMismatch:
    """One value that differs from its known answer.

    Attributes:
        unit: the register.
        case: name of the row or of the point list.
        implementation: "spec", "kernel", or "kernel from scores".
        key: index in the register: key, output channel or point; 0 for a value of the whole row.
        expected, actual: None where the value is missing.
        bits: width of the register, for the hexadecimal digits.
    """

    unit: str
    case: str
    implementation: str
    key: int
    expected: int | None
    actual: int | None
    bits: int

    def __str__(self) -> str:
        """Return one line: where, then expected and actual, hexadecimal and decimal."""
        return (
            f"{self.unit}: case {self.case}, {self.implementation}, key {self.key}: "
            f"expected {self._shown(self.expected)}, got {self._shown(self.actual)}"
        )

    def _shown(self, value: int | None) -> str:
        if value is None:
            return "nothing"
        return f"0x{value & ((1 << self.bits) - 1):0{(self.bits + 3) // 4}x} ({value})"


@dataclass
class SelfTestReport:
    """Result of a self-test: values compared, by register, and mismatches."""

    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    mismatches: list[AnswerMismatch] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of values compared."""
        return sum(self.compared.values())

    @property
    def passed(self) -> bool:
        """Whether every register was compared and none differed."""
        return not self.mismatches and all(self.compared.values())

    def __str__(self) -> str:
        """Return what was compared, then the first mismatches and their count."""
        counts = ", ".join(f"{name} {count}" for name, count in self.compared.items())
        lines = [f"{self.total} values compared: {counts}"]
        lines += [str(mismatch) for mismatch in self.mismatches[:_SHOWN]]
        if len(self.mismatches) > _SHOWN:
            lines.append(f"... and {len(self.mismatches) - _SHOWN} more")
        never = [name for name, count in self.compared.items() if count == 0]
        lines += [f"never compared: {', '.join(never)}"] if never else []
        lines.append("all agree" if self.passed else f"FAILED: {len(self.mismatches)} mismatches")
        return "\n".join(lines)

    def compare(
        self,
        unit: str,
        case: str,
        implementation: str,
        expected: list[int],
        actual: list[int],
        bits: int,
    ) -> None:
        """Count the values of `expected`, and keep what differs, missing and surplus included."""
        self.compared[unit] += len(expected)
        for key in range(max(len(expected), len(actual))):
            want = expected[key] if key < len(expected) else None
            got = actual[key] if key < len(actual) else None
            if want != got:
                self.mismatches.append(
                    AnswerMismatch(unit, case, implementation, key, want, got, bits)
                )


@lru_cache(maxsize=1)
def _text() -> str:
    return files(__package__).joinpath("known_answers.json").read_text(encoding="utf-8")


def load_known_answers() -> dict[str, Any]:
    """Return a fresh copy of the known answers that ship with the package."""
    answers: dict[str, Any] = json.loads(_text())
    return answers


def selftest(answers: Mapping[str, Any] | None = None) -> SelfTestReport:
    """Run the specification and the kernels over the known answers.

    Args:
        answers: as `load_known_answers()`, which is what None stands for.

    Returns:
        The report; `passed` says whether everything was compared and agreed.
    """
    answers = load_known_answers() if answers is None else answers
    report = SelfTestReport()
    for case in answers["rows"]:
        _compare_row(report, case)
    for unit, runner in _POINT_RUNNERS.items():
        for case in answers[unit]:
            config = config_from_mapping(case["config"])
            register, expected = _ANSWER_OF[unit], case[_ANSWER_OF[unit]]
            for implementation, actual in runner(case, config):
                report.compare(
                    register,
                    f"{unit}/{case['name']}",
                    implementation,
                    expected,
                    actual,
                    config.width(register),
                )
    return report


def _compare_row(report: SelfTestReport, case: Mapping[str, Any]) -> None:
    config, params = config_from_mapping(case["config"]), LayerParams(**case["params"])
    masked, bias = [bool(flag) for flag in case["masked"]], case["bias"]
    expected = case["registers"]
    row = spec.attention_row(case["q"], case["k"], case["v"], params, config, masked, bias)
    arrays: dict[str, Any] = {"masked": np.array([[masked]]), "bias": np.array([[bias]])}
    v = np.array([case["v"]])
    traces = {
        "spec": row,
        "kernel": attention(
            np.array([[case["q"]]]), np.array([case["k"]]), v, params, config, trace=True, **arrays
        ),
        "kernel from scores": attention_from_scores(
            np.array([[expected["score"]]]), v, params, config, trace=True, **arrays
        ),
    }
    for implementation, trace in traces.items():
        for name in registers_of(config.code.family):
            actual = _values(getattr(trace, name), isinstance(trace, AttentionTrace))
            want = expected[name] if isinstance(expected[name], list) else [expected[name]]
            report.compare(name, case["name"], implementation, want, actual, config.width(name))


def _values(register: Any, batched: bool) -> list[int]:
    if batched:
        return [int(value) for value in register[0].reshape(-1)]
    return register if isinstance(register, list) else [register]


def _log2_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    pairs = list(zip(case["e"], case["s"], strict=True))
    scheme = SCHEMES[config.scheme]
    yield "spec, dividing", [spec.log2_quantizer(e, s, scheme) for e, s in pairs]
    yield "spec, comparing", [spec.log2_quantizer_comparing(e, s, scheme) for e, s in pairs]
    yield "spec, counting", [spec.log2_quantizer_counting(e, s, scheme) for e, s in pairs]
    level, scratch = np.zeros(len(pairs), np.uint8), np.empty((3, len(pairs)), np.int32)
    constants = layer_constants(config, LayerParams(1, 0, 1, 0)), scheme_constants(scheme)
    e, s = np.array(case["e"], np.int32), np.array(case["s"], np.int64)
    log2_quantizer_kernel(e, s, *constants, scratch, level)
    yield "kernel", level.tolist()


def _exp2_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    d, masked = case["d"], [bool(flag) for flag in case["masked"]]
    yield "spec", [spec.exp2(a, b, config) for a, b in zip(d, masked, strict=True)]
    e = np.empty(len(d), np.int32)
    layer = layer_constants(config, LayerParams(1, 0, 1, 0))
    exp2_kernel(np.array(d, np.int32), np.array(masked, np.uint8), layer, e)
    yield "kernel", e.tolist()


def _distance_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    d, masked = case["d"], [bool(flag) for flag in case["masked"]]
    yield "spec", [spec.distance_quantizer(a, b, config) for a, b in zip(d, masked, strict=True)]
    level, layer = np.empty(len(d), np.uint8), layer_constants(config, LayerParams(1, 0, 1, 0))
    shown = [config.d_max + 1 if hidden else each for each, hidden in zip(d, masked, strict=True)]
    scheme = scheme_constants(config.code)
    distance_quantizer_kernel(np.array(shown, np.int16), layer.steps, scheme, level)
    yield "kernel", level.tolist()


def _multiplier_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    """M2 of the row; its n2 is compared in rows."""
    sums, m2, n2 = case["weight_sum"], case["m2"], case["n2"]
    yield "spec", [spec.row_multiplier(w, m2, n2)[0] for w in sums]
    layer = layer_constants(config, LayerParams(1, 0, m2, n2))
    found = np.empty((2, len(sums)), np.int64)
    row_multiplier_kernel(np.array(sums), layer, *found)
    yield "kernel", found[0].tolist()


def _score_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    params = LayerParams(case["m"], case["n"], 1, 0)
    pairs = zip(case["score"], case["bias"], strict=True)
    yield "spec", [spec.score_requantizer(s, params.m, params.n, b, config) for s, b in pairs]
    t = np.empty(len(case["score"]), np.int32)
    score, bias = np.array(case["score"], np.int32), np.array(case["bias"], np.int32)
    score_requantizer_kernel(score, bias, layer_constants(config, params), t)
    yield "kernel", t.tolist()


def _output_points(case: Mapping[str, Any], config: AttentionConfig) -> Answers:
    params = LayerParams(1, 0, case["m2"], case["n2"], zo=case["zo"])
    yield (
        "spec",
        [
            spec.output_requantizer(acc, params.m2, params.n2, params.zo, config)
            for acc in case["acc"]
        ],
    )
    o = np.empty(len(case["acc"]), np.uint8)
    acc, layer = np.array(case["acc"], np.int32), layer_constants(config, params)
    output_requantizer_kernel(acc, params.m2, params.n2, layer, o)
    yield "kernel", o.tolist()


_POINT_RUNNERS: dict[str, Callable[[Mapping[str, Any], AttentionConfig], Answers]] = {
    "score_requantizer": _score_points,
    "exp2": _exp2_points,
    "log2_quantizer": _log2_points,
    "distance_quantizer": _distance_points,
    "row_multiplier": _multiplier_points,
    "output_requantizer": _output_points,
}
#: The register whose answers each list of points holds.
_ANSWER_OF = {
    "score_requantizer": "t",
    "exp2": "e",
    "log2_quantizer": "level",
    "distance_quantizer": "level",
    "row_multiplier": "m2_row",
    "output_requantizer": "o",
}
