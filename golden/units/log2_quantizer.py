"""Vectors of the log2 quantizer with its code register: e and s to level, nibble and flag."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim.kernel.code_register import code_register as code_register_kernel
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import code_register, log2_quantizer

from ..ports import stream
from ..target import Target
from ..threads import each_part, parts_of
from ..unit import CaseGroup, NarrowTables, Progress, Tables, Unit
from .log2_bins import completing_cases, log2_bins, log2_hits, log2_requirements
from .log2_cases import check_cases, corner_cases, random_cases
from .log2_pairs import levels_of_pairs

__all__ = ["LOG2_QUANTIZER", "dividing_levels"]

#: Cases that are simulated at a time.
_BLOCK = 1 << 16
#: Up to here the specification's own function is called for every case.
_CALLED_FOR_EACH = 1 << 20
#: In a larger set it is called for so many cases, evenly spread, or a few more.
_CALLED_AT_LEAST = 1 << 16
_Integers = NDArray[np.int64]


def _stimulus(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    if source == "random":
        return random_cases(target, seed, cases)
    groups = corner_cases(target, seed)
    return [*groups, *completing_cases(target, groups)]


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    e, s = inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    check_cases(target, e, s)
    scheme = scheme_constants(target.config.code)
    columns = {name: np.empty(len(e), np.int64) for name in ("level", "nibble", "flag")}

    def simulate(part: slice) -> None:
        level, nibble, flag = np.empty((3, part.stop - part.start), np.uint8)
        levels_of_pairs(e[part].astype(np.int32), s[part], scheme, level)
        code_register_kernel(level, scheme, nibble, flag)
        for column, values in zip(columns.values(), (level, nibble, flag), strict=True):
            column[part] = values

    parts = parts_of(len(e), _BLOCK)
    for _ in progress(each_part(simulate, parts), "log2_quantizer: simulate", len(parts)):
        pass
    return {"expected": columns}


def _specify(target: Target, inputs: Tables, progress: Progress) -> NarrowTables:
    scheme, e, s = target.config.code, inputs["stimulus"]["e"], inputs["stimulus"]["s"]
    whole = len(e) <= _CALLED_FOR_EACH
    level = np.empty(len(e), np.uint8) if whole else dividing_levels(e, s, scheme)
    called = slice(0, None, 1 if whole else len(e) // _CALLED_AT_LEAST)
    pairs = list(zip(e[called].tolist(), s[called].tolist(), strict=True))
    level[called] = [
        log2_quantizer(each_e, each_s, scheme)
        for each_e, each_s in progress(pairs, "log2_quantizer: specification", len(pairs))
    ]
    code_of = np.array([code_register(k, scheme) for k in range(scheme.levels)], np.uint8).T
    codes = np.empty((2, len(e)), np.uint8)
    for part in parts_of(len(e), _BLOCK):
        codes[:, part] = code_of[:, level[part]]
    return {"expected": {"level": level, "nibble": codes[0], "flag": codes[1]}}


def dividing_levels(e: _Integers, s: _Integers, scheme: Scheme) -> NDArray[np.uint8]:
    """Return the levels by the specification's dividing form, the division on whole arrays.

    The level of each p is the specification's own: that of e = p and s = A, whose quotient is p.

    Args:
        e, s: (N,) with 0 <= e <= s, s > 0 and e * A within int64.
        scheme: the levels' scheme.

    Source: SPEC.md BL2-LOG2-01 to -03.
    """
    one = scheme.int_max
    level_of = np.array([log2_quantizer(p, one, scheme) for p in range(one)], np.uint8)
    level = np.empty(len(e), np.uint8)
    for part in parts_of(len(e), _BLOCK):
        level[part] = level_of[np.minimum(e[part] * one // s[part], one - 1)]
    return level


LOG2_QUANTIZER = Unit(
    name="log2_quantizer",
    streams=(
        stream("stimulus", "input", "case", "s", "e"),
        stream("expected", "output", "case", "level", "nibble", "flag"),
    ),
    datapath=(
        ("log2_quantizer", "expected", "level"),
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
    ),
    stimulus=_stimulus,
    simulate=_simulate,
    specify=_specify,
    bins=log2_bins,
    hits=log2_hits,
    requirements=log2_requirements,
)
