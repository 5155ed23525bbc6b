"""The devices that co-simulation knows: the units of the vectors, and three modules beside."""

from collections.abc import Sequence
from dataclasses import replace

from ..ports import stream
from ..unit import Stream, Tables, Unit
from ..units import UNITS
from .channels import Channel, Device

__all__ = ["DEVICES", "device_named"]

_KEYS = ("t", "d", "e", "level", "nibble", "flag")
_SCORES = Channel("s_axis_score", "stimulus", ("mask", "score", "bias"), lanes=True, framed=True)
_TAP_KEYS = Channel("tap_keys", "keys", _KEYS, lanes=True, framed=True, ready=False, optional=True)


def _shown(
    source: str, name: str, streams: Sequence[Stream], datapath: Sequence[tuple[str, str, str]] = ()
) -> Unit:
    """Return a unit that shows these streams of another, under the name of its module."""
    unit = UNITS[source]
    outputs = {each.name for each in streams if each.role == "output"}
    kept = tuple(datapath) or tuple(entry for entry in unit.datapath if entry[1] in outputs)
    return replace(unit, name=name, streams=tuple(streams), datapath=kept)


def _plain(name: str, inputs: tuple[str, ...], source: str | None = None) -> Device:
    """Return a device with ports named as the fields of `stimulus` and `expected`."""
    of = source or name
    kept = [each for each in UNITS[of].streams if each.name in ("stimulus", "expected")]
    unit = _shown(of, name, kept)
    outputs = tuple(entry[2] for entry in unit.datapath)
    return Device(
        unit=unit,
        source=of,
        inputs=(Channel("s_axis", "stimulus", inputs),),
        outputs=(Channel("m_axis", "expected", outputs),),
        plain=True,
    )


def _reduction(name: str, inputs: tuple[str, ...], output: str, *params: str) -> Device:
    """Return a device that makes one word of a row."""
    return Device(
        unit=UNITS[name],
        source=name,
        inputs=(Channel("s_axis", "stimulus", inputs, framed=True),),
        outputs=(Channel("m_axis", "expected", (output,)),),
        params=params,
    )


def _row_max() -> Device:
    device = _reduction("row_max", ("mask", "t"), "row_max")
    keys = Channel("m_axis_keys", "keys", ("d",), framed=True, optional=True)
    return replace(device, outputs=(*device.outputs, keys))


def _code_memory() -> Device:
    """Return the packer of a row's codes: its input is what the code register gives."""
    memory = next(each for each in UNITS["code_register"].streams if each.name == "memory")
    codes = stream("stimulus", "input", "beat", "last", "nibble", "flag")
    fields = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")

    def tables(source: Tables) -> Tables:
        stimulus = {"last": source["stimulus"]["last"], **source["expected"]}
        return {"stimulus": stimulus, "memory": source["memory"]}

    return Device(
        unit=_shown("code_register", "code_memory", (codes, memory)),
        source="code_register",
        inputs=(Channel("s_axis", "stimulus", ("nibble", "flag"), framed=True),),
        outputs=(Channel("m_axis_memory", "memory", fields, framed=True),),
        tables=tables,
    )


def _softmax_row() -> Device:
    """Return the first half of an attention row: its codes are expected, its keys a tap."""
    keys = next(each for each in UNITS["attention_row"].streams if each.name == "keys")
    streams = (
        stream("params", "input", "case", "m", "n"),
        stream("stimulus", "input", "beat", "last", "mask", "score", "bias"),
        stream("expected", "output", "beat", "last", "nibble", "flag"),
        keys,
    )
    makers = [entry for entry in UNITS["attention_row"].datapath if entry[1] == "keys"]
    codes = (
        ("framing", "expected", "last"),
        ("code_register", "expected", "nibble"),
        ("code_register", "expected", "flag"),
    )

    def tables(source: Tables) -> Tables:
        return {
            "params": {name: source["params"][name] for name in ("m", "n")},
            "stimulus": {
                name: source["stimulus"][name] for name in ("last", "mask", "score", "bias")
            },
            "expected": {name: source["keys"][name] for name in ("last", "nibble", "flag")},
            "keys": source["keys"],
        }

    return Device(
        unit=_shown("attention_row", "softmax_row", streams, (*makers, *codes)),
        source="attention_row",
        inputs=(_SCORES,),
        outputs=(
            Channel("m_axis", "expected", ("nibble", "flag"), lanes=True, framed=True),
            _TAP_KEYS,
        ),
        params=("m", "n"),
        tables=tables,
    )


def _attention_row() -> Device:
    rows = ("row_max", "row_sum", "acc")
    return Device(
        unit=UNITS["attention_row"],
        source="attention_row",
        inputs=(_SCORES, Channel("s_axis_v", "stimulus", ("v",), lanes=True, framed=True)),
        outputs=(
            Channel("m_axis", "expected", ("o",)),
            _TAP_KEYS,
            Channel("tap_rows", "rows", rows, ready=False, optional=True),
        ),
        params=("m", "n", "m2", "n2", "zv", "zo"),
    )


_ALL = (
    _reduction("score_accumulator", ("q", "k"), "score", "zq", "zk"),
    _plain("score_requantizer", ("score", "m", "n", "bias")),
    _row_max(),
    _plain("exp2", ("mask", "d")),
    _reduction("row_sum", ("e",), "s"),
    _plain("log2_quantizer", ("s", "e")),
    _plain("log2_quantizer_divide", ("s", "e"), "log2_quantizer"),
    _plain("code_register", ("level",)),
    _code_memory(),
    _reduction("shift_add", ("nibble", "flag", "v"), "acc", "zv"),
    _plain("output_requantizer", ("acc", "m2", "n2", "zo")),
    _softmax_row(),
    _attention_row(),
)
#: Every device by its name, in the order of the datapath.
DEVICES: dict[str, Device] = {device.name: device for device in _ALL}


def device_named(name: str) -> Device:
    """Return the device of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"unit must be one of {', '.join(DEVICES)}, got {name!r}")
    return DEVICES[name]
