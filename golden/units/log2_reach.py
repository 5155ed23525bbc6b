"""Which bins of the log2 quantizer a configuration reaches, by formula: each with a witness.

Legal pairs are the integers 0 <= e <= 2**P <= s <= N * 2**P. The edge of a level with the value p
is the smallest e with e * A >= p * s.
"""

from functools import lru_cache
from math import gcd

import numpy as np

from bitlog2.sim import AttentionConfig

from .log2_cases import range_of_s

__all__ = ["EDGES", "edge_witness", "level_witness", "octaves_of_s"]

#: Where a case lies by an edge, by name: e minus the edge.
EDGES = {"below": -1, "at": 0, "above": 1}


def octaves_of_s(config: AttentionConfig) -> range:
    """Return the leading ones that s has."""
    low, high = range_of_s(config)
    return range(low.bit_length() - 1, high.bit_length())


def edge_witness(p: int, name: str, k: int, config: AttentionConfig) -> tuple[int, int] | None:
    """Return (e, s) by the edge of p with leading one k of s, or None where there is none.

    The edge grows with s, so the smallest s of the octave decides; e is at least 0, for an edge is
    at least 1. `equal`: e * A = p * s takes an s that A / gcd(p, A) divides, the smallest again.
    """
    (low, high), one = range_of_s(config), config.code.int_max
    first, last = max(low, 1 << k), min(high, (2 << k) - 1)
    if name == "equal":
        divisor = one // gcd(p, one)
        s = -(-first // divisor) * divisor
        e = p * s // one
    else:
        s = first
        e = -(-p * s // one) + EDGES[name]
    return (e, s) if e <= low and s <= last else None


@lru_cache(maxsize=256)
def level_witness(level: int, config: AttentionConfig) -> tuple[int, int] | None:
    """Return (e, s) with that level, or None where no pair has it.

    With the values p of this level and q of the next, e has it for the integers s in
    (e * A / q, e * A / p] that are legal; the top level has no next one, and level 0 no p.
    """
    (low, high), code = range_of_s(config), config.code
    if level == 0:
        return 0, low
    e = np.arange(1, low + 1, dtype=np.int64)
    largest = np.minimum(high, e * code.int_max // code.values[level])
    smallest = np.full(low, low)
    if level < code.top_level:
        smallest = np.maximum(low, e * code.int_max // code.values[level + 1] + 1)
    found = np.flatnonzero(smallest <= largest)
    return (int(e[found[-1]]), int(smallest[found[-1]])) if found.size else None
