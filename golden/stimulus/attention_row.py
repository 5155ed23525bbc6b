"""Vectors of whole attention rows: scores, mask, bias and v to output codes, with taps."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionTrace, attention_from_scores
from bitlog2.sim.registers import registers_of
from bitlog2.sim.spec import RowTrace, attention_row_from_scores
from bitlog2.sim.units import attention_row as attention_row_unit

from .row_bins import row_points, row_signals
from .row_cases import corner_rows, random_rows
from .row_faults import planted_faults
from .row_shapes import RowMaker
from .rows import RowCase, cut_rows, group_rows
from .sampler import Sampler
from .unit import CaseGroup, GoldenUnit, Progress, Tables, Target, case_count, row_offsets


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
        names = registers_of(target.config.code.family)
        traces.append({name: getattr(trace, name)[0, 0] for name in names})
    return _outputs(target, inputs, traces)


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    cases = _cases(inputs)
    traces = [
        _registers(
            target,
            attention_row_from_scores(
                case.scores.tolist(),
                case.v.tolist(),
                case.params,
                target.config,
                None if case.masked is None else case.masked.tolist(),
                None if case.bias is None else case.bias.tolist(),
            ),
        )
        for case in progress(cases, "attention_row: specification", len(cases))
    ]
    return _outputs(target, inputs, traces)


def _registers(target: Target, trace: RowTrace) -> dict[str, NDArray]:
    names = registers_of(target.config.code.family)
    return {name: np.array(getattr(trace, name), np.int64) for name in names}


def _outputs(target: Target, inputs: Tables, traces: list[dict[str, NDArray]]) -> Tables:
    """Return the output streams of rows whose registers are known."""
    outputs: Tables = {}
    for stream in target.config.units["attention_row"].streams:
        if stream.role == "output":
            join = np.concatenate if stream.per == "beat" else np.stack
            outputs[stream.name] = {
                name: inputs["stimulus"]["last"]
                if name == "last"
                else join([trace[name] for trace in traces]).astype(np.int64)
                for name in stream.ports
            }
    return outputs


ATTENTION_ROW = GoldenUnit(
    declared=attention_row_unit.ATTENTION_ROW,
    corners=_corners,
    random=_random,
    random_cases=96,
    kernels=_simulate,
    specify=_specify,
    points=row_points,
    signals=row_signals,
    planted=planted_faults,
)
