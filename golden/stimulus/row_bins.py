"""Coverage bins of attention rows: what a configuration can reach, and what a stimulus hit."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig

from ..words.framing import row_starts
from .cases import PLAIN, TIE_NEGATIVE, TIE_POSITIVE, level_name, rounded, rounding_kind
from .row_faults import fault_signals
from .row_shapes import carries, farthest, level_rows, lone_bits, vanishing_distance
from .row_trials import fault_points
from .unit import Point, Signals, Tables, Target, bounds, ends

_Flags = NDArray[np.bool_]


def output_tie_shift(config: AttentionConfig) -> int:
    """Return the n2 at which a one-key row with |v - zv| = M2 = 1 is half an LSB off; -1 for none.

    acc is the top level's value. RowMax shifts by its leading one too, and that is no tie where the
    value is not a power of two.
    """
    top = config.code.values[-1]
    shift = (top & -top).bit_length()
    if config.code.row_max:
        shift -= top.bit_length() - 1
    return shift if 0 < shift <= config.max_layer_n2 else -1


_ORDERS = ("falling", "rising")


def _close(bit: int, order: str) -> str:
    """Name the rows whose two largest t are neighbours, one apart and unlike up to a bit."""
    return f"close_maxima_{order}_bit_{bit}"


def row_points(target: Target) -> list[Point]:
    """Return the coverage bins of attention rows."""
    config = target.config
    several, far = config.max_tokens >= 2, farthest(config)
    ties, output_ties = config.max_n >= 1, output_tie_shift(config) >= 0
    reach, vanishes = config.t_max - config.t_min, vanishing_distance(config) is not None
    of_level = "BL2-CODE-02" if config.code.zero_flag else "BL2-CODE-01"
    row_max = config.code.row_max
    vanished = Point("vanished", "BL2-LOG2-04", reachable=config.max_tokens > config.code.int_max)
    return [
        *(Point(level_name(level, config), of_level) for level in level_rows(config)),
        Point("one_key", "BL2-ROW-01"),
        Point("most_keys", "BL2-ROW-01"),
        Point("masked_first", "BL2-MAX-01", reachable=several),
        Point("masked_last", "BL2-MAX-01", reachable=several),
        Point("one_unmasked", "BL2-MAX-02", reachable=several),
        Point("maximum_first", "BL2-MAX-01", reachable=several and far > 0),
        Point("maximum_last", "BL2-MAX-01", reachable=several and far > 0),
        *(
            Point(_close(bit, order), "BL2-MAX-01", reachable=several)
            for bit in carries(config)
            for order in _ORDERS
        ),
        Point(
            "one_hot", "BL2-WEIGHT-02" if row_max else "BL2-LOG2-01", reachable=several and vanishes
        ),
        Point("uniform", "BL2-WEIGHT-01" if row_max else "BL2-SUM-01", reachable=several),
        *(() if row_max else (vanished,)),
        *bounds(config, "BL2-SCORE-02", "score"),
        *ends(config, "BL2-PARAM-02", "n", "m"),
        *ends(config, "BL2-REQ-03", "bias"),
        Point("t_saturated_low", "BL2-REQ-02"),
        Point("t_saturated_high", "BL2-REQ-02"),
        Point("t_tie_negative", "BL2-REQ-01", reachable=ties),
        Point("t_tie_positive", "BL2-REQ-01", reachable=ties),
        Point("d_saturated", "BL2-MAX-03", reachable=several and reach > config.d_max),
        *bounds(config, "BL2-ACC-03" if row_max else "BL2-ACC-02", "acc", several or row_max),
        Point("n2_smallest", "BL2-PARAM-02", "n2", 0),
        Point("n2_largest", "BL2-PARAM-02", "n2", config.max_layer_n2),
        *ends(config, "BL2-PARAM-02", "m2"),
        Point("o_clamped_low", "BL2-OUT-01"),
        Point("o_clamped_high", "BL2-OUT-01"),
        Point("o_inside", "BL2-OUT-01"),
        *(Point(f"o_clamped_by_bit_{bit}", "BL2-OUT-01") for bit in lone_bits(config)),
        Point("o_tie_negative", "BL2-OUT-01", reachable=output_ties),
        Point("o_tie_positive", "BL2-OUT-01", reachable=output_ties),
        *fault_points(config),
    ]


def row_signals(target: Target, tables: Tables) -> Signals:
    """Return under the name of each point the rows, keys or lanes that hit it."""
    config = target.config
    starts = row_starts(tables["stimulus"]["last"])
    return {
        **_key_hits(config, tables, starts),
        **_row_hits(config, tables, starts),
        **{name: tables["params"][name] for name in ("n", "m", "n2", "m2")},
        **_output_hits(config, tables),
        **fault_signals(config, tables),
    }


def _key_hits(config: AttentionConfig, tables: Tables, starts: NDArray[np.int64]) -> Signals:
    beats, keys = tables["stimulus"], tables["keys"]
    lengths = np.diff(starts, append=len(beats["last"]))
    m, n, largest = (
        np.repeat(values, lengths)
        for values in (tables["params"]["m"], tables["params"]["n"], tables["rows"]["row_max"])
    )
    seen = beats["mask"] == 0
    product = beats["score"] * m
    raw = rounded(product, n) + beats["bias"]
    rounding = np.where(seen, rounding_kind(product, n) % 4, PLAIN)
    level, hidden = keys["level"], np.iinfo(np.int64).max
    return {
        **{level_name(k, config): (level == k) & seen for k in range(config.code.levels)},
        "score": np.where(seen, beats["score"], hidden),
        "bias": np.where(seen, beats["bias"], hidden),
        "t_saturated_low": (raw < config.t_min) & seen,
        "t_saturated_high": (raw > config.t_max) & seen,
        "t_tie_negative": rounding == TIE_NEGATIVE,
        "t_tie_positive": rounding == TIE_POSITIVE,
        "d_saturated": (largest - keys["t"] > config.d_max) & seen,
        **_close_hits(config, keys["t"], largest, seen, beats["last"] == 1),
    }


def _close_hits(
    config: AttentionConfig,
    t: NDArray[np.int64],
    largest: NDArray[np.int64],
    seen: _Flags,
    last: _Flags,
) -> dict[str, _Flags]:
    """Return the keys that, with the next one, are the two largest t of a row, one apart."""
    first, second = t[:-1], t[1:]
    both = seen[:-1] & seen[1:] & ~last[:-1] & (np.maximum(first, second) == largest[:-1])
    return {
        _close(bit, order): both & (np.minimum(first, second) == low) & (first - second == step)
        for bit, low in carries(config).items()
        for order, step in zip(_ORDERS, (1, -1), strict=True)
    }


def _row_hits(
    config: AttentionConfig, tables: Tables, starts: NDArray[np.int64]
) -> dict[str, _Flags]:
    beats, keys = tables["stimulus"], tables["keys"]

    def count(flags: _Flags) -> NDArray[np.int64]:
        return np.add.reduceat(flags.astype(np.int64), starts)

    size = np.diff(starts, append=len(beats["last"]))
    ends = starts + size - 1
    seen = beats["mask"] == 0
    visible, maxima = count(seen), count(seen & (keys["d"] == 0))
    whole, several = visible == size, size > 1
    weight = keys["level"] if config.code.row_max else keys["e"]
    return {
        "one_key": size == 1,
        "most_keys": size == config.max_tokens,
        "masked_first": ~seen[starts],
        "masked_last": ~seen[ends],
        "one_unmasked": several & (visible == 1),
        "maximum_first": several & (maxima == 1) & (keys["d"][starts] == 0),
        "maximum_last": several & (maxima == 1) & (keys["d"][ends] == 0),
        "one_hot": several & whole & (count(weight > 0) == 1),
        "uniform": several & whole & (maxima == size),
        "vanished": count(keys["level"] > 0) == 0,
    }


def _output_hits(config: AttentionConfig, tables: Tables) -> Signals:
    zo = tables["params"]["zo"][:, None]
    row_max = config.code.row_max
    scale = ("m2_row", "n2_row") if row_max else ("m2", "n2")
    m2, n2 = (tables["rows" if row_max else "params"][name][:, None] for name in scale)
    acc = tables["rows"]["acc"].reshape(len(m2), -1)
    product = acc * m2
    raw = rounded(product, n2) + zo
    high = (1 << config.o_bits) - 1
    rounding = rounding_kind(product, n2) % 4
    return {
        "acc": acc,
        "o_clamped_low": raw < 0,
        "o_clamped_high": raw > high,
        "o_inside": (raw >= 0) & (raw <= high),
        **{
            f"o_clamped_by_bit_{bit}": (raw >= 1 << bit) & (raw <= (1 << bit) + high)
            for bit in lone_bits(config)
        },
        "o_tie_negative": rounding == TIE_NEGATIVE,
        "o_tie_positive": rounding == TIE_POSITIVE,
    }
