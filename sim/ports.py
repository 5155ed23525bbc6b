"""The ports and registers of the attention datapath (SPEC.md, sections 5 and 6).

One declaration each: what the value is per, its bound, its sign. Widths, the fields of vectors, the
package for SystemVerilog, parameters and traces are derived from here.
"""

from .declarations import Port
from .expressions import Expression, number, parameter, port


def _ones(bits: str) -> Expression:
    """Return the largest unsigned value of the width in that field of a configuration."""
    return (1 << parameter(bits)) - 1


#: D products of two codes less zero points, each factor at most 2**bits - 1.
_SCORE = _ones("q_bits") * _ones("k_bits") * parameter("max_head_dim")
#: |score| * M plus the rounding constant 2**(n-1).
_PRODUCT = _SCORE * _ones("m_bits") + (1 << parameter("max_n") >> 1)
#: T[0] = 2**P is the largest entry, and shifting never enlarges.
ONE = 1 << parameter("table_bits")
#: N times 2**P.
_ROW_SUM = parameter("max_tokens") << parameter("table_bits")
#: 4 s less 2: x = odd * e, shifted next to s, stays below 4 s, the leading ones aligned. Its
#: partner is 3 s (SPEC.md BL2-LOG2-06).
_COMPARE = 4 * _ROW_SUM - 2
#: The p of a row sum to at most A, and a level's value is at most its p.
_ACC = _ones("v_bits") * parameter("code.int_max")
#: |acc| * M2 plus the rounding constant 2**(n2-1).
_OUT_PRODUCT = _ACC * _ones("m2_bits") + (1 << parameter("max_n2") >> 1)
_T = (1 << (parameter("t_bits") - 1)) - 1
_DISTANCE = (1 << (parameter("distance_int_bits") + parameter("fraction_bits"))) - 1


_DECLARED = (
    Port("last", "beat", number(1)),
    Port("mask", "key", number(1)),
    Port("m", "layer", _ones("m_bits"), low=1),
    Port("n", "layer", parameter("max_n")),
    Port("m2", "layer", _ones("m2_bits"), low=1),
    Port("n2", "layer", parameter("max_n2")),
    Port("zq", "layer", _ones("q_bits")),
    Port("zk", "layer", _ones("k_bits")),
    Port("zv", "layer", _ones("v_bits")),
    Port("zo", "layer", _ones("o_bits")),
    Port("q", "query element", _ones("q_bits")),
    Port("k", "key element", _ones("k_bits")),
    Port("v", "key element", _ones("v_bits")),
    Port("score", "key", _SCORE, signed=True, register=True, dtype="int32"),
    Port("product", "key", _PRODUCT, signed=True, register=True),
    Port("bias", "key", _T, signed=True, saturates=True),
    Port("t", "key", _T, signed=True, saturates=True, register=True, dtype="int32"),
    Port("row_max", "row", _T, signed=True, saturates=True, register=True, dtype="int32"),
    Port("d", "key", _DISTANCE, register=True, dtype="int32", hidden=("mask", 1)),
    Port("e", "key", ONE, register=True, dtype="int32", zero=("mask", 1)),
    Port("row_sum", "row", _ROW_SUM, register=True, dtype="int64"),
    Port("s", "row", _ROW_SUM, same_as="row_sum"),
    Port("compare", "key", _COMPARE, register=True),
    Port("level", "key", parameter("code.top_level"), bits=5, dtype="uint8"),
    Port("nibble", "key", number(15), dtype="uint8"),
    Port("flag", "key", parameter("code.zero_flag"), dtype="uint8"),
    Port("nibble_write", "beat", number(1)),
    Port("nibble_byte", "beat", number(255), hidden=("nibble_write", 0)),
    Port("flag_write", "beat", number(1)),
    Port("flag_byte", "beat", number(255), hidden=("flag_write", 0)),
    Port("acc", "channel", _ACC, signed=True, register=True, dtype="int32"),
    Port("out_product", "channel", _OUT_PRODUCT, signed=True, register=True),
    Port("o", "channel", _ones("o_bits"), register=True, dtype="uint8"),
)

#: Every port and register by name, in the order of the datapath.
PORTS: dict[str, Port] = {port.name: port for port in _DECLARED}


def bounded(name: str) -> Expression:
    """Return the condition that an unsigned port is within its bound."""
    return port(name) <= PORTS[name].bound
