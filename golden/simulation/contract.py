"""How each module of the reference RTL takes and gives words: the port contract of `README.md`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Channel:
    """An AXI-Stream of a module.

    Attributes:
        prefix: of its ports: `<prefix>_tvalid`, ...
        stream: the stream of vectors whose words it carries.
        fields: of a word, most significant first; `last` is the port `tlast`.
        lanes: whether a beat carries several words, with `tkeep`.
        framed: whether it has `tlast`: a beat for a key, not one a row.
        ready: False for a tap, which is valid only.
        optional: whether a device may leave it out.
    """

    prefix: str
    stream: str
    fields: tuple[str, ...]
    lanes: bool = False
    framed: bool = False
    ready: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Contract:
    """The ports of a module.

    Attributes:
        module: its name.
        unit: whose vectors it is held to.
        inputs, outputs: its streams.
        params: ports that hold the layer's parameters: fields of the stream `params`.
        plain: whether it has ports named as the fields instead, and no clock; a user's device with
            a clock has the streams.
        stand_ins: other modules with the same ports, held to the same vectors.
    """

    module: str
    unit: str
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    params: tuple[str, ...] = ()
    plain: bool = False
    stand_ins: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Inputs, then outputs."""
        return self.inputs + self.outputs


def _plain(
    unit: str, inputs: tuple[str, ...], output: tuple[str, ...], *stand_ins: str
) -> Contract:
    """Return the contract of a module that makes a word of a word."""
    given, made = Channel("s_axis", "stimulus", inputs), Channel("m_axis", "expected", output)
    return Contract(unit, unit, (given,), (made,), plain=True, stand_ins=stand_ins)


def _reduction(
    unit: str, inputs: tuple[str, ...], output: str, *others: Channel, params: tuple[str, ...] = ()
) -> Contract:
    """Return the contract of a module that makes a word of a row."""
    given = Channel("s_axis", "stimulus", inputs, framed=True)
    return Contract(
        unit, unit, (given,), (Channel("m_axis", "expected", (output,)), *others), params
    )


_SCORES = Channel("s_axis_score", "stimulus", ("mask", "score", "bias"), lanes=True, framed=True)
_VALUES = Channel("s_axis_v", "stimulus", ("v",), lanes=True, framed=True)
_DISTANCES = Channel("m_axis_keys", "keys", ("d",), framed=True, optional=True)
_CODES = ("nibble", "flag")
_TAP_KEYS = Channel(
    "tap_keys",
    "keys",
    ("t", "d", "e", "level", "nibble", "flag"),
    lanes=True,
    framed=True,
    ready=False,
    optional=True,
)
_TAP_ROWS = Channel("tap_rows", "rows", ("row_max", "row_sum", "acc"), ready=False, optional=True)
_MEMORY = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")

#: Every module that takes and gives vectors, by its name, in the order of the datapath.
CONTRACTS: dict[str, Contract] = {
    contract.module: contract
    for contract in (
        _reduction("score_accumulator", ("q", "k"), "score", params=("zq", "zk")),
        _plain("score_requantizer", ("score", "m", "n", "bias"), ("t",)),
        _reduction("row_max", ("mask", "t"), "row_max", _DISTANCES),
        _plain("exp2", ("mask", "d"), ("e",)),
        _reduction("row_sum", ("e",), "s"),
        _plain("log2_quantizer", ("s", "e"), ("level", *_CODES), "log2_quantizer_divide"),
        _plain("code_register", ("level",), _CODES),
        Contract(
            "code_memory",
            "code_register",
            (Channel("s_axis", "expected", _CODES, framed=True),),
            (Channel("m_axis_memory", "memory", _MEMORY, framed=True),),
        ),
        _reduction("shift_add", (*_CODES, "v"), "acc", params=("zv",)),
        _plain("output_requantizer", ("acc", "m2", "n2", "zo"), ("o",)),
        Contract(
            "softmax_row",
            "attention_row",
            (_SCORES,),
            (Channel("m_axis", "keys", _CODES, lanes=True, framed=True), _TAP_KEYS),
            ("m", "n"),
        ),
        Contract(
            "attention_row",
            "attention_row",
            (_SCORES, _VALUES),
            (Channel("m_axis", "expected", ("o",)), _TAP_KEYS, _TAP_ROWS),
            ("m", "n", "m2", "n2", "zv", "zo"),
        ),
    )
}


def modules_of(unit: str) -> tuple[str, ...]:
    """Return the modules whose testbenches take the vectors of a unit."""
    return tuple(each.module for each in CONTRACTS.values() if each.unit == unit)
