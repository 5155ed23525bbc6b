"""Vectors of the score accumulator: the channels of a query and a key to their score.

A case is one query and one key, a channel is a beat. D changes from case to case and the number of
lanes is the device's own affair: so a device of L lanes takes L beats at a time, up to the last.
"""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.kernel.score_accumulator import score_accumulator as score_accumulator_kernel
from bitlog2.sim.spec import score_accumulator

from ..coverage import Coverage, Point, Signals
from ..framing import row_lengths, row_slices, sums_of_rows
from ..ports import stream
from ..target import Target
from ..unit import Progress, Tables, Unit
from .checks import check_lengths
from .score_accumulator_cases import score_accumulator_cases

__all__ = ["SCORE_ACCUMULATOR"]

_EXTREMES = ("lowest", "zero", "highest")


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    beats, params = inputs["stimulus"], inputs["params"]
    check_lengths("score_accumulator", beats["last"], target.config.max_head_dim)
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
    name="score_accumulator",
    streams=(
        stream("params", "input", "case", "zq", "zk"),
        stream("stimulus", "input", "beat", "last", "q", "k"),
        stream("expected", "output", "case", "score"),
    ),
    datapath=(("score_accumulator", "expected", "score"),),
    stimulus=score_accumulator_cases,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
