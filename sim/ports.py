"""The ports and registers of the attention datapath (SPEC.md, sections 5 and 6).

One declaration each: what the value is per, its bound, its sign. Widths, the fields of vectors, the
package for SystemVerilog, parameters and traces are derived from here.
"""

from collections.abc import Callable
from typing import Any

from .declarations import Port


def _ones(bits: str) -> Callable[[Any], int]:
    """Return the largest unsigned value of the width in that field of a configuration."""
    return lambda config: (1 << getattr(config, bits)) - 1


def _score(config: Any) -> int:
    """D products of two codes less zero points, each factor at most 2**bits - 1."""
    return _ones("q_bits")(config) * _ones("k_bits")(config) * config.max_head_dim  # type: ignore[no-any-return]


def _product(config: Any) -> int:
    """|score| * M plus the rounding constant 2**(n-1)."""
    return _score(config) * _ones("m_bits")(config) + (1 << config.max_n >> 1)


def _row_sum(config: Any) -> int:
    """N times 2**P."""
    return config.max_tokens << config.table_bits  # type: ignore[no-any-return]


def _compare(config: Any) -> int:
    """4 s less 2: x = odd * e, shifted next to s, stays below 4 s, the leading ones aligned.

    Its partner is 3 s (SPEC.md BL2-LOG2-06).
    """
    return 4 * _row_sum(config) - 2


def _acc(config: Any) -> int:
    """The p of a row sum to at most A, and a level's value is at most its p."""
    return _ones("v_bits")(config) * config.code.int_max  # type: ignore[no-any-return]


def _out_product(config: Any) -> int:
    """|acc| * M2 plus the rounding constant 2**(n2-1)."""
    return _acc(config) * _ones("m2_bits")(config) + (1 << config.max_n2 >> 1)


def _t(config: Any) -> int:
    """Saturates by definition."""
    return (1 << (config.t_bits - 1)) - 1  # type: ignore[no-any-return]


def _e(config: Any) -> int:
    """T[0] = 2**P is the largest entry, and shifting never enlarges."""
    return 1 << config.table_bits  # type: ignore[no-any-return]


def _constant(value: int) -> Callable[[Any], int]:
    return lambda config: value


_DECLARED = (
    Port("last", "beat", _constant(1)),
    Port("mask", "key", _constant(1)),
    Port("m", "layer", _ones("m_bits"), low=1),
    Port("n", "layer", lambda config: config.max_n),
    Port("m2", "layer", _ones("m2_bits"), low=1),
    Port("n2", "layer", lambda config: config.max_n2),
    Port("zq", "layer", _ones("q_bits")),
    Port("zk", "layer", _ones("k_bits")),
    Port("zv", "layer", _ones("v_bits")),
    Port("zo", "layer", _ones("o_bits")),
    Port("q", "query element", _ones("q_bits")),
    Port("k", "key element", _ones("k_bits")),
    Port("v", "key element", _ones("v_bits")),
    Port("score", "key", _score, signed=True, register=True, dtype="int32"),
    Port("product", "key", _product, signed=True, register=True),
    Port("bias", "key", _t, signed=True, full=True),
    Port("t", "key", _t, signed=True, full=True, register=True, dtype="int32"),
    Port("row_max", "row", _t, signed=True, full=True, register=True, dtype="int32"),
    Port("d", "key", lambda c: c.d_max, register=True, dtype="int32", hidden=("mask", 1)),
    Port("e", "key", _e, register=True, dtype="int32", zero=("mask", 1)),
    Port("row_sum", "row", _row_sum, register=True, dtype="int64"),
    Port("s", "row", _row_sum, same_as="row_sum"),
    Port("compare", "key", _compare, register=True),
    Port("level", "key", lambda config: config.code.top_level, bits=5, dtype="uint8"),
    Port("nibble", "key", _constant(15), dtype="uint8"),
    Port("flag", "key", _constant(1), dtype="uint8"),
    Port("nibble_write", "beat", _constant(1)),
    Port("nibble_byte", "beat", _constant(255), hidden=("nibble_write", 0)),
    Port("flag_write", "beat", _constant(1)),
    Port("flag_byte", "beat", _constant(255), hidden=("flag_write", 0)),
    Port("acc", "channel", _acc, signed=True, register=True, dtype="int32"),
    Port("out_product", "channel", _out_product, signed=True, register=True),
    Port("o", "channel", _ones("o_bits"), register=True, dtype="uint8"),
)

#: Every port and register by name, in the order of the datapath.
PORTS: dict[str, Port] = {port.name: port for port in _DECLARED}
