"""Vectors of the distance quantizer of RowMax: every distance and mask to a level and its code."""

import numpy as np

from bitlog2.sim import LayerParams
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.spec import code_register, distance_quantizer
from bitlog2.sim.units import distance_quantizer as distance_quantizer_unit
from bitlog2.sim.units.code_register import code_register_kernel
from bitlog2.sim.units.distance_quantizer import distance_quantizer_kernel, thresholds_of

from .cases import level_name
from .sampler import Sampler
from .unit import CaseGroup, GoldenUnit, Point, Progress, Signals, Tables, Target, case_group


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    d, mask = (grid.ravel() for grid in np.mgrid[0 : target.config.d_max + 1, 0:2])
    return [case_group("exhaustive", "every d, masked and not", {"mask": mask, "d": d})]


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    d = sampler.integers(0, target.config.d_max, cases)
    mask = sampler.integers(0, 3, cases) == 0
    reason = "d and mask drawn: no order, so that a state that is kept shows"
    return [case_group("random", reason, {"mask": mask, "d": d})]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    layer = layer_constants(config, LayerParams(m=1, n=0, m2=1, n2=0))
    d = np.where(columns["mask"] == 1, config.d_max + 1, columns["d"]).astype(np.int16)
    level, nibble, flag = np.empty((3, len(d)), np.uint8)
    distance_quantizer_kernel(d, layer.steps, scheme_constants(config.code), level)
    code_register_kernel(level, scheme_constants(config.code), nibble, flag)
    made = {"level": level, "nibble": nibble, "flag": flag}
    return {"expected": {name: values.astype(np.int64) for name, values in made.items()}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    cases = list(zip(columns["d"].tolist(), columns["mask"].tolist(), strict=True))
    label = "distance_quantizer: specification"
    level = [distance_quantizer(d, mask, config) for d, mask in progress(cases, label, len(cases))]
    nibble, flag = np.array([code_register(each, config.code) for each in level], np.int64).T
    return {"expected": {"level": np.array(level, np.int64), "nibble": nibble, "flag": flag}}


def _points(target: Target) -> list[Point]:
    config = target.config
    scheme, d_max = config.code, config.d_max
    thresholds = thresholds_of(scheme, config.fraction_bits)
    smallest = sum(d_max <= each for each in thresholds)
    of_level = enumerate(reversed(thresholds), start=1)
    return [
        *(
            Point(level_name(level, config), "BL2-DIST-02", "level", level, level >= smallest)
            for level in range(scheme.levels)
        ),
        *(
            Point(
                f"threshold_{level}_{name}",
                "BL2-DIST-01",
                "seen",
                edge + step,
                0 <= edge + step <= d_max,
            )
            for level, edge in of_level
            for step, name in ((-1, "below"), (0, "at"), (1, "above"))
        ),
        Point("d_zero", "BL2-DIST-02", "seen", 0),
        Point("d_largest", "BL2-DIST-02", "seen", d_max),
        Point("masked_d_zero", "BL2-DIST-03", "hidden", 0),
        Point("masked_d_largest", "BL2-DIST-03", "hidden", d_max),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    columns = tables["stimulus"]
    seen = columns["mask"] == 0
    return {
        "level": np.where(seen, tables["expected"]["level"], -1),
        "seen": np.where(seen, columns["d"], -2),
        "hidden": np.where(seen, -1, columns["d"]),
    }


DISTANCE_QUANTIZER = GoldenUnit(
    declared=distance_quantizer_unit.DISTANCE_QUANTIZER,
    corners=_corners,
    random=_random,
    random_cases=512,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
