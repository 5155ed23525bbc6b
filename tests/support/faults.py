"""Faults that devices have had, each as a wrong unit of the specification."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import or_
from typing import Any

from bitlog2.sim import AttentionConfig
from bitlog2.sim.rounding import rnd, rnd_conv, sat, trn, wrap
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.table import exp2_table

__all__ = ["FAULTS", "Fault", "table_faults"]

Unit = Callable[..., Any]
Rounding = Callable[[int, int], int]


@dataclass(frozen=True)
class Fault:
    """A wrong unit: `make(right)` returns it, `right` being the specification's own.

    Attributes:
        unit: function of the specification that is replaced.
        vectors: unit whose vectors show it; empty where none does.
        by_o: whether rows of the default set show it in o alone.
        masked_distances: whether d of a masked key is that of any key, as on most devices.
    """

    unit: str
    make: Callable[[Unit], Unit]
    vectors: str
    by_o: bool = True
    masked_distances: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, unit: str, make: Callable[[Unit], Unit], *, vectors: str | None = None, **flags: bool
) -> None:
    FAULTS[name] = Fault(unit, make, unit if vectors is None else vectors, **flags)


def away(x: int, n: int) -> int:
    """Round a tie away from zero."""
    return rnd(x, n) if x >= 0 else -rnd(-x, n)


def ceiling(x: int, n: int) -> int:
    return -(-x >> n)


def down(x: int, n: int) -> int:
    """Round a tie toward minus infinity."""
    return -rnd(-x, n)


def toward_zero(x: int, n: int) -> int:
    return x >> n if x >= 0 else -(-x >> n)


#: Wrong roundings, by what they do to a result.
ROUNDINGS: dict[str, Rounding] = {
    "truncated": trn,
    "rounded up": ceiling,
    "rounded with ties to even": rnd_conv,
    "rounded with ties away from zero": away,
    "rounded with ties down": down,
}


# Units 1 and 2.


def score_of(name: str, term: Callable[[int, int], int]) -> None:
    """A score that sums other terms of the two differences."""

    def unit(q: Sequence[int], k: Sequence[int], zq: int, zk: int) -> int:
        return sum(term(a - zq, b - zk) for a, b in zip(q, k, strict=True))

    fault(name, "score_accumulator", lambda right: unit, by_o=False)


def score_without(name: str, kept: slice) -> None:
    fault(
        name,
        "score_accumulator",
        lambda right: lambda q, k, zq, zk: right(q[kept], k[kept], zq, zk),
        by_o=False,
    )


score_of("difference of four bits", lambda dq, dk: wrap(dq, 4) * dk)
score_of("product of eight bits", lambda dq, dk: wrap(dq * dk, 8))
score_of("dk without its sign", lambda dq, dk: dq * abs(dk))
score_of("one product wrong", lambda dq, dk: dq * dk + ((dq, dk) == (-11, 14)))
score_without("first channel missed", slice(1, None))
score_without("last channel missed", slice(-1))


def t_by(
    name: str,
    rounding: Rounding = rnd,
    limit: Callable[[int, AttentionConfig], int] = lambda t, c: sat(t, c.t_min, c.t_max),
    **flags: bool,
) -> None:
    def unit(score: int, m: int, n: int, bias: int, config: AttentionConfig) -> int:
        return limit(rounding(score * m, n) + bias, config)

    fault(name, "score_requantizer", lambda right: unit, **flags)


for how, rounding in ROUNDINGS.items():
    t_by(f"t {how}", rounding)
t_by("t rounded toward zero", toward_zero, by_o=False)
t_by("t not rounded at n = 1", lambda x, n: x >> 1 if n == 1 else rnd(x, n), by_o=False)
t_by("t of a product of 31 bits", lambda x, n: rnd(wrap(x, 31), n), by_o=False)
t_by("t shifted by four bits of n", lambda x, n: rnd(x, n & 15), by_o=False)
t_by("t wraps", limit=lambda t, config: wrap(t, config.t_bits))
t_by("t without saturation", limit=lambda t, config: t)
t_by("t saturates late at the bottom", limit=lambda t, c: sat(t, c.t_min + 1, c.t_max))
t_by("t saturates early at the top", limit=lambda t, c: sat(t, c.t_min, c.t_max - 1))
fault(
    "t saturates before the bias too",
    "score_requantizer",
    lambda right: (
        lambda score, m, n, bias, config: sat(
            right(score, m, n, 0, config) + bias, config.t_min, config.t_max
        )
    ),
)
fault(
    "bias ignored",
    "score_requantizer",
    lambda right: lambda score, m, n, bias, config: right(score, m, n, 0, config),
)


# Unit 3: the maximum and the distances.


def seen(t: Sequence[int], masked: Sequence[bool]) -> list[int]:
    return [x for x, hidden in zip(t, masked, strict=True) if not hidden]


def row_max_as(
    name: str, unit: Callable[[Sequence[int], Sequence[bool]], int], by_o: bool = False
) -> None:
    fault(name, "row_max", lambda right: unit, by_o=by_o)


def distance_as(name: str, unit: Callable[[int, AttentionConfig], int], by_o: bool = True) -> None:
    def faulty(t: int, largest: int, masked: bool, config: AttentionConfig) -> int:
        return config.d_max if masked else unit(largest - t, config)

    fault(name, "distance", lambda right: faulty, vectors="row_max", by_o=by_o)


row_max_as("masked keys in the maximum", lambda t, masked: max(t), by_o=True)
row_max_as("masked first key in the maximum", lambda t, m: max(*seen(t, m), t[0]), by_o=True)
row_max_as("masked last key in the maximum", lambda t, m: max(*seen(t, m), t[-1]), by_o=True)
row_max_as("maximum starts at 0", lambda t, masked: max(0, *seen(t, masked)))
row_max_as("first key missed", lambda t, m: max(seen(t[1:], m[1:]) or seen(t, m)))
row_max_as("last key missed", lambda t, m: max(seen(t[:-1], m[:-1]) or seen(t, m)))
row_max_as("maximum of unsigned t", lambda t, m: max(seen(t, m), key=lambda x: x & 0x3FFFF))
distance_as("d one too large", lambda gap, config: min(gap + (gap > 0), config.d_max))
distance_as("d one too small", lambda gap, config: min(max(gap - 1, 0), config.d_max))
distance_as("d wraps", lambda gap, config: gap & config.d_max)
distance_as("d limited to half its range", lambda gap, config: min(gap, config.d_max // 2))
distance_as("d of a narrow difference", lambda gap, c: min(gap & 0x1FFFF, c.d_max), by_o=False)


# Units 4 and 5.


def exp2_as(name: str, e: Callable[[int, int, int, AttentionConfig], int], **flags: bool) -> None:
    """e of an unmasked key from (f, T[f], shift)."""
    FAULTS[name] = exp2_fault(e, **flags)


def exp2_fault(e: Callable[[int, int, int, AttentionConfig], int], **flags: bool) -> Fault:
    def unit(d: int, masked: bool, config: AttentionConfig) -> int:
        f = d % (1 << config.fraction_bits)
        return 0 if masked else e(f, config.table[f], d >> config.fraction_bits, config)

    return Fault("exp2", lambda right: unit, "exp2", **flags)


def table_faults(config: AttentionConfig) -> dict[str, Fault]:
    """A table of truncated entries, and tables with one entry an LSB more or less."""
    fine = exp2_table(config.fraction_bits, config.table_bits + 20)
    faults = {
        "every entry truncated": exp2_fault(lambda f, entry, shift, c: rnd(fine[f] >> 20, shift))
    }
    for wrong, step in product(range(1 << config.fraction_bits), (-1, 1)):

        def e(f: int, entry: int, shift: int, c: Any, wrong: int = wrong, step: int = step) -> int:
            return rnd(entry + step * (f == wrong), shift)

        faults[f"entry {wrong}: {step:+}"] = exp2_fault(e)
    return faults


def with_rounding(rounding: Rounding) -> Callable[[int, int, int, AttentionConfig], int]:
    return lambda f, entry, shift, config: rounding(entry, shift)


for how, rounding in ROUNDINGS.items():
    if rounding is not away:  # entries are positive: no other than the right one
        exp2_as(f"e {how}", with_rounding(rounding))
exp2_as(
    "e is 0 at a shift of P + 1",
    lambda f, entry, shift, c: 0 if shift > c.table_bits else rnd(entry, shift),
)
exp2_as(
    "e shifts by P + 1 at most",
    lambda f, entry, shift, c: int(shift > c.table_bits + 1) or rnd(entry, shift),
)
exp2_as("e shifts by four bits", lambda f, entry, shift, c: rnd(entry, shift & 15), by_o=False)
fault(
    "e of a masked key counts",
    "exp2",
    lambda right: lambda d, masked, config: right(d, False, config),
    masked_distances=True,
)


def row_sum_as(name: str, unit: Callable[[list[int]], int], by_o: bool = False) -> None:
    fault(name, "row_sum", lambda right: unit, by_o=by_o)


row_sum_as("row sum one less", lambda e: sum(e) - (len(e) > 1), by_o=True)
row_sum_as("row sum one more", lambda e: sum(e) + (len(e) > 1), by_o=True)
row_sum_as("row sum without its last key", lambda e: sum(e[:-1]) or 1, by_o=True)
row_sum_as("row sum without its first key", lambda e: sum(e[1:]))
row_sum_as("row sum of 26 bits", lambda e: sum(e) % (1 << 26))
row_sum_as("row sum saturates at 26 bits", lambda e: min(sum(e), (1 << 26) - 1))
row_sum_as("row sum of e of 16 bits", lambda e: sum(x & 0xFFFF for x in e))
row_sum_as("row sum without carries", lambda e: reduce(or_, e))


# Units 6, 7 and 8.


def distance_level_as(name: str, unit: Unit, **flags: bool) -> None:
    fault(name, "distance_quantizer", lambda right: lambda *given: unit(right, *given), **flags)


distance_level_as(
    "level of a masked key counts",
    lambda right, d, masked, c: right(d, False, c),
    masked_distances=True,
)
distance_level_as(
    "a distance at a threshold takes the lower level",
    lambda right, d, masked, c: right(min(d + (d > 0), c.d_max), masked, c),
)
distance_level_as(
    "a distance past a threshold takes the higher level",
    lambda right, d, masked, c: right(max(d - 1, 0), masked, c),
)
distance_level_as(
    "half steps as whole octaves",
    lambda right, d, masked, c: right(d - d % (1 << c.fraction_bits), masked, c),
)


def weight_sum_as(name: str, unit: Callable[[Sequence[int], Scheme], int]) -> None:
    fault(name, "weight_sum", lambda right: lambda levels, scheme: unit(list(levels), scheme))


weight_sum_as("weight sum without half bits", lambda levels, scheme: _powers(levels, scheme))
weight_sum_as(
    "weight sum without its last key",
    lambda levels, scheme: sum(scheme.values[x] for x in levels[:-1] or levels),
)
weight_sum_as(
    "level 0 has the weight 1",
    lambda levels, scheme: sum(max(scheme.values[x], 1) for x in levels),
)


def _powers(levels: Sequence[int], scheme: Scheme) -> int:
    values = (scheme.values[level] for level in levels)
    return sum(1 << value.bit_length() - 1 for value in values if value)


def row_multiplier_as(
    name: str, unit: Callable[[int, int, int], tuple[int, int]], by_o: bool = True
) -> None:
    fault(name, "row_multiplier", lambda right: unit, by_o=by_o)


def _octave(w: int) -> int:
    return w.bit_length() - 1


row_multiplier_as(
    "row multiplier cut off", lambda w, m2, n2: ((m2 << _octave(w)) // w, n2 + _octave(w))
)
row_multiplier_as(
    "row multiplier rounded up",
    lambda w, m2, n2: (-(-(m2 << _octave(w)) // w), n2 + _octave(w)),
    by_o=False,
)
row_multiplier_as("row multiplier without its octave", lambda w, m2, n2: (m2, n2 + _octave(w)))
row_multiplier_as(
    "octave of the weight sum always that of one key",
    lambda w, m2, n2: (((m2 << _octave(w) + 1) + w) // (2 * w), n2 + 10),
)
fault(
    "ties of the level go down",
    "log2_quantizer",
    lambda right: lambda e, s, scheme: right(e, s + (e < s), scheme),
)
fault(
    "top level lost",
    "log2_quantizer",
    lambda right: lambda e, s, scheme: min(right(e, s, scheme), scheme.top_level - 1),
)


def packed_as(name: str, change: Callable[[bytes, bytes, int], tuple[bytes, bytes]]) -> None:
    """The two planes of a row of so many keys, changed."""
    fault(
        name,
        "pack_row",
        lambda right: lambda levels, scheme: change(*right(levels, scheme), len(levels)),
        vectors="code_register",
        by_o=False,
    )


def reversed_bits(plane: bytes) -> bytes:
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in plane)


def padded(plane: bytes, bits: int, used: int, filled: int) -> bytes:
    """A plane whose last byte is filled up from its used bits on."""
    return plane if used % bits == 0 else plane[:-1] + bytes([plane[-1] | filled])


packed_as(
    "high nibble first",
    lambda nibbles, flags, keys: (bytes((x & 15) << 4 | x >> 4 for x in nibbles), flags),
)
packed_as("flags from the top", lambda nibbles, flags, keys: (nibbles, reversed_bits(flags)))
packed_as(
    "last nibble repeated",
    lambda nibbles, flags, keys: (padded(nibbles, 2, keys, (nibbles[-1] & 15) << 4), flags),
)
packed_as(
    "padding flagged",
    lambda nibbles, flags, keys: (nibbles, padded(flags, 8, keys, 0xFF << keys % 8 & 0xFF)),
)


def lane_of(name: str, term: Callable[[int, int, Scheme], int]) -> None:
    """An accumulator that sums other terms of a level and v - zv."""

    def unit(levels: Sequence[int], v: Sequence[int], zv: int, scheme: Scheme) -> int:
        return sum(term(level, x - zv, scheme) for level, x in zip(levels, v, strict=True))

    fault(name, "shift_add", lambda right: unit, by_o=False)


def value(level: int, x: int, scheme: Scheme) -> int:
    return int(scheme.values[level]) * x


lane_of(
    "half bit of level 1", lambda level, x, s: x + (x >> 1) if level == 1 else value(level, x, s)
)
lane_of("half bit lost", lambda level, x, s: x << (level >> 1) if level else 0)
lane_of(
    "half bit added whole",
    lambda level, x, s: (
        x << (level // 2 + 1) if level > 1 and level % 2 == 1 else value(level, x, s)
    ),
)
lane_of("level 0 adds", lambda level, x, s: value(level, x, s) if level else x)
lane_of("term shifted by three bits", lambda level, x, s: x if level == 16 else value(level, x, s))
lane_of("term of 12 bits", lambda level, x, s: wrap(value(level, x, s), 12))
lane_of("term without its sign", lambda level, x, s: value(level, abs(x), s))
lane_of("v - zv of four bits", lambda level, x, s: value(level, wrap(x, 4), s))
fault(
    "level 0 counts as level 1",
    "shift_add",
    lambda right: lambda level, v, zv, scheme: right([max(x, 1) for x in level], v, zv, scheme),
)
fault(
    "zv not subtracted",
    "shift_add",
    lambda right: lambda level, v, zv, scheme: right(level, v, 0, scheme),
)


# Unit 9.


def output_as(
    name: str, rounded: Callable[[int, int, int], int], limit: Any = None, by_o: bool = False
) -> None:
    """o from (product, n2, zo), then limited: by default saturated to the codes."""

    def unit(acc: int, m2: int, n2: int, zo: int, config: AttentionConfig) -> int:
        top = (1 << config.o_bits) - 1
        return (limit or (lambda x, top: sat(x, 0, top)))(rounded(acc * m2, n2, zo), top)

    fault(name, "output_requantizer", lambda right: unit, by_o=by_o)


def right_output(p: int, n: int, zo: int) -> int:
    return rnd(p, n) + zo


def output_rounded(rounding: Rounding) -> Callable[[int, int, int], int]:
    return lambda p, n, zo: rounding(p, n) + zo


for how, rounding in ROUNDINGS.items():
    output_as(f"o {how}", output_rounded(rounding), by_o=True)
output_as("o saturates at 1", right_output, lambda x, top: sat(x, 1, top), by_o=True)
output_as("o saturates one early", right_output, lambda x, top: sat(x, 0, top - 1), by_o=True)
output_as("o saturates before the zero point", lambda p, n, zo: sat(rnd(p, n), 0, 15) + zo)
output_as("o wraps", right_output, lambda x, top: x & top)
output_as("o wraps at the bottom", right_output, lambda x, top: min(x, top) & top)
output_as("o of a zero point before the rounding", lambda p, n, zo: rnd(p + zo, n))
output_as("o shifted by five bits of n2", lambda p, n, zo: rnd(p, n & 31) + zo)
output_as("o of a product of 28 bits", lambda p, n, zo: rnd(wrap(p, 28), n) + zo)
