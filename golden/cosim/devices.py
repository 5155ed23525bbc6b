"""The devices that co-simulation knows: the modules of the port contract."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..contract import CONTRACTS, Contract
from ..ports import stream
from ..unit import Stream, Tables, Unit
from ..units import UNITS
from .channels import Device

__all__ = ["DEVICES", "device_named"]


def _shown(
    contract: Contract, streams: Sequence[Stream], datapath: Sequence[tuple[str, str, str]] = ()
) -> Unit:
    """Return a unit that shows these streams of the contract's, under the name of the module."""
    unit = UNITS[contract.unit]
    outputs = {each.name for each in streams if each.role == "output"}
    kept = tuple(datapath) or tuple(entry for entry in unit.datapath if entry[1] in outputs)
    return replace(unit, name=contract.module, streams=tuple(streams), datapath=kept)


def _as_it_is(contract: Contract) -> Device:
    """Return a device that shows its unit, or as much of it as it has ports for."""
    if not contract.plain:
        return Device(contract, UNITS[contract.unit])
    streams = UNITS[contract.unit].streams
    kept = [each for each in streams if each.name in ("stimulus", "expected")]
    return Device(contract, _shown(contract, kept))


def _code_memory(contract: Contract) -> Device:
    """Return the packer of a row's codes: its input is what the code register gives."""
    memory = next(each for each in UNITS["code_register"].streams if each.name == "memory")
    codes = stream("stimulus", "input", "beat", "last", "nibble", "flag")

    def tables(source: Tables) -> Tables:
        stimulus = {"last": source["stimulus"]["last"], **source["expected"]}
        return {"stimulus": stimulus, "memory": source["memory"]}

    (given,) = contract.inputs
    own = replace(contract, inputs=(replace(given, stream="stimulus"),))
    return Device(own, _shown(contract, (codes, memory)), tables)


def _softmax_row(contract: Contract) -> Device:
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

    codes_out, *taps = contract.outputs
    own = replace(contract, outputs=(replace(codes_out, stream="expected"), *taps))
    return Device(own, _shown(contract, streams, (*makers, *codes)), tables)


_MAKERS: dict[str, Callable[[Contract], Device]] = {
    "code_memory": _code_memory,
    "softmax_row": _softmax_row,
}
#: Every device by its name, in the order of the datapath.
DEVICES: dict[str, Device] = {
    name: _MAKERS.get(name, _as_it_is)(replace(contract, module=name))
    for contract in CONTRACTS.values()
    for name in (contract.module, *contract.stand_ins)
}


def device_named(name: str) -> Device:
    """Return the device of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"unit must be one of {', '.join(DEVICES)}, got {name!r}")
    return DEVICES[name]
