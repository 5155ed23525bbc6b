"""Faults of a row, each by formula: what a device without taps must show in its output codes.

A fault is one stage of the row function with one thing wrong. There is a bin for each that some row
shows in o; the rows are in `row_trials.py`, the row function in `row_stages.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from bitlog2.sim import AttentionConfig
from bitlog2.sim.table import exp2_table

from ..words.framing import row_starts
from .cases import rounded
from .row_stages import (
    Flags,
    Integers,
    QuotientRows,
    RowMaxRows,
    Rows,
    Stage,
    coding_stages,
    leading_one,
    rows_of,
)
from .unit import PlantedFaults, Signals, Tables


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one stage.

    Attributes:
        name: what is wrong.
        requirement: the id that is broken.
        stage: the method of `Rows` that it replaces.
        wrong: (rows, *inputs of the stage) -> its output.
        rows: names the rows that are tried, methods of `Trials`.
        unseen: why output codes do not show it, where no row does.
    """

    name: str
    requirement: str
    stage: str
    wrong: Callable[..., Any]
    rows: tuple[str, ...]
    unseen: str = "no row was found in which an output code differs"


def wrapped(values: Integers, bits: int) -> Integers:
    """Return the low bits, read as two's complement."""
    half = np.int64(1) << np.int64(bits - 1)
    return ((values + half) & (2 * half - 1)) - half


def _ceiling(product: Integers, shift: Integers) -> Integers:
    return -(-product >> shift)


def _ties_down(product: Integers, shift: Integers) -> Integers:
    return -rounded(-product, shift)


def _ties_away(product: Integers, shift: Integers) -> Integers:
    return np.sign(product) * rounded(np.abs(product), shift)


def _ties_even(product: Integers, shift: Integers) -> Integers:
    up, down = rounded(product, shift), _ties_down(product, shift)
    return np.where(up & 1, down, up)


_ROUNDINGS: dict[str, Stage] = {
    "truncated": np.right_shift,
    "rounded_up": _ceiling,
    "ties_down": _ties_down,
    "ties_away_from_zero": _ties_away,
    "ties_to_even": _ties_even,
}


def _narrow(config: AttentionConfig, port: str) -> int:
    """Return a bit less than a port needs; 0 for one that is always 0."""
    needed = config.ports[port].bound(config).bit_length() + config.ports[port].signed
    return max(needed - 1, 0)


def _low_bits(port: str, stage: str) -> Stage:
    """Return a stage whose output, unsigned, has a bit less than it needs."""

    def wrong(rows: Rows, *inputs: Integers) -> Integers:
        mask = (1 << _narrow(rows.config, port)) - 1
        return getattr(rows, stage)(*inputs) & mask

    return wrong


# Unit 2.


def _score_by(rounding: Stage) -> Stage:
    def wrong(rows: Rows, product: Integers) -> Integers:
        total = rounding(product, rows.shift) + rows.bias
        return np.clip(total, rows.config.t_min, rows.config.t_max)

    return wrong


def _limited(low: int, high: int) -> Stage:
    return lambda rows, product: np.clip(rounded(product, rows.shift) + rows.bias, low, high)


def _saturated_twice(rows: Rows, product: Integers) -> Integers:
    limits = rows.config.t_min, rows.config.t_max
    return np.clip(np.clip(rounded(product, rows.shift), *limits) + rows.bias, *limits)


def _narrow_shift(rows: Rows, product: Integers) -> Integers:
    shift = rows.shift & ((1 << _narrow(rows.config, "n")) - 1)
    total = rounded(product, shift) + rows.bias
    return np.clip(total, rows.config.t_min, rows.config.t_max)


def _score_faults(config: AttentionConfig) -> Iterator[Fault]:
    low, high, ties, limits = config.t_min, config.t_max, ("score_ties",), ("saturated_scores",)

    def saturation(name: str, wrong: Stage, rows: tuple[str, ...] = limits) -> Fault:
        return Fault(f"t_{name}", "BL2-REQ-02", "requantized", wrong, rows)

    for name, rounding in _ROUNDINGS.items():
        yield Fault(f"score_{name}", "BL2-REQ-01", "requantized", _score_by(rounding), ties)
    yield saturation("saturates_late_at_the_bottom", _limited(low + 1, high))
    yield saturation("saturates_early_at_the_top", _limited(low, high - 1))
    yield saturation("saturates_before_the_bias", _saturated_twice)
    yield saturation("not_saturated", lambda rows, p: rounded(p, rows.shift) + rows.bias)
    yield saturation(
        "wraps", lambda rows, p: wrapped(rounded(p, rows.shift) + rows.bias, config.t_bits)
    )
    yield saturation(
        "narrow",
        lambda rows, p: wrapped(rows.requantized(p), config.t_bits - 1),
        ("far_apart",),
    )
    yield Fault(
        "bias_ignored",
        "BL2-REQ-03",
        "requantized",
        lambda rows, p: np.clip(rounded(p, rows.shift), low, high),
        ("far_apart",),
    )
    yield Fault(
        "product_narrow",
        "BL2-REQ-02",
        "product",
        lambda rows: wrapped(rows.product(), _narrow(config, "product")),
        ("scaled_scores",),
    )
    yield Fault("shift_narrow", "BL2-REQ-01", "requantized", _narrow_shift, ("scaled_scores",))


# Unit 3.


def _also(place: int) -> Stage:
    """Return the maximum of the seen keys and of the first key, or the last one."""

    def wrong(rows: Rows, t: Integers) -> Integers:
        return np.maximum(rows.maximum(t), t[_ends(rows, place)])

    return wrong


def _ends(rows: Rows, place: int) -> Integers:
    """Return the first key of each row, or its last one."""
    return rows.starts if place == 0 else np.append(rows.starts[1:], len(rows.hidden)) - 1


def _without(place: int) -> Stage:
    """Return the maximum without the first key, or the last one, where others are seen."""

    def wrong(rows: Rows, t: Integers) -> Integers:
        hidden = rows.hidden.copy()
        hidden[_ends(rows, place)] = True
        found = rows.largest(t, hidden)
        return np.where(found == np.iinfo(np.int64).min, rows.maximum(t), found)

    return wrong


def _every_key(rows: Rows, t: Integers) -> Integers:
    return np.maximum.reduceat(t, rows.starts)


def _blanking(rows: Rows, t: Integers) -> Integers:
    """Return the maximum of every key where all weights vanish with it."""
    largest = _every_key(rows, t)
    weigh = getattr(rows, "weight" if isinstance(rows, QuotientRows) else "level")
    weight = weigh(rows.distance(rows.gap(t, largest)))
    return np.where(rows.total(weight) == 0, largest, rows.maximum(t))


def _as_unsigned(rows: Rows, t: Integers) -> Integers:
    mask = (1 << rows.config.t_bits) - 1
    return wrapped(rows.largest(t & mask, rows.hidden), rows.config.t_bits)


def _maximum_faults(config: AttentionConfig) -> Iterator[Fault]:
    def maximum(name: str, wrong: Stage) -> Fault:
        decided = ("decisions", "masked") if name.startswith("masked") else ("far_apart",)
        return Fault(name, "BL2-MAX-01", "maximum", wrong, decided)

    def distance(name: str, stage: str, wrong: Stage) -> Fault:
        tried = ("decisions", "far", "far_apart") if stage == "distance" else ("far_apart",)
        return Fault(f"distance_{name}", "BL2-MAX-03", stage, wrong, tried)

    yield maximum("masked_maximum", _every_key)
    yield maximum("masked_maximum_blanks", _blanking)
    for name, place in (("first", 0), ("last", -1)):
        yield maximum(f"masked_{name}_key_maximum", _also(place))
        yield maximum(f"{name}_key_missed_in_the_maximum", _without(place))
    yield maximum("maximum_starts_at_0", lambda rows, t: np.maximum(rows.maximum(t), 0))
    yield maximum("maximum_unsigned", _as_unsigned)
    yield distance("wraps", "distance", lambda rows, gap: gap & config.d_max)
    yield distance("narrow", "distance", _low_bits("d", "distance"))
    same = "a key past half of the largest distance has the weight of one at half of it"
    yield replace(distance("limited_to_half", "distance", _half_range), unseen=same)
    mask = (1 << (config.t_bits - 1)) - 1
    yield distance("of_a_narrow_difference", "gap", lambda rows, *t: rows.gap(*t) & mask)
    for name, step in (("less", -1), ("more", 1)):
        yield Fault(
            f"distance_one_{name}",
            "BL2-MAX-03",
            "distance",
            _moved_distance(step),
            ("decisions", "near"),
        )


def _half_range(rows: Rows, gap: Integers) -> Integers:
    return np.clip(gap, 0, rows.config.d_max // 2)


def _moved_distance(step: int) -> Stage:
    return lambda rows, gap: np.clip(gap + step * (gap > 0), 0, rows.config.d_max)


def _below_the_maximum(of_distance: Stage) -> Stage:
    """Return what keys have by their distance when a mask hides those past the maximum alone."""
    return lambda rows, d: np.where(rows.right["gap"] < 0, 0, of_distance(rows, d))


# Units 4 to 6: quotients.


def _weight_by(rounding: Stage) -> Stage:
    def wrong(rows: QuotientRows, d: Integers) -> Integers:
        table = np.array(rows.config.table, np.int64)
        return np.where(rows.hidden, 0, rows.exp2(d, table, rounding))

    return wrong


def _weight_from(table: Callable[[AttentionConfig], Integers]) -> Stage:
    return lambda rows, d: np.where(rows.hidden, 0, rows.exp2(d, table(rows.config)))


#: Bits below an entry of a finer table, by which entries are truncated.
_FINER = 20


def _truncated_table(config: AttentionConfig) -> Integers:
    fine = exp2_table(config.fraction_bits, config.table_bits + _FINER)
    return np.array(fine, np.int64) >> _FINER


def _moved_entry(f: int, step: int) -> Callable[[AttentionConfig], Integers]:
    def table(config: AttentionConfig) -> Integers:
        moved = np.array(config.table, np.int64)
        moved[f] += step
        return moved

    return table


def _exp2_faults(config: AttentionConfig) -> Iterator[Fault]:
    def weight(name: str, number: int, wrong: Stage, *tried: str) -> Fault:
        return Fault(name, f"BL2-EXP2-0{number}", "weight", wrong, ("decisions", *tried))

    def shift_by(bits_of: Callable[[Integers], Integers]) -> Stage:
        return _weight_by(lambda entry, shift: rounded(entry, bits_of(shift)))

    past, narrow = config.table_bits + 1, config.d_max >> config.fraction_bits >> 1
    for name, rounding in _ROUNDINGS.items():
        if rounding is not _ties_away:  # entries are positive: it is RND
            yield weight(f"exp2_{name}", 2, _weight_by(rounding))
    yield weight("exp2_0_at_a_shift_of_p_and_1", 2, shift_by(lambda x: x + 2 * (x == past)))
    yield weight("exp2_shift_limited", 3, shift_by(lambda x: np.minimum(x, past)))
    yield weight("exp2_shift_narrow", 3, shift_by(lambda x: x & narrow), "far")
    table = np.array(config.table)
    yield weight("masked_e", 4, lambda rows, d: rows.exp2(d, table), "masked")
    below = _below_the_maximum(lambda rows, d: rows.exp2(d, table))
    yield weight("masked_e_below_the_maximum", 4, below, "masked")
    yield weight("e_narrow", 2, _low_bits("e", "weight"))
    yield weight("entry_truncated", 1, _weight_from(_truncated_table))
    for f in range(len(config.table)):
        for name, step in (("less", -1), ("more", 1)):
            yield weight(f"entry_{f}_one_{name}", 1, _weight_from(_moved_entry(f, step)))


def _sum_faults(config: AttentionConfig) -> Iterator[Fault]:
    def total(name: str, wrong: Stage, *tried: str) -> Fault:
        requirement = "BL2-SUM-01" if name != "narrow" else "BL2-SUM-02"
        return Fault(f"sum_{name}", requirement, "total_weight", wrong, ("decisions", *tried))

    yield total("one_more", lambda rows, e: rows.total(e) + 1)
    yield total("one_less", lambda rows, e: rows.total(e) - 1)
    for name, place in (("first", 0), ("last", -1)):
        yield total(f"without_its_{name}_key", _sum_without(place), "near")
    yield total("narrow", _low_bits("s", "total_weight"), "widest")


def _sum_without(place: int) -> Stage:
    return lambda rows, e: rows.total(e) - e[_ends(rows, place)]


def _level_at(level: int, reached: Callable[[Integers, Any], Flags]) -> Stage:
    """Return the levels of which one has another threshold: (e * A, value * s) -> whether met."""

    def wrong(rows: QuotientRows, e: Integers, s: Integers) -> Integers:
        value, sums = rows.values[level], np.maximum(s, 1)[rows.row_of]
        met = reached(e * rows.config.code.int_max, (value, sums))
        right = rows.level(e, s)
        return right + met - (right >= level)

    return wrong


def _log2_faults(config: AttentionConfig) -> Iterator[Fault]:
    def level(name: str, number: int, reached: Callable[[Integers, Any], Flags]) -> Fault:
        wrong = _level_at(number, reached)
        requirement = "BL2-LOG2-04" if number <= config.code.octave_levels else "BL2-LOG2-05"
        name, tried = f"threshold_{number}_{name}", ("decisions", "ties")
        return Fault(name, requirement, "level", wrong, tried)

    for number in range(1, config.code.levels):
        yield level("one_early", number, lambda e, at: e >= at[0] * (at[1] - 1))
        yield level("one_late", number, lambda e, at: e >= at[0] * (at[1] + 1))
        if _met_exactly(number, config):
            yield level("tie_lost", number, lambda e, at: e > at[0] * at[1])


def _bit_faults(config: AttentionConfig) -> Iterator[Fault]:
    """A bit of e or of the row sum that is lost, or always 1, on the way to the comparison."""
    for place, (port, name, *tried) in enumerate((("e", "e"), ("s", "sum", "long"))):
        for k in range(config.width(port)):
            for kind, value in (("lost", 0), ("set", 1)):
                wrong, rows = _stuck_bit(place, 1 << k, value), ("decisions", *tried)
                yield Fault(f"{name}_bit_{k}_{kind}", "BL2-LOG2-04", "level", wrong, rows)


def _stuck_bit(place: int, bit: int, value: int) -> Stage:
    """Return the levels of operands, e and s, of which one has a bit that is always 0 or 1."""

    def wrong(rows: QuotientRows, *operands: Integers) -> Integers:
        changed = list(operands)
        changed[place] = changed[place] | bit if value else changed[place] & ~bit
        return rows.level(*changed)

    return wrong


def _met_exactly(level: int, config: AttentionConfig) -> bool:
    """Whether e * A may be the value of a level times a row sum: s >= 2**P + e, or e = 2**P."""
    full = 1 << config.table_bits
    shifts = np.arange(config.table_bits + 2)
    e = np.unique(rounded(np.array(config.table, np.int64)[:, None], shifts))
    s, rest = np.divmod(e * config.code.int_max, config.code.values[level])
    return bool(((rest == 0) & (s >= full + np.where(e < full, e, 0))).any())


# Units 10 to 12: RowMax.


def _moved_threshold(level: int, step: int) -> Stage:
    def wrong(rows: RowMaxRows, d: Integers) -> Integers:
        thresholds = rows.thresholds.copy()
        thresholds[-level] += step
        return np.where(rows.hidden, 0, rows.quantized(d, thresholds))

    return wrong


def _weight_plus(step: int) -> Stage:
    return lambda rows, level: rows.total_weight(level) + step


def _multiplier_by(numerator: Callable[[Integers, Integers], Integers]) -> Stage:
    """Return M2_row as a quotient whose numerator is (M2 << k, w) -> an integer."""

    def wrong(rows: RowMaxRows, weight: Integers) -> Integers:
        weight = np.maximum(weight, 1)
        k = leading_one(weight)
        m2 = numerator(rows.params["m2"] << k, weight) // weight
        return np.stack([m2, rows.params["n2"] + k])

    return wrong


def _one_octave(rows: RowMaxRows, weight: Integers) -> Integers:
    k = np.full_like(weight, rows.config.code.base_shift)
    return np.stack([rows.scale(weight)[0], rows.params["n2"] + k])


def _row_max_faults(config: AttentionConfig) -> Iterator[Fault]:
    half = ("next_to_half",)

    def weight(name: str, wrong: Stage, rows: tuple[str, ...] = half) -> Fault:
        requirement = "BL2-WEIGHT-02" if name == "narrow" else "BL2-WEIGHT-01"
        return Fault(f"weight_{name}", requirement, "total_weight", wrong, rows)

    def scale(name: str, wrong: Stage) -> Fault:
        return Fault(name, "BL2-ROWMUL-01", "scale", wrong, half)

    for level in range(1, config.code.levels):
        for name, step in (("less", -1), ("more", 1)):
            name, wrong = f"threshold_{level}_one_{name}", _moved_threshold(level, step)
            yield Fault(name, "BL2-DIST-01", "level", wrong, ("near",))
    unmasked = lambda rows, d: rows.quantized(d, rows.thresholds)  # noqa: E731
    for name, wrong in (("", unmasked), ("_below_the_maximum", _below_the_maximum(unmasked))):
        yield Fault(f"masked_level{name}", "BL2-DIST-03", "level", wrong, ("masked",))
    yield weight("one_more", _weight_plus(1))
    yield weight("one_less", _weight_plus(-1))
    yield weight("narrow", _low_bits("weight_sum", "total_weight"), ("widest",))
    yield scale("multiplier_truncated", _multiplier_by(lambda m2, w: m2))
    yield scale("multiplier_rounded_up", _multiplier_by(lambda m2, w: m2 + w - 1))
    yield scale("octave_of_weight", _one_octave)


# Units 7 and 8.


def _moved_level(level: int, step: int) -> Stage:
    return lambda rows, found: np.where(found == level, level + step, found)


def _narrow_nibble(rows: Rows, level: Integers) -> Integers:
    """Return the level of which the nibble has three bits."""
    flagged = rows.config.code.zero_flag
    return np.where(level > 0, (level - flagged & 7) + flagged, 0)


def _terms(change: Callable[[Rows, Integers, Integers], Integers]) -> Stage:
    """Return an accumulator of other terms of value and v - zv."""

    def wrong(rows: Rows, level: Integers, difference: Integers) -> Integers:
        return rows.total(change(rows, rows.values[level][:, None], difference))

    return wrong


def _half_bit_lost(rows: Rows, value: Integers, difference: Integers) -> Integers:
    power = np.int64(1) << leading_one(np.maximum(value, 1))
    return np.where(value > 0, power, 0) * difference


def _narrow_lane(rows: Rows, value: Integers, difference: Integers) -> Integers:
    """Return terms of which the shift amount has a bit less than it needs."""
    one = np.maximum(value, 1)
    k = leading_one(one)
    most = rows.config.code.values[-1].bit_length() - 1
    lost = k - (k & ((1 << most.bit_length() - 1) - 1))
    return (value >> lost) * difference


def _lane_faults(config: AttentionConfig) -> Iterator[Fault]:
    top, several = config.code.top_level, ("decisions", "near", "next_to_half")
    of_code = "BL2-CODE-02" if config.code.zero_flag else "BL2-CODE-01"
    width = "BL2-ACC-03" if config.code.row_max else "BL2-ACC-02"

    def lane(name: str, change: Callable[[Rows, Integers, Integers], Integers]) -> Fault:
        tried = ("widest", *several)
        return Fault(name, "BL2-ACC-01", "accumulated", _terms(change), tried)

    yield Fault("level_zero", "BL2-ACC-01", "coded", _moved_level(0, 1), several)
    for level in range(1, top + 1):
        if level < top:
            wrong = _moved_level(level, 1)
            yield Fault(f"level_{level}_one_more", of_code, "coded", wrong, several)
        yield Fault(f"level_{level}_one_less", of_code, "coded", _moved_level(level, -1), several)
    yield Fault("nibble_narrow", of_code, "coded", _narrow_nibble, several)
    if config.code.half:
        yield lane("half_bit_lost", _half_bit_lost)
    yield lane("lane_shift_narrow", _narrow_lane)
    yield lane("term_without_its_sign", lambda rows, value, x: value * np.abs(x))
    yield Fault("zv_ignored", "BL2-ACC-01", "difference", lambda rows: rows.v, ("widest",))
    yield Fault(
        "difference_narrow",
        "BL2-ACC-01",
        "difference",
        lambda rows: wrapped(rows.difference(), config.v_bits),
        ("widest",),
    )
    yield Fault(
        "acc_narrow",
        width,
        "accumulated",
        lambda rows, *given: wrapped(rows.accumulated(*given), _narrow(config, "acc")),
        ("widest",),
    )


# Unit 9.


def _output_by(rounding: Stage) -> Stage:
    return _output_of(lambda rows, p, n2: rounding(p, n2) + rows.zo)


def _output_of(
    total: Callable[[Rows, Integers, Integers], Integers],
    limit: Callable[[Integers, int], Integers] = lambda x, top: np.clip(x, 0, top),
) -> Stage:
    """Return an output of another total, limited by default as it must be."""

    def wrong(rows: Rows, acc: Integers, scale: Integers) -> Integers:
        m2, n2 = scale[:, :, None]
        return limit(total(rows, acc * m2, n2), (1 << rows.config.o_bits) - 1)

    return wrong


def _right_total(rows: Rows, product: Integers, n2: Integers) -> Integers:
    return rounded(product, n2) + rows.zo


def _output_faults(config: AttentionConfig) -> Iterator[Fault]:
    top, half, offset = (1 << config.o_bits) - 1, ("next_to_half",), ("widest", "offsets")
    bits, n2_bits = _narrow(config, "out_product"), _narrow(config, "n2")
    product = _output_of(lambda rows, p, n: (wrapped(p + (1 << n >> 1), bits) >> n) + rows.zo)

    def output(name: str, wrong: Stage, rows: tuple[str, ...] = half) -> Fault:
        return Fault(f"output_{name}", "BL2-OUT-01", "output", wrong, rows)

    for name, rounding in _ROUNDINGS.items():
        yield output(name, _output_by(rounding), ("next_to_half", "offsets"))
    yield output("not_limited", _output_of(_right_total, lambda x, most: x & most))
    yield output("at_least_1", _output_of(_right_total, lambda x, most: np.clip(x, 1, most)))
    yield output(
        "at_most_one_less", _output_of(_right_total, lambda x, most: np.clip(x, 0, most - 1))
    )
    yield output(
        "limited_before_the_zero_point",
        _output_of(lambda rows, p, n: np.clip(rounded(p, n), 0, top) + rows.zo),
        offset,
    )
    yield output(
        "zero_point_before_the_rounding",
        _output_of(lambda rows, p, n: rounded(p + rows.zo, n)),
        offset,
    )
    yield output("zero_point_ignored", _output_of(lambda rows, p, n: rounded(p, n)), offset)
    yield output(
        "shift_narrow",
        _output_of(lambda rows, p, n: rounded(p, n & ((1 << n2_bits) - 1)) + rows.zo),
        ("next_to_half", "widest"),
    )
    yield Fault("output_product_narrow", "BL2-OUT-02", "output", product, offset)


@lru_cache(maxsize=32)
def faults(config: AttentionConfig) -> tuple[Fault, ...]:
    """Return the faults of the configuration's datapath."""
    of_quotients = (_exp2_faults, _sum_faults, _log2_faults, _bit_faults)
    middle = (_row_max_faults,) if config.code.row_max else of_quotients
    makers = (_score_faults, _maximum_faults, *middle, _lane_faults, _output_faults)
    return tuple(fault for make in makers for fault in make(config))


#: Outputs of stages that the taps of `attention_row` show.
_TAPPED = (
    *("requantized", "maximum", "distance", "weight", "total_weight", "level", "coded"),
    *("scale", "accumulated", "output"),
)
#: Keys by lanes that are worked at a time.
_BLOCK = 1 << 22


def fault_signals(config: AttentionConfig, tables: Tables) -> dict[str, Flags]:
    """Return for each fault the rows that show it: in o, in the codes, and with the taps.

    Args:
        config: what the hardware is built with.
        tables: the streams `params` and `stimulus`.
    """
    found: dict[str, list[Flags]] = {}
    for part in _blocks(tables):
        rows = rows_of(config, part)
        for fault in faults(config):
            for name, flags in _shown(rows, fault).items():
                found.setdefault(f"{name}_{fault.name}", []).append(flags)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _shown(rows: Rows, fault: Fault) -> dict[str, Flags]:
    """Return the rows that show a fault, by what is seen of them."""
    changed = rows.changed(fault.stage, fault.wrong)
    by_taps = np.zeros(len(rows.starts), np.bool_)
    for stage in (each for each in _TAPPED if each in changed):
        by_taps |= rows.differing(stage, changed)
    return {
        "o_shows": rows.differing("output", changed),
        "codes_show": rows.differing("coded", changed),
        "taps_show": by_taps,
    }


def _blocks(tables: Tables) -> Iterator[Tables]:
    """Yield the rows in parts that are worked at a time."""
    beats, params = tables["stimulus"], tables["params"]
    lanes = beats["v"].size // len(beats["v"])
    ends = np.append(row_starts(beats["last"])[1:], len(beats["last"]))
    first = 0
    while first < len(ends):
        begin = 0 if first == 0 else int(ends[first - 1])
        end = max(int(np.searchsorted(ends, begin + _BLOCK // lanes)), first + 1)
        keys = slice(begin, int(ends[end - 1]))
        yield {
            "stimulus": {name: column[keys] for name, column in beats.items()},
            "params": {name: column[first:end] for name, column in params.items()},
        }
        first = end


def planted_faults(config: AttentionConfig, signals: Signals) -> tuple[PlantedFaults, ...]:
    """Return what a stimulus finds of the faults, by the module that has them."""
    everywhere = faults(config)
    to_codes = [fault for fault in everywhere if fault.stage in coding_stages(config)]
    return tuple(
        PlantedFaults(
            module=module,
            planted=len(chosen),
            with_taps=sum(bool(np.any(signals[f"taps_show_{each.name}"])) for each in chosen),
            without_taps=len(chosen) - len(missed),
            missed=missed,
        )
        for module, seen, chosen in (
            ("softmax_row", "codes_show", to_codes),
            ("attention_row", "o_shows", everywhere),
        )
        for missed in [tuple(x.name for x in chosen if not np.any(signals[f"{seen}_{x.name}"]))]
    )
