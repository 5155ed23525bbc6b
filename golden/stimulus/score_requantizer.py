"""Vectors of the score requantizer: score, M, n and bias to t, one case a word."""

from collections.abc import Sequence

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import score_requantizer
from bitlog2.sim.units import score_requantizer as score_requantizer_unit
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel

from ..words.framing import case_group
from .cases import (
    Sampler,
    any_multipliers,
    check_inputs,
    every_case,
    few,
    near_powers,
    parameter_runs,
    rounding_kind,
    shift_cases,
    shift_points,
)
from .coverage import Coverage, Point, Signals
from .unit import CaseGroup, Progress, Tables, Target, Unit

_NAMES = ("score", "m", "n", "bias")
_RANDOM_CASES = 2048
#: Random cases that share M and n, as the keys of a row do.
_RUN = 16
_Cases = Sequence[tuple[int, int, int, int]]


def _group(reason: str, cases: _Cases) -> CaseGroup:
    return case_group("corners", reason, dict(zip(_NAMES, np.array(cases).T, strict=True)))


def _bound(config: AttentionConfig) -> int:
    return config.registers["score"].bound


def _past_top(config: AttentionConfig) -> tuple[int, int] | None:
    """Return (score, M) with a product past t_max + 1, the largest bias above t_max at most.

    The bound is no power of two (it has the odd factor 2**q_bits - 1), so the first multiple of it
    past t_max + 1 is one.
    """
    past, bound = config.t_max + 2, _bound(config)
    if bound >= past:
        return past, 1
    m = -(-past // bound)
    return (bound, m) if m < 1 << config.m_bits else None


def _corners(target: Target) -> list[CaseGroup]:
    config, bound = target.config, _bound(target.config)
    ranges = (
        (-bound, bound),
        (1, (1 << config.m_bits) - 1),
        (0, config.max_n),
        (config.t_min, config.t_max),
    )
    if few(ranges):
        columns = dict(zip(_NAMES, every_case(ranges), strict=True))
        return [case_group("exhaustive", "every score, M, n and bias", columns)]
    return [*_product_corners(config), *_bias_corners(config)]


def _product_corners(config: AttentionConfig) -> list[CaseGroup]:
    bound, top, largest = _bound(config), (1 << config.m_bits) - 1, config.max_n
    return [
        _group(
            "every n: ties of both signs, just below a tie, neither",
            [(score, m, n, 0) for score, m, n in shift_cases(bound, config.m_bits, largest)],
        ),
        _group(
            "scores at powers of two and their neighbours; M and n at their limits",
            [
                (score, m, n, 0)
                for m in (1, top)
                for n in sorted({0, largest // 2, largest})
                for score in near_powers(-bound, bound)
            ],
        ),
        _group(
            "M at powers of two and their neighbours, for every n; scores at both bounds",
            [
                (score, m, n, 0)
                for n in range(largest + 1)
                for m in near_powers(1, top)
                for score in (bound, -bound)
            ],
        ),
    ]


def _bias_corners(config: AttentionConfig) -> list[CaseGroup]:
    bound, past = _bound(config), _past_top(config)
    groups = [
        _group(
            "bias at powers of two and their neighbours",
            [
                (score, 1, 0, bias)
                for bias in near_powers(config.t_min, config.t_max)
                for score in (0, 1, -1, bound, -bound)
            ],
        ),
        _group("t at its limits, one inside and one past them", _limits(config)),
    ]
    if past is not None:
        groups.append(
            _group(
                "past a limit of t, brought back by the bias: no saturation between the two",
                [(past[0], past[1], 0, config.t_min), (-past[0], past[1], 0, config.t_max)],
            )
        )
    return groups


def _limits(config: AttentionConfig) -> _Cases:
    scores = set(range(-2, 3)) | {_bound(config), -_bound(config)}
    return [
        (score, 1, 0, limit - score + step)
        for limit in (config.t_min, config.t_max)
        for score in sorted(scores)
        for step in (-1, 0, 1)
        if config.t_min <= limit - score + step <= config.t_max
    ]


def _random(target: Target, seed: int, cases: int | None) -> list[CaseGroup]:
    config, count = target.config, _RANDOM_CASES if cases is None else cases
    sampler, bound = Sampler(seed, "score_requantizer.random"), _bound(config)
    runs = -(-count // _RUN)
    octaves = sampler.integers(0, config.m_bits - 1, runs)
    m = np.repeat(any_multipliers(sampler, octaves), _RUN)[:count]
    n = np.repeat(sampler.integers(0, config.max_n, runs), _RUN)[:count]
    score = sampler.integers(-bound, bound, count)
    spread = sampler.below_power(sampler.integers(0, config.t_bits - 1, count))
    bias = np.where(sampler.integers(0, 1, count) == 1, spread, -spread)
    bias[::2] = 0
    columns = dict(zip(_NAMES, (score, m, n, bias), strict=True))
    return [case_group("random", "score, M, n and bias drawn, every second bias 0", columns)]


def _stimulus(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    return _corners(target) if source == "corners" else _random(target, seed, cases)


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    score, m, n, bias = (columns[name] for name in _NAMES)
    check_inputs(score_requantizer_unit.SCORE_REQUANTIZER, config, inputs)
    t = np.empty(len(score), np.int32)
    narrow_score, narrow_bias = score.astype(np.int32), bias.astype(np.int32)
    for (each_m, each_n), run in parameter_runs(m, n):
        layer = layer_constants(config, LayerParams(m=each_m, n=each_n, m2=1, n2=0))
        found = np.empty(len(run), np.int32)
        score_requantizer_kernel(narrow_score[run], narrow_bias[run], layer, found)
        t[run] = found
    return {"expected": {"t": t.astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    columns = [inputs["stimulus"][name].tolist() for name in _NAMES]
    cases = list(zip(*columns, strict=True))
    t = [
        score_requantizer(score, m, n, bias, target.config)
        for score, m, n, bias in progress(cases, "score_requantizer: specification", len(cases))
    ]
    return {"expected": {"t": np.array(t, np.int64)}}


def _points(target: Target) -> list[Point]:
    config, bound = target.config, _bound(target.config)
    beyond = _past_top(config) is not None
    return [
        *shift_points("n", "BL2-REQ-01", bound, config.m_bits, config.max_n),
        Point("m_smallest", "BL2-PARAM-02", "m", 1),
        Point("m_largest", "BL2-PARAM-02", "m", (1 << config.m_bits) - 1),
        Point("score_bound_low", "BL2-SCORE-02", "score", -bound),
        Point("score_bound_high", "BL2-SCORE-02", "score", bound),
        Point("score_zero", "BL2-REQ-01", "score", 0),
        Point("bias_smallest", "BL2-REQ-03", "bias", config.t_min),
        Point("bias_largest", "BL2-REQ-03", "bias", config.t_max),
        Point("bias_zero", "BL2-REQ-03", "bias", 0),
        Point("t_inside_bottom", "BL2-REQ-02", "sum", config.t_min + 1),
        Point("t_at_bottom", "BL2-REQ-02", "sum", config.t_min),
        Point("t_past_bottom", "BL2-REQ-02", "sum", config.t_min - 1),
        Point("t_inside_top", "BL2-REQ-02", "sum", config.t_max - 1),
        Point("t_at_top", "BL2-REQ-02", "sum", config.t_max),
        Point("t_past_top", "BL2-REQ-02", "sum", config.t_max + 1),
        Point("t_past_bottom_before_bias", "BL2-REQ-02", "back_up", reachable=beyond),
        Point("t_past_top_before_bias", "BL2-REQ-02", "back_down", reachable=beyond),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    config, columns = target.config, tables["stimulus"]
    score, m, n, bias = (columns[name] for name in _NAMES)
    product = score * m
    rounded = (product + ((np.int64(1) << n) >> np.int64(1))) >> n
    total = rounded + bias
    inside = (total >= config.t_min) & (total <= config.t_max)
    return {
        **{name: columns[name] for name in _NAMES},
        "rounding": rounding_kind(product, n),
        "sum": total,
        "back_up": inside & (rounded < config.t_min),
        "back_down": inside & (rounded > config.t_max),
    }


_COVERAGE = Coverage(_points, _signals)

SCORE_REQUANTIZER = Unit(
    declared=score_requantizer_unit.SCORE_REQUANTIZER,
    stimulus=_stimulus,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
