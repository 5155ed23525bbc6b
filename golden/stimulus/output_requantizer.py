"""Vectors of the output requantizer: acc, M2, n2 and zero point to o, one case a word."""

from collections.abc import Iterator

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import output_requantizer
from bitlog2.sim.units import output_requantizer as output_requantizer_unit
from bitlog2.sim.units.output_requantizer import output_requantizer_kernel

from .cases import (
    any_multipliers,
    every_group,
    listed_group,
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

_NAMES = ("acc", "m2", "n2", "zo")
#: Random cases that share the parameters, as the channels of a row do.
_RUN = 16


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    groups = every_group(config, _NAMES, "every acc, M2, n2 and zero point")
    if groups:
        return groups
    around = "every zero point: o inside, at both limits, and one past them"
    one_bit = "a sum of one bit above the code, every such bit: o saturates"
    return [
        *product_corners(config, _NAMES, "acc", 1 << (config.o_bits - 1)),
        listed_group(around, _NAMES, _around(config)),
        listed_group(one_bit, _NAMES, _one_bit(config)),
    ]


def _around(config: AttentionConfig) -> Iterator[tuple[int, int, int, int]]:
    bound, (_, o_max) = config.registers["acc"].bound, config.ports["o"].limits(config)
    for zo in range(o_max + 1):
        for acc in sorted({-zo - 1, -zo, -1, 0, 1, o_max - zo, o_max - zo + 1}):
            if abs(acc) <= bound:
                yield acc, 1, 0, zo


def _one_bit(config: AttentionConfig) -> Iterator[tuple[int, int, int, int]]:
    """Yield for each bit of the sum above the code a product that is this bit alone."""
    most = config.registers["acc"].bound.bit_length() - 1
    for bit in range(config.o_bits, most + config.m2_bits):
        of_acc = min(bit, most)
        yield 1 << of_acc, 1 << (bit - of_acc), 0, 0


def _random(target: Target, sampler: Sampler, count: int) -> list[CaseGroup]:
    config, runs = target.config, -(-count // _RUN)
    bound = config.registers["acc"].bound
    m2_octaves = sampler.integers(0, config.m2_bits - 1, runs)
    m2 = any_multipliers(sampler, m2_octaves)
    octaves = sampler.integers(0, bound.bit_length() - 1, runs)
    usual = m2_octaves + octaves - config.o_bits + 1
    n2 = sampler.integers(0, config.max_n2, runs)
    n2[::2] = np.clip(usual, 0, config.max_n2)[::2]
    zo = sampler.integers(0, (1 << config.o_bits) - 1, runs)
    spread = sampler.below_power(np.repeat(octaves, _RUN)[:count])
    acc = np.where(sampler.integers(0, 1, count) == 1, spread, -spread)
    acc[::4] = sampler.integers(-bound, bound, len(acc[::4]))
    drawn = (np.repeat(each, _RUN)[:count] for each in (m2, n2, zo))
    columns = dict(zip(_NAMES, (acc, *drawn), strict=True))
    reason = "acc, M2, n2 and zero point drawn, half of the n2 so that o spans its range"
    return [case_group("random", reason, columns)]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    acc, m2, n2, zo = (columns[name] for name in _NAMES)
    o = np.empty(len(acc), np.uint8)
    narrow = acc.astype(np.int32)
    for (each_m2, each_n2, each_zo), run in parameter_runs(m2, n2, zo):
        params = LayerParams(m=1, n=0, m2=each_m2, n2=each_n2, zo=each_zo)
        found = np.empty(len(run), np.uint8)
        layer = layer_constants(config, params)
        output_requantizer_kernel(narrow[run], each_m2, each_n2, layer, found)
        o[run] = found
    return {"expected": {"o": o.astype(np.int64)}}


def _points(target: Target) -> list[Point]:
    config, bound = target.config, target.config.registers["acc"].bound
    o_max = (1 << config.o_bits) - 1
    return [
        *shift_points("n2", "BL2-OUT-01", bound, config.m2_bits, config.max_n2),
        *(Point(f"o_{code}", "BL2-OUT-01", "o", code) for code in range(o_max + 1)),
        *(Point(f"zo_{code}", "BL2-PARAM-02", "zo", code) for code in range(o_max + 1)),
        *ends(config, "BL2-PARAM-02", "m2"),
        *bounds(config, "BL2-OUT-02", "acc"),
        Point("acc_zero", "BL2-OUT-01", "acc", 0),
        Point("o_at_bottom", "BL2-OUT-01", "sum", 0),
        Point("o_past_bottom", "BL2-OUT-01", "sum", -1),
        Point("o_at_top", "BL2-OUT-01", "sum", o_max),
        Point("o_past_top", "BL2-OUT-01", "sum", o_max + 1),
        Point("o_negative_before_zero_point", "BL2-OUT-01"),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    columns = tables["stimulus"]
    acc, m2, n2, zo = (columns[name] for name in _NAMES)
    product = acc * m2
    shifted = rounded(product, n2)
    return {
        **{name: columns[name] for name in _NAMES},
        "o": tables["expected"]["o"],
        "rounding": rounding_kind(product, n2),
        "sum": shifted + zo,
        "o_negative_before_zero_point": (shifted < 0) & (shifted + zo >= 0),
    }


OUTPUT_REQUANTIZER = GoldenUnit(
    declared=output_requantizer_unit.OUTPUT_REQUANTIZER,
    corners=_corners,
    random=_random,
    random_cases=2048,
    kernels=_simulate,
    specify=Specified(output_requantizer_unit.OUTPUT_REQUANTIZER, "o", output_requantizer, _NAMES),
    points=_points,
    signals=_signals,
)
