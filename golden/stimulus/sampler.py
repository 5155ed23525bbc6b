"""Drawn integers that stay the same in every version of numpy."""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray


class Sampler:
    """Integers from the raw 64-bit stream of PCG64.

    numpy promises that the raw stream of a bit generator never changes, and makes no such promise
    for `Generator.integers`: so bounded integers are made here, by a multiplication and a shift.

    Args:
        seed: seed of the vector set.
        stream: a name; each name has its own stream, so that a set of one unit holds the cases
            that this unit has in the whole set.
    """

    def __init__(self, seed: int, stream: str) -> None:
        self.seed = seed
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
