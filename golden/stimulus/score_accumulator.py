"""Vectors of the score accumulator: the channels of a query and a key to their score.

A case is one query and one key, a channel is a beat. D changes from case to case and the number of
lanes is the device's own affair: so a device of L lanes takes L beats at a time, up to the last.
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import score_accumulator
from bitlog2.sim.units import score_accumulator as score_accumulator_unit
from bitlog2.sim.units.score_accumulator import score_accumulator_kernel

from ..words.framing import row_lengths, row_slices, sums_of_rows
from .cases import EXHAUSTIVE
from .sampler import Sampler
from .unit import (
    CaseGroup,
    GoldenUnit,
    Point,
    Progress,
    Row,
    Signals,
    Specified,
    Tables,
    Target,
    bounds,
    ends,
    row_groups,
)


def _pair(q: np.ndarray, k: np.ndarray, zq: int, zk: int) -> Row:
    """Return the codes of a query and a key (D,), and their zero points."""
    return {"q": q, "k": k, "zq": zq, "zk": zk}


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    rows_of = {
        "scores at both bounds, of either sign of q and k": _bounds(config),
        "one channel at a bound, in every place": _one_channel(config),
        "every D from 1 to 33, and the largest": _lengths(config, sampler),
        "channels that cancel": _cancelling(config),
    }
    groups = row_groups("corners", rows_of)
    if 1 << 2 * (config.q_bits + config.k_bits) <= EXHAUSTIVE:
        reason = "every q, zq and zk, with every k in the channels"
        groups += row_groups("exhaustive", {reason: _every_code(config)})
    return groups


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    rows = (_drawn(target.config, sampler) for _ in range(cases))
    return row_groups("random", {"D, codes and zero points drawn": rows})


def _tops(config: AttentionConfig) -> tuple[int, int]:
    return (1 << config.q_bits) - 1, (1 << config.k_bits) - 1


def _corner(config: AttentionConfig, channels: int, q_side: int, k_side: int) -> Row:
    """Return codes at their zero point (side 0), or as far above (1) or below (-1) as they go."""
    q_top, k_top = _tops(config)
    return _pair(
        np.full(channels, q_top if q_side >= 0 else 0),
        np.full(channels, k_top if k_side >= 0 else 0),
        0 if q_side == 1 else q_top,
        0 if k_side == 1 else k_top,
    )


def _bounds(config: AttentionConfig) -> Iterable[Row]:
    most = config.max_head_dim
    for channels in sorted({each for each in (1, 2, 3, 64, most) if each <= most}):
        for q_side, k_side in product((-1, 0, 1), repeat=2):
            yield _corner(config, channels, q_side, k_side)


def _one_channel(config: AttentionConfig) -> Iterable[Row]:
    channels = min(17, config.max_head_dim)
    for place in range(channels):
        for q_side, k_side in product((-1, 1), repeat=2):
            pair = _corner(config, channels, q_side, k_side)
            others = np.arange(channels) != place
            yield {**pair, "q": np.where(others, pair["zq"], pair["q"])}
            yield {**pair, "k": np.where(others, pair["zk"], pair["k"])}


def _drawn(config: AttentionConfig, sampler: Sampler, channels: int | None = None) -> Row:
    q_top, k_top = _tops(config)
    if channels is None:
        short = sampler.integer(0, 1) == 1
        most = config.max_head_dim
        channels = sampler.integer(1, min(17, most) if short else most)
    q, k = sampler.integers(0, q_top, channels), sampler.integers(0, k_top, channels)
    return _pair(q, k, sampler.integer(0, q_top), sampler.integer(0, k_top))


def _lengths(config: AttentionConfig, sampler: Sampler) -> Iterable[Row]:
    for channels in sorted({*range(1, min(33, config.max_head_dim) + 1), config.max_head_dim}):
        yield _drawn(config, sampler, channels)


def _cancelling(config: AttentionConfig) -> Iterable[Row]:
    """Neighbouring channels with opposite signs: partial sums go up and down."""
    most = 2 * (config.max_head_dim // 2)
    for channels in sorted({2, most}) if most else ():
        for step in (0, 1):
            k = 2 * ((np.arange(channels) + step) % 2)
            yield _pair(np.full(channels, (1 << config.q_bits) - 1), k, 0, 1)


def _every_code(config: AttentionConfig) -> Iterable[Row]:
    q_top, k_top = _tops(config)
    codes = np.arange(k_top + 1)
    parts = np.split(codes, range(config.max_head_dim, k_top + 1, config.max_head_dim))
    zeros = product(range(q_top + 1), range(k_top + 1))
    for (zq, zk), q in product(zeros, range(q_top + 1)):
        for part in parts:
            yield _pair(np.full(len(part), q), part, zq, zk)


_EXTREMES = ("lowest", "zero", "highest")


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, params = inputs["stimulus"], inputs["params"]
    rows = row_slices(beats["last"])
    q, k = beats["q"].astype(np.int32), beats["k"].astype(np.int32)
    score = np.empty((len(rows), 1, 1), np.int32)
    zeros = zip(params["zq"].tolist(), params["zk"].tolist(), strict=True)
    for case, (row, (zq, zk)) in enumerate(zip(rows, zeros, strict=True)):
        score_accumulator_kernel(q[None, row], k[None, row], zq, zk, score[case])
    return {"expected": {"score": score.reshape(-1).astype(np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    return [
        *(
            Point(f"dq_{of_q}_dk_{of_k}", "BL2-SCORE-01", "extremes", 3 * i + j)
            for i, of_q in enumerate(_EXTREMES)
            for j, of_k in enumerate(_EXTREMES)
        ),
        *ends(config, "BL2-SCORE-01", "q", "k"),
        *ends(config, "BL2-PARAM-02", "zq", "zk"),
        *bounds(config, "BL2-SCORE-02", "score"),
        Point("score_bound_low_dq_negative", "BL2-SCORE-02"),
        Point("score_bound_low_dk_negative", "BL2-SCORE-02"),
        Point("score_bound_high_both_positive", "BL2-SCORE-02"),
        Point("score_bound_high_both_negative", "BL2-SCORE-02"),
        Point("score_cancelled", "BL2-SCORE-01", reachable=config.max_head_dim >= 2),
        Point("one_channel", "BL2-ROW-01", "channels", 1),
        Point("most_channels", "BL2-ROW-01", "channels", config.max_head_dim),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    config, beats, params = target.config, tables["stimulus"], tables["params"]
    last, score = beats["last"], tables["expected"]["score"]
    channels = row_lengths(last)
    (q_top, k_top), bound = _tops(config), config.registers["score"].bound
    dq = beats["q"] - np.repeat(params["zq"], channels)
    dk = beats["k"] - np.repeat(params["zk"], channels)
    negative_q, negative_k = dq[last == 1] < 0, dk[last == 1] < 0
    terms = sums_of_rows(dq * dk != 0, last)
    return {
        **{name: beats[name] for name in ("q", "k")},
        **{name: params[name] for name in ("zq", "zk")},
        "extremes": _place(dq, q_top) * 3 + _place(dk, k_top),
        "score": score,
        "score_bound_low_dq_negative": (score == -bound) & negative_q,
        "score_bound_low_dk_negative": (score == -bound) & negative_k,
        "score_bound_high_both_positive": (score == bound) & ~negative_q,
        "score_bound_high_both_negative": (score == bound) & negative_q,
        "score_cancelled": (terms > 0) & (score == 0),
        "channels": channels,
    }


def _place(difference: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """Return 0, 1, 2 where a difference is -top, 0, top; elsewhere what names no bin."""
    places = [difference == -top, difference == 0, difference == top]
    return np.select(places, [0, 1, 2], -10)


SCORE_ACCUMULATOR = GoldenUnit(
    declared=score_accumulator_unit.SCORE_ACCUMULATOR,
    corners=_corners,
    random=_random,
    random_cases=256,
    kernels=_simulate,
    specify=Specified(
        score_accumulator_unit.SCORE_ACCUMULATOR,
        "score",
        score_accumulator,
        ("q", "k", "zq", "zk"),
        configured=False,
    ),
    points=_points,
    signals=_signals,
)
