"""Vectors of exp2: every distance and mask to e."""

import numpy as np

from bitlog2.sim import LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import exp2
from bitlog2.sim.units import exp2 as exp2_unit
from bitlog2.sim.units.exp2 import exp2_kernel

from ..words.framing import case_group
from .cases import Sampler, check_inputs, rounding_kind
from .coverage import Coverage, Point, Signals
from .unit import CaseGroup, Progress, Tables, Target, Unit

_RANDOM_CASES = 512
_KINDS = ("no_tie", "tie", "below_tie")


def _stimulus(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    largest = target.config.d_max
    if source == "corners":
        d, mask = (grid.ravel() for grid in np.mgrid[0 : largest + 1, 0:2])
        columns = {"mask": mask, "d": d}
        return [case_group("exhaustive", "every d, masked and not", columns)]
    count = _RANDOM_CASES if cases is None else cases
    sampler = Sampler(seed, "exp2.random")
    d = sampler.integers(0, largest, count)
    mask = sampler.integers(0, 3, count) == 0
    reason = "d and mask drawn: no order, so that a state that is kept shows"
    return [case_group("random", reason, {"mask": mask, "d": d})]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    check_inputs(exp2_unit.EXP2, config, inputs)
    d, mask = columns["d"].astype(np.int32), columns["mask"].astype(np.uint8)
    e = np.empty(len(d), np.int32)
    exp2_kernel(d, mask, layer_constants(config, LayerParams(m=1, n=0, m2=1, n2=0)), e)
    return {"expected": {"e": e.astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    columns = inputs["stimulus"]
    cases = list(zip(columns["d"].tolist(), columns["mask"].tolist(), strict=True))
    e = [
        exp2(d, bool(mask), target.config)
        for d, mask in progress(cases, "exp2: specification", len(cases))
    ]
    return {"expected": {"e": np.array(e, np.int64)}}


def _points(target: Target) -> list[Point]:
    config = target.config
    largest = min((1 << config.distance_int_bits) - 1, config.table_bits + 2)
    points = [
        Point(f"entry_{f}", "BL2-EXP2-01", "seen", f) for f in range(1 << config.fraction_bits)
    ]
    table = np.array(config.table, np.int64)
    for shift in range(largest + 1):
        reached = set(_rounding(table, np.full(len(table), shift)).tolist())
        requirement = "BL2-EXP2-03" if shift == config.table_bits + 2 else "BL2-EXP2-02"
        points += [
            Point(f"shift_{shift}_{kind}", requirement, "rounding", code, code in reached)
            for code, kind in enumerate(_KINDS, start=3 * shift)
        ]
    past = config.d_max >> config.fraction_bits >= config.table_bits + 2
    return [
        *points,
        Point("d_largest", "BL2-EXP2-02", "seen", config.d_max),
        Point("e_zero", "BL2-EXP2-03", "zero", reachable=past),
        Point("masked_d_zero", "BL2-EXP2-04", "hidden", 0),
        Point("masked_d_largest", "BL2-EXP2-04", "hidden", config.d_max),
    ]


def _rounding(entry: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return 3 * shift + how the entry is rounded; entries are positive."""
    kind = rounding_kind(entry, shift) - 4 * shift
    return 3 * shift + np.where(kind == 3, 2, kind)


def _signals(target: Target, tables: Tables) -> Signals:
    config, columns = target.config, tables["stimulus"]
    d, seen = columns["d"], columns["mask"] == 0
    entry = np.array(config.table, np.int64)[d & ((1 << config.fraction_bits) - 1)]
    shift = np.minimum(d >> config.fraction_bits, config.table_bits + 2)
    return {
        "seen": np.where(seen, d, -1),
        "hidden": np.where(seen, -1, d),
        "rounding": np.where(seen, _rounding(entry, shift), -1),
        "zero": seen & (tables["expected"]["e"] == 0),
    }


_COVERAGE = Coverage(_points, _signals)

EXP2 = Unit(
    declared=exp2_unit.EXP2,
    stimulus=_stimulus,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
