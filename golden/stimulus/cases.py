"""Corners that several units share, runs of parameters, and roundings as coverage points."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import code_register

from .sampler import Sampler
from .unit import CaseGroup, Point, case_group

#: Inputs up to this number are all tried.
EXHAUSTIVE = 1 << 20


def every_case(ranges: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return every combination of the inputs (low, high), (inputs, cases)."""
    axes = [np.arange(low, high + 1, dtype=np.int64) for low, high in ranges]
    return np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")])


def near_powers(low: int, high: int) -> list[int]:
    """Return 0, the powers of two of both signs with their neighbours, low, high and theirs.

    All of them from low to high, ascending.
    """
    values = {0, low, low + 1, high - 1, high}
    for k in range(max(abs(low), abs(high)).bit_length() + 1):
        values |= {sign * (1 << k) + step for sign in (1, -1) for step in (-1, 0, 1)}
    return sorted(value for value in values if low <= value <= high)


def every_group(config: AttentionConfig, names: Sequence[str], reason: str) -> list[CaseGroup]:
    """Return every case of these ports where they are at most 2**20, else nothing."""
    ranges = [config.ports[name].limits(config) for name in names]
    if prod(high - low + 1 for low, high in ranges) > EXHAUSTIVE:
        return []
    return [case_group("exhaustive", reason, dict(zip(names, every_case(ranges), strict=True)))]


def listed_group(reason: str, names: Sequence[str], cases: Iterable[Sequence[int]]) -> CaseGroup:
    """Return corners that are listed one by one, the values of a case in the order of `names`."""
    columns = np.array(list(cases)).T
    return case_group("corners", reason, dict(zip(names, columns, strict=True)))


def product_corners(
    config: AttentionConfig, names: tuple[str, str, str, str], values: str, added: int
) -> list[CaseGroup]:
    """Return the corners of a product that is shifted and rounded, and to which one adds.

    Args:
        config: what the hardware is built with.
        names: ports of the value, its multiplier, the shift amount, and what is added.
        values: the values in words.
        added: what is added in all of these corners.
    """
    bound, top, largest = (config.ports[name].limits(config)[1] for name in names[:3])
    m, n = names[1].upper(), names[2]
    of_m, shifts, edges = near_powers(1, top), sorted({0, largest // 2, largest}), (bound, -bound)
    corners = {
        f"every {n}: ties of both signs, just below a tie, neither": shift_cases(
            bound, top.bit_length(), largest
        ),
        f"{values} at powers of two and their neighbours; {m} and {n} at their limits": [
            (value, each, shift)
            for each, shift, value in product((1, top), shifts, near_powers(-bound, bound))
        ],
        f"{m} at powers of two and their neighbours, for every {n}; {values} at both bounds": [
            (value, each, shift) for shift, each, value in product(range(largest + 1), of_m, edges)
        ],
    }
    return [
        listed_group(reason, names, [(*case, added) for case in cases])
        for reason, cases in corners.items()
    ]


def parameter_runs(*columns: NDArray[np.int64]) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
    """Yield each set of parameters with the cases that have it, ascending.

    Args:
        columns: (cases,) each, one a parameter.
    """
    table = np.stack(columns)
    order = np.lexsort(table)
    changes = (np.diff(table[:, order], axis=1) != 0).any(axis=0)
    for cases in np.split(order, np.flatnonzero(changes) + 1):
        if cases.size:
            yield table[:, cases[0]].tolist(), cases


def any_multipliers(sampler: Sampler, octaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each octave k a multiplier drawn from 2**k to 2**(k+1) - 1."""
    return (np.int64(1) << octaves) + sampler.below_power(octaves)


def level_name(level: int, config: AttentionConfig) -> str:
    """Return the name of the bin of a level: with its nibble and flag."""
    nibble, flag = code_register(level, config.code)
    return f"level_{level}_nibble_{nibble}_flag_{flag}"


def rounded(product: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return RND(product >> shift)."""
    return (product + ((np.int64(1) << shift) >> np.int64(1))) >> shift


PLAIN, TIE_POSITIVE, TIE_NEGATIVE, BELOW_TIE = range(4)
_KINDS = {
    PLAIN: "no_tie",
    TIE_POSITIVE: "tie_positive",
    TIE_NEGATIVE: "tie_negative",
    BELOW_TIE: "below_tie",
}
#: Multipliers that are tried: a wider one is not needed for any tie.
_MOST_BITS = 16


def tie(bound: int, bits: int, n: int) -> tuple[int, int] | None:
    """Return (value, multiplier) with the product 2**(n-1), or None where no tie is reached.

    A product has at most lod(bound) + bits - 1 trailing zeros for 0 < |value| <= bound and a
    multiplier of `bits` bits, and both factors may be powers of two: so ties end there.
    """
    most = bound.bit_length() - 1
    if n < 1 or n - 1 > most + bits - 1:
        return None
    of_value = min(n - 1, most)
    return 1 << of_value, 1 << (n - 1 - of_value)


@lru_cache(maxsize=1024)
def below_tie(bound: int, bits: int, n: int) -> tuple[int, int] | None:
    """Return (value, multiplier) with a product of 2**(n-1) - 1 modulo 2**n, or None.

    That product is odd for n >= 2, so the multiplier is, and for each one there is a single value
    modulo 2**n: the one nearest to 0 counts. Tried are multipliers of at most 16 bits.
    """
    if n < 1:
        return None
    odd = np.arange(1, 1 << min(bits, _MOST_BITS), 2, dtype=np.uint64)
    mask = np.uint64((1 << n) - 1)
    inverse = odd.copy()
    for _ in range(5):
        inverse *= np.uint64(2) - odd * inverse
    value = ((np.uint64((1 << (n - 1)) - 1) * inverse) & mask).astype(np.int64)
    value[value >= 1 << (n - 1)] -= 1 << n
    found = np.flatnonzero(np.abs(value) <= bound)
    return (int(value[found[0]]), int(odd[found[0]])) if found.size else None


def shift_points(name: str, requirement: str, bound: int, bits: int, largest: int) -> list[Point]:
    """Return for every shift amount the points of a tie of either sign, just below one, of none.

    Args:
        name: name of the shift amount, first word of the points' names.
        requirement: id in SPEC.md.
        bound: largest magnitude of the value.
        bits: width of the multiplier.
        largest: largest shift amount.
    """
    points = []
    for n in range(largest + 1):
        has_tie = tie(bound, bits, n) is not None
        reachable = {
            PLAIN: n != 1,
            TIE_POSITIVE: has_tie,
            TIE_NEGATIVE: has_tie,
            BELOW_TIE: below_tie(bound, bits, n) is not None,
        }
        points += [
            Point(f"{name}_{n}_{_KINDS[kind]}", requirement, "rounding", 4 * n + kind, reached)
            for kind, reached in reachable.items()
        ]
    return points


def rounding_kind(products: ArrayLike, n: ArrayLike) -> NDArray[np.int64]:
    """Return the signal `rounding` of the points: 4 * n + how the product is rounded.

    A shift by 0 rounds nothing. Just below a tie is one less than it: for n = 1 every even product.
    """
    values, shift = np.asarray(products, np.int64), np.asarray(n, np.int64)
    one = np.int64(1)
    half = (one << shift) >> one
    rest = values & ((one << shift) - one)
    kind = np.where(rest == half, np.where(values > 0, TIE_POSITIVE, TIE_NEGATIVE), PLAIN)
    kind = np.where(rest == half - one, BELOW_TIE, kind)
    return 4 * shift + np.where(shift > 0, kind, PLAIN)


def shift_cases(bound: int, bits: int, largest: int) -> list[tuple[int, int, int]]:
    """Return (value, multiplier, n) that fill every point of `shift_points`."""
    cases = []
    for n in range(largest + 1):
        cases += [(0, 1, n), (1, 1, n), (-1, 1, n)]
        found = tie(bound, bits, n)
        if found is not None:
            value, multiplier = found
            cases += [(sign * value, multiplier, n) for sign in (1, -1)]
            cases += [(sign * 3 * value, multiplier, n) for sign in (1, -1) if 3 * value <= bound]
        found = below_tie(bound, bits, n)
        if found is not None:
            cases.append((*found, n))
    return cases
