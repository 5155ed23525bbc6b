"""How the modules of the reference RTL take and give the words of the vector files."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["LAYOUTS", "Layout", "Sink", "Source", "modules_of"]

#: (stream, field, value): a field means nothing in the words in which that field has that value.
Guard = tuple[str, str, int]


@dataclass(frozen=True)
class Source:
    """A stream that the testbench drives: consecutive fields of a word a beat.

    Attributes:
        prefix: of its ports.
        fields: of tdata, most significant first.
        lanes: whether a beat takes several keys, with tkeep.
        stream: the stream of words; rows are always framed by `stimulus`.
    """

    prefix: str
    fields: tuple[str, ...]
    lanes: bool = False
    stream: str = "stimulus"


@dataclass(frozen=True)
class Sink:
    """A stream that the testbench takes and compares.

    Attributes:
        prefix: of its ports.
        stream: the stream of expected words.
        fields: of tdata, most significant first.
        per: a beat a row, or one for a key.
        lanes: whether a beat gives several keys, with tkeep.
        optional: a tap or an output that a device may leave out.
        taken: whether there is a tready; a tap has none.
        ignored: field -> where it means nothing.
    """

    prefix: str
    stream: str
    fields: tuple[str, ...]
    per: Literal["row", "key"] = "row"
    lanes: bool = False
    optional: bool = False
    taken: bool = True
    ignored: tuple[tuple[str, Guard], ...] = ()


@dataclass(frozen=True)
class Layout:
    """The ports of a module: plain ones where it has no streams.

    Attributes:
        module: its name, and that of the testbench without `_tb`.
        unit: whose vectors it is held to.
        sources, sinks: its streams.
        params: fields of the stream `params` that are ports.
        stand_ins: other modules with the same ports, held to the same vectors.
    """

    module: str
    unit: str
    sources: tuple[Source, ...] = ()
    sinks: tuple[Sink, ...] = ()
    params: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()


_MASKED = (("d", ("stimulus", "mask", 1)),)
_UNWRITTEN = tuple(
    (f"{plane}_byte", ("memory", f"{plane}_write", 0)) for plane in ("nibble", "flag")
)
_MEMORY = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")
_SCORES = Source("s_axis_score", ("mask", "score", "bias"), lanes=True)
_KEYS = Sink(
    "tap_keys",
    "keys",
    ("t", "d", "e", "level", "nibble", "flag"),
    "key",
    lanes=True,
    optional=True,
    taken=False,
    ignored=_MASKED,
)
_ROWS = Sink("tap_rows", "rows", ("row_max", "row_sum", "acc"), optional=True, taken=False)

#: Every module that has a testbench, by its name.
LAYOUTS: dict[str, Layout] = {
    layout.module: layout
    for layout in (
        Layout(
            "score_accumulator",
            "score_accumulator",
            (Source("s_axis", ("q", "k")),),
            (Sink("m_axis", "expected", ("score",)),),
            ("zq", "zk"),
        ),
        Layout("score_requantizer", "score_requantizer"),
        Layout(
            "row_max",
            "row_max",
            (Source("s_axis", ("mask", "t")),),
            (
                Sink("m_axis", "expected", ("row_max",)),
                Sink("m_axis_keys", "keys", ("d",), "key", optional=True, ignored=_MASKED),
            ),
        ),
        Layout("exp2", "exp2"),
        Layout(
            "row_sum",
            "row_sum",
            (Source("s_axis", ("e",)),),
            (Sink("m_axis", "expected", ("s",)),),
        ),
        Layout("log2_quantizer", "log2_quantizer", stand_ins=("log2_quantizer_divide",)),
        Layout("code_register", "code_register"),
        Layout(
            "code_memory",
            "code_register",
            (Source("s_axis", ("nibble", "flag"), stream="expected"),),
            (Sink("m_axis_memory", "memory", _MEMORY, "key", ignored=_UNWRITTEN),),
        ),
        Layout(
            "shift_add",
            "shift_add",
            (Source("s_axis", ("nibble", "flag", "v")),),
            (Sink("m_axis", "expected", ("acc",)),),
            ("zv",),
        ),
        Layout("output_requantizer", "output_requantizer"),
        Layout(
            "softmax_row",
            "attention_row",
            (_SCORES,),
            (Sink("m_axis", "keys", ("nibble", "flag"), "key", lanes=True), _KEYS),
            ("m", "n"),
        ),
        Layout(
            "attention_row",
            "attention_row",
            (_SCORES, Source("s_axis_v", ("v",), lanes=True)),
            (Sink("m_axis", "expected", ("o",)), _KEYS, _ROWS),
            ("m", "n", "m2", "n2", "zv", "zo"),
        ),
    )
}


def modules_of(unit: str) -> tuple[str, ...]:
    """Return the modules whose testbenches take the vectors of a unit."""
    return tuple(layout.module for layout in LAYOUTS.values() if layout.unit == unit)
