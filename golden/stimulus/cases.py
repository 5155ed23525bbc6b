"""What several units take: random draws, corners, runs of parameters, checks of ranges."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitlog2.sim import AttentionConfig, declarations
from bitlog2.sim.expressions import Expression
from bitlog2.sim.spec import code_register

from ..words.fields import Columns
from ..words.framing import row_lengths
from .coverage import Point
from .unit import Tables


class Sampler:
    """Integers from the raw 64-bit stream of PCG64.

    numpy promises that the raw stream of a bit generator never changes, and makes no such promise
    for `Generator.integers`: so bounded integers are made here, by a multiplication and a shift.

    Args:
        seed: of the vector set.
        stream: a name; each name has its own stream, so that a set of one unit holds the cases
            that this unit has in the whole set.
    """

    def __init__(self, seed: int, stream: str) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=(crc32(stream.encode()),))
        self._bits = np.random.PCG64(sequence)

    def integers(self, low: int, high: int, size: int) -> NDArray[np.int64]:
        """Return `size` integers from low to high, both included; high - low below 2**31."""
        span = high - low + 1
        if not 1 <= span <= 1 << 31:
            raise ValueError(f"high - low must be from 0 to 2**31 - 1, got {span - 1}")
        drawn = self._raw(size)
        drawn >>= np.uint64(32)
        drawn *= np.uint64(span)
        drawn >>= np.uint64(32)
        integers = drawn.view(np.int64)
        integers += low
        return integers

    def integer(self, low: int, high: int) -> int:
        """Return one integer from low to high, both included."""
        return int(self.integers(low, high, 1)[0])

    def below_power(self, exponents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return one integer from 0 to 2**k - 1 for each k of `exponents`, 0 to 62."""
        drawn = self._raw(exponents.size)
        drawn >>= np.uint64(1)
        drawn >>= (63 - exponents).view(np.uint64)
        return drawn.view(np.int64)

    def _raw(self, size: int) -> NDArray[np.uint64]:
        """Return an array of its own: what is drawn from it can be made in place."""
        return np.asarray(self._bits.random_raw(size), np.uint64)


#: Inputs up to this number are all tried.
EXHAUSTIVE = 1 << 20


def few(ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether the inputs (low, high) have at most 2**20 combinations."""
    return prod(high - low + 1 for low, high in ranges) <= EXHAUSTIVE


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


def check_range(
    unit: str,
    name: str,
    values: NDArray[np.int64],
    low: int,
    high: int,
    case_of: ArrayLike | None = None,
) -> None:
    """Refuse a value out of range.

    Args:
        unit, name: what errors call the unit and the field.
        values: (words,) or (words, lanes).
        low, high: the legal range, both included.
        case_of: (words,) the case of each word; None where a word is a case.

    Raises:
        ValueError: names the first such case.
    """
    wrong = np.argwhere((values < low) | (values > high))
    if wrong.size:
        word = int(wrong[0][0])
        case = word if case_of is None else int(np.asarray(case_of)[word])
        raise ValueError(
            f"{unit} case {case}: {name} must be from {low} to {high}, "
            f"got {int(values[tuple(wrong[0])])}"
        )


def check_inputs(unit: declarations.Unit, config: AttentionConfig, inputs: Tables) -> None:
    """Refuse a case that the declaration of a unit excludes.

    Raises:
        ValueError: a row is too long, a value passes the limits of its port, or an assumption of
            the unit does not hold; names the first such case.
    """
    for stream in (each for each in unit.streams if each.role == "input"):
        columns, case_of = inputs[stream.name], None
        if stream.per == "beat":
            lengths = row_lengths(columns["last"])
            case_of = np.repeat(np.arange(len(lengths)), lengths)
            if unit.longest is not None:
                check_range(unit.name, "beats", lengths, 1, unit.longest(config))
        for name in unit.ports(stream.name):
            low, high = unit.limits(name, config)
            check_range(unit.name, name, columns[name], low, high, case_of)
        for each in unit.assumes:
            if len(each.ports) > 1 and set(each.ports) <= columns.keys():
                _check_condition(unit.name, each, config, columns, case_of)


def _check_condition(
    unit: str,
    condition: Expression,
    config: AttentionConfig,
    columns: Columns,
    case_of: NDArray[np.int64] | None,
) -> None:
    broken = np.flatnonzero(~condition.value(config, columns))
    if broken.size:
        word = int(broken[0])
        case = word if case_of is None else int(case_of[word])
        values = ", ".join(f"{name} = {int(columns[name][word])}" for name in condition.ports)
        raise ValueError(f"{unit} case {case}: {condition} must hold, got {values}")


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


_PLAIN, _TIE_POSITIVE, _TIE_NEGATIVE, _BELOW_TIE = range(4)
_KINDS = {
    _PLAIN: "no_tie",
    _TIE_POSITIVE: "tie_positive",
    _TIE_NEGATIVE: "tie_negative",
    _BELOW_TIE: "below_tie",
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
        name: of the shift amount, the points' first word.
        requirement: that they belong to.
        bound: of |value|.
        bits: of the multiplier.
        largest: shift amount.
    """
    points = []
    for n in range(largest + 1):
        has_tie = tie(bound, bits, n) is not None
        reachable = {
            _PLAIN: n != 1,
            _TIE_POSITIVE: has_tie,
            _TIE_NEGATIVE: has_tie,
            _BELOW_TIE: below_tie(bound, bits, n) is not None,
        }
        points += [
            Point(f"{name}_{n}_{_KINDS[kind]}", requirement, "rounding", 4 * n + kind, reached)
            for kind, reached in reachable.items()
        ]
    return points


def rounding_kind(product: ArrayLike, n: ArrayLike) -> NDArray[np.int64]:
    """Return the signal `rounding` of the points: 4 * n + how the product is rounded.

    A shift by 0 rounds nothing. Just below a tie is one less than it: for n = 1 every even product.
    """
    values, shift = np.asarray(product, np.int64), np.asarray(n, np.int64)
    one = np.int64(1)
    half = (one << shift) >> one
    rest = values & ((one << shift) - one)
    kind = np.where(rest == half, np.where(values > 0, _TIE_POSITIVE, _TIE_NEGATIVE), _PLAIN)
    kind = np.where(rest == half - one, _BELOW_TIE, kind)
    return 4 * shift + np.where(shift > 0, kind, _PLAIN)


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
