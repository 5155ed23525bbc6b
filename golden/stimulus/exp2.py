"""Vectors of exp2: every distance and mask to e."""

import numpy as np

from bitlog2.sim import LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import exp2
from bitlog2.sim.units import exp2 as exp2_unit
from bitlog2.sim.units.exp2 import exp2_kernel

from .cases import rounding_kind
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
    case_group,
)

_KINDS = ("no_tie", "tie", "below_tie")


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    d, mask = (grid.ravel() for grid in np.mgrid[0 : target.config.d_max + 1, 0:2])
    return [case_group("exhaustive", "every d, masked and not", {"mask": mask, "d": d})]


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    d = sampler.integers(0, target.config.d_max, cases)
    mask = sampler.integers(0, 3, cases) == 0
    reason = "d and mask drawn: no order, so that a state that is kept shows"
    return [case_group("random", reason, {"mask": mask, "d": d})]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    columns = inputs["stimulus"]
    d, mask = columns["d"].astype(np.int32), columns["mask"].astype(np.uint8)
    e = np.empty(len(d), np.int32)
    exp2_kernel(d, mask, layer_constants(target.config, LayerParams(m=1, n=0, m2=1, n2=0)), e)
    return {"expected": {"e": e.astype(np.int64)}}


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
        Point("e_zero", "BL2-EXP2-03", reachable=past),
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
        "e_zero": seen & (tables["expected"]["e"] == 0),
    }


EXP2 = GoldenUnit(
    declared=exp2_unit.EXP2,
    corners=_corners,
    random=_random,
    random_cases=512,
    kernels=_simulate,
    specify=Specified(exp2_unit.EXP2, "e", exp2, ("d", "mask")),
    points=_points,
    signals=_signals,
)
