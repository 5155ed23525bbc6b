"""Vectors of the output requantizer: acc, M2, n2 and zero point to o, one case a word."""

from collections.abc import Sequence

import numpy as np

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import layer_constants
from bitlog2.sim.spec import output_requantizer
from bitlog2.sim.units import output_requantizer as output_requantizer_unit
from bitlog2.sim.units.output_requantizer import output_requantizer_kernel

from ..words.framing import case_group
from .cases import (
    Sampler,
    any_multipliers,
    check_inputs,
    every_case,
    few,
    near_powers,
    parameter_runs,
    rounding_kind,
    shift_cases,
    shift_points,
)
from .coverage import Coverage, Point, Signals
from .unit import CaseGroup, Progress, Tables, Target, Unit

_NAMES = ("acc", "m2", "n2", "zo")
_RANDOM_CASES = 2048
#: Random cases that share the parameters, as the channels of a row do.
_RUN = 16
_Cases = Sequence[tuple[int, int, int, int]]


def _group(reason: str, cases: _Cases) -> CaseGroup:
    return case_group("corners", reason, dict(zip(_NAMES, np.array(cases).T, strict=True)))


def _bound(config: AttentionConfig) -> int:
    return config.registers["acc"].bound


def _corners(target: Target) -> list[CaseGroup]:
    config, bound = target.config, _bound(target.config)
    top, largest, o_max = (1 << config.m2_bits) - 1, config.max_n2, (1 << config.o_bits) - 1
    middle = 1 << (config.o_bits - 1)
    ranges = ((-bound, bound), (1, top), (0, largest), (0, o_max))
    if few(ranges):
        columns = dict(zip(_NAMES, every_case(ranges), strict=True))
        return [case_group("exhaustive", "every acc, M2, n2 and zero point", columns)]
    return [
        _group(
            "every n2: ties of both signs, just below a tie, neither",
            [(acc, m2, n2, middle) for acc, m2, n2 in shift_cases(bound, config.m2_bits, largest)],
        ),
        _group(
            "acc at powers of two and their neighbours; M2 and n2 at their limits",
            [
                (acc, m2, n2, middle)
                for m2 in (1, top)
                for n2 in sorted({0, largest // 2, largest})
                for acc in near_powers(-bound, bound)
            ],
        ),
        _group(
            "M2 at powers of two and their neighbours, for every n2; acc at both bounds",
            [
                (acc, m2, n2, middle)
                for n2 in range(largest + 1)
                for m2 in near_powers(1, top)
                for acc in (bound, -bound)
            ],
        ),
        _group(
            "every zero point: o inside, at both limits, and one past them",
            [
                (acc, 1, 0, zo)
                for zo in range(o_max + 1)
                for acc in sorted({-zo - 1, -zo, -1, 0, 1, o_max - zo, o_max - zo + 1})
                if abs(acc) <= bound
            ],
        ),
        _group("a sum of one bit above the code, every such bit: o saturates", _one_bit(config)),
    ]


def _one_bit(config: AttentionConfig) -> _Cases:
    """Return for each bit of the sum above the code a product that is this bit alone."""
    most = _bound(config).bit_length() - 1
    cases = []
    for bit in range(config.o_bits, most + config.m2_bits):
        of_acc = min(bit, most)
        cases.append((1 << of_acc, 1 << (bit - of_acc), 0, 0))
    return cases


def _random(target: Target, seed: int, cases: int | None) -> list[CaseGroup]:
    config, count = target.config, _RANDOM_CASES if cases is None else cases
    sampler, bound = Sampler(seed, "output_requantizer.random"), _bound(config)
    runs = -(-count // _RUN)
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


def _stimulus(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    return _corners(target) if source == "corners" else _random(target, seed, cases)


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, columns = target.config, inputs["stimulus"]
    acc, m2, n2, zo = (columns[name] for name in _NAMES)
    check_inputs(output_requantizer_unit.OUTPUT_REQUANTIZER, config, inputs)
    o = np.empty(len(acc), np.uint8)
    narrow = acc.astype(np.int32)
    for (each_m2, each_n2, each_zo), run in parameter_runs(m2, n2, zo):
        params = LayerParams(m=1, n=0, m2=each_m2, n2=each_n2, zo=each_zo)
        found = np.empty(len(run), np.uint8)
        output_requantizer_kernel(narrow[run], layer_constants(config, params), found)
        o[run] = found
    return {"expected": {"o": o.astype(np.int64)}}


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    columns = [inputs["stimulus"][name].tolist() for name in _NAMES]
    cases = list(zip(*columns, strict=True))
    o = [
        output_requantizer(acc, m2, n2, zo, target.config)
        for acc, m2, n2, zo in progress(cases, "output_requantizer: specification", len(cases))
    ]
    return {"expected": {"o": np.array(o, np.int64)}}


def _points(target: Target) -> list[Point]:
    config, bound = target.config, _bound(target.config)
    o_max = (1 << config.o_bits) - 1
    return [
        *shift_points("n2", "BL2-OUT-01", bound, config.m2_bits, config.max_n2),
        *(Point(f"o_{code}", "BL2-OUT-01", "o", code) for code in range(o_max + 1)),
        *(Point(f"zo_{code}", "BL2-PARAM-02", "zo", code) for code in range(o_max + 1)),
        Point("m2_smallest", "BL2-PARAM-02", "m2", 1),
        Point("m2_largest", "BL2-PARAM-02", "m2", (1 << config.m2_bits) - 1),
        Point("acc_bound_low", "BL2-OUT-02", "acc", -bound),
        Point("acc_bound_high", "BL2-OUT-02", "acc", bound),
        Point("acc_zero", "BL2-OUT-01", "acc", 0),
        Point("o_at_bottom", "BL2-OUT-01", "sum", 0),
        Point("o_past_bottom", "BL2-OUT-01", "sum", -1),
        Point("o_at_top", "BL2-OUT-01", "sum", o_max),
        Point("o_past_top", "BL2-OUT-01", "sum", o_max + 1),
        Point("o_negative_before_zero_point", "BL2-OUT-01", "back_up"),
    ]


def _signals(target: Target, tables: Tables) -> Signals:
    columns = tables["stimulus"]
    acc, m2, n2, zo = (columns[name] for name in _NAMES)
    product = acc * m2
    rounded = (product + ((np.int64(1) << n2) >> np.int64(1))) >> n2
    return {
        **{name: columns[name] for name in _NAMES},
        "o": tables["expected"]["o"],
        "rounding": rounding_kind(product, n2),
        "sum": rounded + zo,
        "back_up": (rounded < 0) & (rounded + zo >= 0),
    }


_COVERAGE = Coverage(_points, _signals)

OUTPUT_REQUANTIZER = Unit(
    declared=output_requantizer_unit.OUTPUT_REQUANTIZER,
    stimulus=_stimulus,
    simulate=_simulate,
    specify=_specify,
    bins=_COVERAGE.bins,
    hits=_COVERAGE.hits,
    requirements=_COVERAGE.requirements,
)
