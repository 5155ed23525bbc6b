"""Vectors of the score accumulator: the channels of a query and a key to their score.

A case is one query and one key, a channel is a beat. D changes from case to case and the number of
lanes is the device's own affair: so a device of L lanes takes L beats at a time, up to the last.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import score_accumulator
from bitlog2.sim.units import score_accumulator as score_accumulator_unit
from bitlog2.sim.units.score_accumulator import score_accumulator_kernel

from ..words.framing import row_group, row_lengths, row_slices, sums_of_rows
from .cases import EXHAUSTIVE, Sampler, check_inputs
from .coverage import Coverage, Point, Signals
from .unit import CaseGroup, Progress, Tables, Target, Unit

_RANDOM_CASES = 256


@dataclass(frozen=True)
class _Pair:
    """Codes of a query and a key (D,) and their zero points."""

    q: np.ndarray
    k: np.ndarray
    zq: int
    zk: int


def score_accumulator_cases(
    target: Target, source: str, seed: int, cases: int | None
) -> list[CaseGroup]:
    """Return every code with every zero point, the corner pairs, or the random pairs of a seed."""
    config = target.config
    sampler = Sampler(seed, f"score_accumulator.{source}")
    if source == "random":
        count = _RANDOM_CASES if cases is None else cases
        reason = "D, codes and zero points drawn"
        return [_group(source, reason, (_drawn(config, sampler) for _ in range(count)))]
    groups = [
        _group(source, "scores at both bounds, of either sign of q and k", _bounds(config)),
        _group(source, "one channel at a bound, in every place", _one_channel(config)),
        _group(source, "every D from 1 to 33, and the largest", _lengths(config, sampler)),
    ]
    if config.max_head_dim >= 2:
        groups.append(_group(source, "channels that cancel", _cancelling(config)))
    if 1 << 2 * (config.q_bits + config.k_bits) <= EXHAUSTIVE:
        reason = "every q, zq and zk, with every k in the channels"
        groups.append(_group("exhaustive", reason, _every_code(config)))
    return groups


def _group(source: str, reason: str, pairs: Iterable[_Pair]) -> CaseGroup:
    listed = list(pairs)
    beats = [{"q": pair.q, "k": pair.k} for pair in listed]
    zeros = {"zq": [pair.zq for pair in listed], "zk": [pair.zk for pair in listed]}
    return row_group(source, reason, beats, zeros)


def _tops(config: AttentionConfig) -> tuple[int, int]:
    return (1 << config.q_bits) - 1, (1 << config.k_bits) - 1


def _corner(config: AttentionConfig, channels: int, q_side: int, k_side: int) -> _Pair:
    """Return codes at their zero point (side 0), or as far above (1) or below (-1) as they go."""
    q_top, k_top = _tops(config)
    return _Pair(
        q=np.full(channels, q_top if q_side >= 0 else 0),
        k=np.full(channels, k_top if k_side >= 0 else 0),
        zq=0 if q_side == 1 else q_top,
        zk=0 if k_side == 1 else k_top,
    )


def _bounds(config: AttentionConfig) -> Iterable[_Pair]:
    most = config.max_head_dim
    for channels in sorted({each for each in (1, 2, 3, 64, most) if each <= most}):
        for q_side, k_side in product((-1, 0, 1), repeat=2):
            yield _corner(config, channels, q_side, k_side)


def _one_channel(config: AttentionConfig) -> Iterable[_Pair]:
    channels = min(17, config.max_head_dim)
    for place in range(channels):
        for q_side, k_side in product((-1, 1), repeat=2):
            pair = _corner(config, channels, q_side, k_side)
            others = np.arange(channels) != place
            yield _Pair(np.where(others, pair.zq, pair.q), pair.k, pair.zq, pair.zk)
            yield _Pair(pair.q, np.where(others, pair.zk, pair.k), pair.zq, pair.zk)


def _drawn(config: AttentionConfig, sampler: Sampler, channels: int | None = None) -> _Pair:
    q_top, k_top = _tops(config)
    if channels is None:
        short = sampler.integer(0, 1) == 1
        most = config.max_head_dim
        channels = sampler.integer(1, min(17, most) if short else most)
    q, k = sampler.integers(0, q_top, channels), sampler.integers(0, k_top, channels)
    return _Pair(q, k, sampler.integer(0, q_top), sampler.integer(0, k_top))


def _lengths(config: AttentionConfig, sampler: Sampler) -> Iterable[_Pair]:
    for channels in sorted({*range(1, min(33, config.max_head_dim) + 1), config.max_head_dim}):
        yield _drawn(config, sampler, channels)


def _cancelling(config: AttentionConfig) -> Iterable[_Pair]:
    """Neighbouring channels with opposite signs: partial sums go up and down."""
    for channels in sorted({2, 2 * (config.max_head_dim // 2)}):
        for step in (0, 1):
            k = 2 * ((np.arange(channels) + step) % 2)
            yield _Pair(np.full(channels, (1 << config.q_bits) - 1), k, 0, 1)


def _every_code(config: AttentionConfig) -> Iterable[_Pair]:
    q_top, k_top = _tops(config)
    codes = np.arange(k_top + 1)
    parts = np.split(codes, range(config.max_head_dim, k_top + 1, config.max_head_dim))
    zeros = product(range(q_top + 1), range(k_top + 1))
    for (zq, zk), q in product(zeros, range(q_top + 1)):
        for part in parts:
            yield _Pair(np.full(len(part), q), part, zq, zk)


_EXTREMES = ("lowest", "zero", "highest")


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, params = inputs["stimulus"], inputs["params"]
    check_inputs(score_accumulator_unit.SCORE_ACCUMULATOR, target.config, inputs)
    rows = row_slices(beats["last"])
    q, k = beats["q"].astype(np.int32), beats["k"].astype(np.int32)
    score = np.empty((len(rows), 1, 1), np.int32)
    zeros = zip(params["zq"].tolist(), params["zk"].tolist(), strict=True)
    for case, (row, (zq, zk)) in enumerate(zip(rows, zeros, strict=True)):
        score_accumulator_kernel(q[None, row], k[None, row], zq, zk, score[case])
    return {"expected": {"score": score.reshape(-1).astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, params = inputs["stimulus"], inputs["params"]
    q, k = beats["q"].tolist(), beats["k"].tolist()
    rows = row_slices(beats["last"])
    zeros = list(zip(params["zq"].tolist(), params["zk"].tolist(), strict=True))
    cases = progress(list(zip(rows, zeros, strict=True)), "score_accumulator: specify", len(rows))
    score = [score_accumulator(q[row], k[row], zq, zk) for row, (zq, zk) in cases]
    return {"expected": {"score": np.array(score, np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    q_top, k_top = (1 << config.q_bits) - 1, (1 << config.k_bits) - 1
    bound = q_top * k_top * config.max_head_dim
    return [
        *(
            Point(f"dq_{of_q}_dk_{of_k}", "BL2-SCORE-01", "extremes", 3 * i + j)
            for i, of_q in enumerate(_EXTREMES)
            for j, of_k in enumerate(_EXTREMES)
        ),
        *(
            Point(f"{name}_{side}", "BL2-PARAM-02" if name[0] == "z" else "BL2-SCORE-01", name, x)
            for name, top in (("q", q_top), ("k", k_top), ("zq", q_top), ("zk", k_top))
            for side, x in (("smallest", 0), ("largest", top))
        ),
        Point("score_bound_low", "BL2-SCORE-02", "score", -bound),
        Point("score_bound_high", "BL2-SCORE-02", "score", bound),
        Point("score_bound_low_dq_negative", "BL2-SCORE-02", "low_of_negative_q"),
        Point("score_bound_low_dk_negative", "BL2-SCORE-02", "low_of_negative_k"),
        Point("score_bound_high_both_positive", "BL2-SCORE-02", "high_of_positive"),
        Point("score_bound_high_both_negative", "BL2-SCORE-02", "high_of_negative"),
        Point("score_cancelled", "BL2-SCORE-01", "cancelled", 1, config.max_head_dim >= 2),
        Point("one_channel", "BL2-ROW-01", "channels", 1),
        Point("most_channels", "BL2-ROW-01", "channels", config.max_head_dim),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    config, beats, params = target.config, tables["stimulus"], tables["params"]
    last, score = beats["last"], tables["expected"]["score"]
    channels = row_lengths(last)
    q_top, k_top = (1 << config.q_bits) - 1, (1 << config.k_bits) - 1
    bound = q_top * k_top * config.max_head_dim
    dq = beats["q"] - np.repeat(params["zq"], channels)
    dk = beats["k"] - np.repeat(params["zk"], channels)
    negative_q, negative_k = dq[last == 1] < 0, dk[last == 1] < 0
    terms = sums_of_rows(dq * dk != 0, last)
    return {
        **{name: beats[name] for name in ("q", "k")},
        **{name: params[name] for name in ("zq", "zk")},
        "extremes": _place(dq, q_top) * 3 + _place(dk, k_top),
        "score": score,
        "low_of_negative_q": (score == -bound) & negative_q,
        "low_of_negative_k": (score == -bound) & negative_k,
        "high_of_positive": (score == bound) & ~negative_q,
        "high_of_negative": (score == bound) & negative_q,
        "cancelled": (terms > 0) & (score == 0),
        "channels": channels,
    }


def _place(difference: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """Return 0, 1, 2 where a difference is -top, 0, top; elsewhere what names no bin."""
    places = [difference == -top, difference == 0, difference == top]
    return np.select(places, [0, 1, 2], -10)


_COVERAGE = Coverage(_points, _signals)

SCORE_ACCUMULATOR = Unit(
    declared=score_accumulator_unit.SCORE_ACCUMULATOR,
    stimulus=score_accumulator_cases,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
