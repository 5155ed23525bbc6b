"""Vectors of the row multiplier of RowMax: weight sum, M2 and n2 to those of the row."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import row_multiplier
from bitlog2.sim.units import row_multiplier as row_multiplier_unit
from bitlog2.sim.units.row_multiplier import row_multiplier_kernel

from .cases import any_multipliers, listed_group, near_powers
from .sampler import Sampler
from .unit import CaseGroup, GoldenUnit, Point, Progress, Signals, Tables, Target, case_group, ends

_NAMES = ("weight_sum", "m2", "n2")
#: Weight sums that are tried for a quotient next to a half.
_TRIED = 4096


def _weights(config: AttentionConfig) -> list[int]:
    low, high = config.code.int_max, config.largest_weight
    near = {each for each in near_powers(low, high) if low <= each <= high}
    three = {3 << k for k in range(low.bit_length(), high.bit_length())}
    return sorted(near | {each for each in three if low <= each <= high})


@lru_cache(maxsize=16)
def _next_to_half(config: AttentionConfig, side: int) -> tuple[int, int] | None:
    """Return (w, m2) with the quotient's remainder next to w / 2, above it for side = 1.

    w is odd, and m2 * 2**(k + 1) = side modulo w.
    """
    low, high = config.code.int_max, min(config.largest_weight, config.code.int_max + _TRIED)
    for w in range(low | 1, high + 1, 2):
        m2 = side * pow(1 << w.bit_length(), -1, w) % w
        if 1 <= m2 < 1 << config.m2_bits:
            return w, m2
    return None


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    return [
        listed_group(reason, _NAMES, list(cases))
        for reason, cases in (
            (
                "weight sums at powers of two, their 1.5-fold and next to them; M2 likewise",
                _products(config),
            ),
            ("every n2, the weight sum at its limits", _shifts(config)),
            ("a quotient next to a half, below and above it", _halves(config)),
        )
        if cases
    ]


def _products(config: AttentionConfig) -> list[tuple[int, int, int]]:
    n2 = config.max_layer_n2 // 2
    multipliers = near_powers(1, (1 << config.m2_bits) - 1)
    return [(w, m2, n2) for w in _weights(config) for m2 in multipliers]


def _shifts(config: AttentionConfig) -> list[tuple[int, int, int]]:
    limits, m2 = (config.code.int_max, config.largest_weight), 1 << (config.m2_bits - 1)
    return [(w, m2, n2) for w in limits for n2 in range(config.max_layer_n2 + 1)]


def _halves(config: AttentionConfig) -> list[tuple[int, int, int]]:
    found = (_next_to_half(config, side) for side in (-1, 1))
    return [(*each, config.max_layer_n2) for each in found if each is not None]


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    config = target.config
    low, high = config.code.int_max, config.largest_weight
    octaves = sampler.integers(low.bit_length() - 1, high.bit_length() - 1, cases)
    weight_sum = np.clip(any_multipliers(sampler, octaves), low, high)
    m2 = any_multipliers(sampler, sampler.integers(0, config.m2_bits - 1, cases))
    n2 = sampler.integers(0, config.max_layer_n2, cases)
    columns = dict(zip(_NAMES, (weight_sum, m2, n2), strict=True))
    return [case_group("random", "weight sum and M2 drawn by octaves, and n2", columns)]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    columns = (inputs["stimulus"][name].tolist() for name in _NAMES)
    found = []
    for weight_sum, m2, n2 in zip(*columns, strict=True):
        layer = layer_constants(target.config, LayerParams(m=1, n=0, m2=m2, n2=n2))
        row = np.array([weight_sum]), *np.empty((2, 1), np.int64)
        row_multiplier_kernel(row[0], layer, *row[1:])
        found.append(row[1:])
    m2_row, n2_row = np.array(found, np.int64)[:, :, 0].T
    return {"expected": {"m2_row": m2_row, "n2_row": n2_row}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    cases = list(zip(*(inputs["stimulus"][name].tolist() for name in _NAMES), strict=True))
    label = "row_multiplier: specification"
    found = [row_multiplier(*case) for case in progress(cases, label, len(cases))]
    m2_row, n2_row = np.array(found, np.int64).T
    return {"expected": {"m2_row": m2_row, "n2_row": n2_row}}


def _octaves(config: AttentionConfig) -> Iterator[tuple[str, int, bool]]:
    low, high = config.code.int_max, config.largest_weight
    for k in range(low.bit_length() - 1, high.bit_length()):
        for step, name in ((-1, "below"), (0, "at"), (1, "above")):
            w = (1 << k) + step
            yield f"weight_sum_power_{k}_{name}", w, low <= w <= high


def _points(target: Target) -> list[Point]:
    config = target.config
    several = config.max_tokens >= 2
    halves = {side: _next_to_half(config, side) is not None for side in (-1, 1)}
    return [
        *(Point(name, "BL2-ROWMUL-01", "weight_sum", w, ok) for name, w, ok in _octaves(config)),
        *(Point(f"n2_{n2}", "BL2-ROWMUL-01", "n2", n2) for n2 in range(config.max_layer_n2 + 1)),
        *ends(config, "BL2-PARAM-02", "m2"),
        Point("n2_row_largest", "BL2-ROWMUL-02", "n2_row", config.max_n2),
        Point("m2_row_is_m2", "BL2-ROWMUL-02", "kept", 1),
        Point("exact", "BL2-ROWMUL-01", "rounding", 0),
        Point("rounded_down", "BL2-ROWMUL-01", "rounding", 1, several),
        Point("rounded_up", "BL2-ROWMUL-01", "rounding", 2, several),
        Point("just_below_half", "BL2-ROWMUL-01", "past_half", -1, halves[-1]),
        Point("just_above_half", "BL2-ROWMUL-01", "past_half", 1, halves[1]),
    ]


def _lod(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1


def _signals(target: Target, tables: Tables) -> Signals:
    columns, made = tables["stimulus"], tables["expected"]
    w, m2 = columns["weight_sum"], columns["m2"]
    rest = (m2 << _lod(w)) % w
    return {
        "weight_sum": w,
        "m2": m2,
        "n2": columns["n2"],
        "n2_row": made["n2_row"],
        "kept": made["m2_row"] == m2,
        "rounding": np.where(rest == 0, 0, np.where(2 * rest < w, 1, 2)),
        "past_half": 2 * rest - w,
    }


ROW_MULTIPLIER = GoldenUnit(
    declared=row_multiplier_unit.ROW_MULTIPLIER,
    corners=_corners,
    random=_random,
    random_cases=1024,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
