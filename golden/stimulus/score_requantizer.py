"""Vectors of the score requantizer: score, M, n and bias to t, one case a word."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import score_requantizer
from bitlog2.sim.units import score_requantizer as score_requantizer_unit
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel

from .cases import (
    any_multipliers,
    every_group,
    listed_group,
    near_powers,
    parameter_runs,
    product_corners,
    rounded,
    rounding_kind,
    shift_points,
)
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    Point,
    Progress,
    Signals,
    Specified,
    Tables,
    Target,
    bounds,
    case_group,
    ends,
)

_NAMES = ("score", "m", "n", "bias")
#: Random cases that share M and n, as the keys of a row do.
_RUN = 16
_Case = tuple[int, int, int, int]


def _past_top(config: AttentionConfig) -> tuple[int, int] | None:
    """Return (score, M) with a product past t_max + 1, the largest bias above t_max at most.

    The bound is no power of two (it has the odd factor 2**q_bits - 1), so the first multiple of it
    past t_max + 1 is one.
    """
    past, bound = config.t_max + 2, config.registers["score"].bound
    if bound >= past:
        return past, 1
    m = -(-past // bound)
    return (bound, m) if m < 1 << config.m_bits else None


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    groups = every_group(config, _NAMES, "every score, M, n and bias")
    if groups:
        return groups
    return [
        *product_corners(config, _NAMES, "scores", 0),
        listed_group("bias at powers of two and their neighbours", _NAMES, _biases(config)),
        listed_group("t at its limits, one inside and one past them", _NAMES, _limits(config)),
        *_brought_back(config),
    ]


def _biases(config: AttentionConfig) -> Iterator[_Case]:
    low, high = config.ports["score"].limits(config)
    for bias, score in product(near_powers(config.t_min, config.t_max), (0, 1, -1, high, low)):
        yield score, 1, 0, bias


def _brought_back(config: AttentionConfig) -> Iterator[CaseGroup]:
    if (past := _past_top(config)) is not None:
        score, m = past
        reason = "past a limit of t, brought back by the bias: no saturation between the two"
        cases = [(score, m, 0, config.t_min), (-score, m, 0, config.t_max)]
        yield listed_group(reason, _NAMES, cases)


def _limits(config: AttentionConfig) -> Iterator[_Case]:
    scores = sorted({*range(-2, 3), *config.ports["score"].limits(config)})
    for limit, score, step in product((config.t_min, config.t_max), scores, (-1, 0, 1)):
        bias = limit - score + step
        if config.t_min <= bias <= config.t_max:
            yield score, 1, 0, bias


def _random(target: Target, sampler: Sampler, count: int) -> list[CaseGroup]:
    config, runs = target.config, -(-count // _RUN)
    octaves = sampler.integers(0, config.m_bits - 1, runs)
    m = np.repeat(any_multipliers(sampler, octaves), _RUN)[:count]
    n = np.repeat(sampler.integers(0, config.max_n, runs), _RUN)[:count]
    score = sampler.integers(*config.ports["score"].limits(config), count)
    spread = sampler.below_power(sampler.integers(0, config.t_bits - 1, count))
    bias = np.where(sampler.integers(0, 1, count) == 1, spread, -spread)
    bias[::2] = 0
    columns = dict(zip(_NAMES, (score, m, n, bias), strict=True))
    return [case_group("random", "score, M, n and bias drawn, every second bias 0", columns)]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    score, m, n, bias = (columns[name] for name in _NAMES)
    t = np.empty(len(score), np.int32)
    narrow_score, narrow_bias = score.astype(np.int32), bias.astype(np.int32)
    for (each_m, each_n), run in parameter_runs(m, n):
        layer = layer_constants(config, LayerParams(m=each_m, n=each_n, m2=1, n2=0))
        found = np.empty(len(run), np.int32)
        score_requantizer_kernel(narrow_score[run], narrow_bias[run], layer, found)
        t[run] = found
    return {"expected": {"t": t.astype(np.int64)}}


def _points(target: Target) -> list[Point]:
    config, bound = target.config, target.config.registers["score"].bound
    beyond = _past_top(config) is not None
    return [
        *shift_points("n", "BL2-REQ-01", bound, config.m_bits, config.max_n),
        *ends(config, "BL2-PARAM-02", "m"),
        *bounds(config, "BL2-SCORE-02", "score"),
        Point("score_zero", "BL2-REQ-01", "score", 0),
        *ends(config, "BL2-REQ-03", "bias"),
        Point("bias_zero", "BL2-REQ-03", "bias", 0),
        Point("t_inside_bottom", "BL2-REQ-02", "sum", config.t_min + 1),
        Point("t_at_bottom", "BL2-REQ-02", "sum", config.t_min),
        Point("t_past_bottom", "BL2-REQ-02", "sum", config.t_min - 1),
        Point("t_inside_top", "BL2-REQ-02", "sum", config.t_max - 1),
        Point("t_at_top", "BL2-REQ-02", "sum", config.t_max),
        Point("t_past_top", "BL2-REQ-02", "sum", config.t_max + 1),
        Point("t_past_bottom_before_bias", "BL2-REQ-02", reachable=beyond),
        Point("t_past_top_before_bias", "BL2-REQ-02", reachable=beyond),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    config, columns = target.config, tables["stimulus"]
    score, m, n, bias = (columns[name] for name in _NAMES)
    products = score * m
    before_bias = rounded(products, n)
    total = before_bias + bias
    inside = (total >= config.t_min) & (total <= config.t_max)
    return {
        **{name: columns[name] for name in _NAMES},
        "rounding": rounding_kind(products, n),
        "sum": total,
        "t_past_bottom_before_bias": inside & (before_bias < config.t_min),
        "t_past_top_before_bias": inside & (before_bias > config.t_max),
    }


SCORE_REQUANTIZER = GoldenUnit(
    declared=score_requantizer_unit.SCORE_REQUANTIZER,
    corners=_corners,
    random=_random,
    random_cases=2048,
    kernels=_simulate,
    specify=Specified(score_requantizer_unit.SCORE_REQUANTIZER, "t", score_requantizer, _NAMES),
    points=_points,
    signals=_signals,
)
