"""Vectors of whole attention rows: scores, mask, bias and v to output codes, with taps."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionTrace, attention_from_scores
from bitlog2.sim.spec import RowTrace, attention_row_from_scores
from bitlog2.sim.units import attention_row as attention_row_unit

from ..words.fields import Columns
from .row_bins import row_points, row_signals
from .row_cases import corner_rows, random_rows
from .row_shapes import RowMaker
from .rows import RowCase, cut_rows, group_rows
from .sampler import Sampler
from .unit import CaseGroup, GoldenUnit, Progress, Tables, Target, case_count, row_offsets

_KEYS = ("t", "d", "e", "level", "nibble", "flag")
_ROWS = ("row_max", "row_sum")


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    return group_rows(corner_rows(RowMaker(target, sampler)), "corners")


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    return group_rows(random_rows(RowMaker(target, sampler), cases), "random")


def _cases(inputs: Tables) -> list[RowCase]:
    case_count(ATTENTION_ROW, inputs)
    offsets = row_offsets(ATTENTION_ROW, inputs)
    return [] if offsets is None else cut_rows(inputs, offsets)


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    cases = _cases(inputs)
    traces = []
    for index, case in enumerate(progress(cases, "attention_row: simulate", len(cases))):
        try:
            trace = attention_from_scores(
                case.scores[None, None],
                case.v[None],
                case.params,
                target.config,
                masked=None if case.masked is None else case.masked[None, None],
                bias=None if case.bias is None else case.bias[None, None],
                trace=True,
                threads=1,
            )
        except ValueError as error:
            raise ValueError(f"attention_row case {index}: {error}") from None
        assert isinstance(trace, AttentionTrace)
        traces.append({name: getattr(trace, name)[0, 0] for name in (*_KEYS, *_ROWS, "acc", "o")})
    return _outputs(inputs, traces)


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    cases = _cases(inputs)
    traces = [
        _registers(
            attention_row_from_scores(
                case.scores.tolist(),
                case.v.tolist(),
                case.params,
                target.config,
                None if case.masked is None else case.masked.tolist(),
                None if case.bias is None else case.bias.tolist(),
            )
        )
        for case in progress(cases, "attention_row: specification", len(cases))
    ]
    return _outputs(inputs, traces)


def _registers(trace: RowTrace) -> dict[str, NDArray]:
    names = (*_KEYS, *_ROWS, "acc", "o")
    return {name: np.array(getattr(trace, name), np.int64) for name in names}


def _outputs(inputs: Tables, traces: list[dict[str, NDArray]]) -> Tables:
    """Return the output streams of rows whose registers are known."""
    keys: Columns = {"last": inputs["stimulus"]["last"]}
    for name in _KEYS:
        keys[name] = np.concatenate([trace[name] for trace in traces]).astype(np.int64)
    rows: Columns = {name: np.array([trace[name] for trace in traces], np.int64) for name in _ROWS}
    acc, o = (np.stack([trace[name] for trace in traces]).astype(np.int64) for name in ("acc", "o"))
    return {"keys": keys, "rows": rows | {"acc": acc}, "expected": {"o": o}}


ATTENTION_ROW = GoldenUnit(
    declared=attention_row_unit.ATTENTION_ROW,
    corners=_corners,
    random=_random,
    random_cases=96,
    kernels=_simulate,
    specify=_specify,
    points=row_points,
    signals=row_signals,
)
