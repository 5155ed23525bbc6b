"""Cases of the log2 quantizer: every pair of e and s where they are few, corners, random pairs."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig

from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup
from .corners import EXHAUSTIVE

__all__ = ["check_cases", "corner_cases", "corner_sums", "random_cases", "range_of_s", "threshold"]

_RANDOM_CASES = 4096
#: Sums that are drawn in each octave for each level.
_NEAR_TIES = 8
_Integers = NDArray[np.int64]


def range_of_s(config: AttentionConfig) -> tuple[int, int]:
    """Return the smallest and the largest row sum: one key at the maximum has e = 2**P."""
    return 1 << config.table_bits, config.max_tokens << config.table_bits


@lru_cache(maxsize=8)
def corner_sums(config: AttentionConfig) -> tuple[int, ...]:
    """Return 2**k and 3 * 2**(k-1) with their neighbours for every leading one of s."""
    low, high = range_of_s(config)
    sums = {high - 1, high}
    for k in range(low.bit_length() - 1, high.bit_length()):
        sums |= {base + step for base in (1 << k, 3 << (k - 1)) for step in (-1, 0, 1)}
    return tuple(sorted(s for s in sums if low <= s <= high))


def threshold(p: int, s: _Integers, config: AttentionConfig) -> _Integers:
    """Return the smallest e with e * A >= p * s."""
    return -(-p * s // config.code.int_max)


def _group(source: str, reason: str, e: _Integers, s: _Integers) -> CaseGroup:
    return CaseGroup(source, reason, len(e), {"stimulus": {"s": s, "e": e}})


def corner_cases(target: Target, seed: int) -> list[CaseGroup]:
    """Return every pair of e and s where they are at most 2**20, else the corners.

    The seed draws the sums next to which a level just begins.
    """
    config = target.config
    low, high = range_of_s(config)
    if (high - low + 1) * (low + 1) <= EXHAUSTIVE:
        s, e = (grid.ravel() for grid in np.mgrid[low : high + 1, 0 : low + 1])
        return [_group("exhaustive", "every e <= 2**P <= s <= N * 2**P", e, s)]
    sums = np.array(corner_sums(config), np.int64)
    groups = [
        _group("corners", "e = 0, for every s", np.zeros_like(sums), sums),
        _group("corners", "e = 2**P, the row maximum; e = s clamps", np.full_like(sums, low), sums),
    ]
    for level, p in enumerate(config.code.values[1:], start=1):
        edge = threshold(p, sums, config)
        e, s = np.concatenate([edge - 1, edge, edge + 1]), np.tile(sums, 3)
        legal = e <= low
        reason = f"level {level} begins: e * A next to {p} * s, one below, at and one above"
        groups.append(_group("corners", reason, e[legal], s[legal]))
    return [*groups, *_near_ties(config, Sampler(seed, "log2_quantizer.near_ties"))]


def _near_ties(config: AttentionConfig, sampler: Sampler) -> list[CaseGroup]:
    """Return pairs of which the lowest bits of a comparison decide, in every octave of s.

    For each level that begins at p: the smallest e with e * A >= p * s and e - 1, of drawn s; then
    for this e the largest s that it still reaches p of, and s + 1.
    """
    low, high = range_of_s(config)
    octaves = np.arange(low.bit_length() - 1, high.bit_length())
    leading = np.repeat(octaves, _NEAR_TIES)
    groups = []
    for level, p in enumerate(config.code.values[1:], start=1):
        drawn = np.minimum(sampler.below_power(leading) + (np.int64(1) << leading), high)
        edge = threshold(p, drawn, config)
        last = edge * config.code.int_max // p
        e = np.concatenate([edge, edge - 1, edge, edge])
        s = np.concatenate([drawn, drawn, last, last + 1])
        legal = (e <= low) & (s >= low) & (s <= high)
        reason = f"level {level} begins by the lowest bits: e * A nearest to {p} * s, s drawn"
        if legal.any():
            groups.append(_group("corners", reason, e[legal], s[legal]))
    return groups


def random_cases(target: Target, seed: int, cases: int | None) -> list[CaseGroup]:
    """Return the random pairs of a seed, 4096 of them where `cases` is None."""
    config, count = target.config, _RANDOM_CASES if cases is None else cases
    sampler = Sampler(seed, "log2_quantizer.random")
    low, high = range_of_s(config)
    leading = sampler.integers(low.bit_length() - 1, high.bit_length() - 1, count)
    s = sampler.below_power(leading)
    s += np.int64(1) << leading
    np.minimum(s, high, out=s)
    bits = sampler.integers(0, config.table_bits, count)
    bits[::2] = config.table_bits
    e = sampler.below_power(bits)
    return [_group("random", "octave of s drawn; e drawn, or its octave drawn", e, s)]


def check_cases(target: Target, e: _Integers, s: _Integers) -> None:
    """Refuse a case that no row has.

    Raises:
        ValueError: e or s is out of range; names the first such case.
    """
    low, high = range_of_s(target.config)
    wrong = np.flatnonzero((e < 0) | (e > low) | (s < low) | (s > high))
    if wrong.size:
        case = int(wrong[0])
        raise ValueError(
            f"log2_quantizer case {case}: e must be from 0 to {low} and s from {low} to {high}, "
            f"got e = {e[case]} and s = {s[case]}"
        )
