"""What a simulation is asked to do: streams, devices, configurations, job."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bitlog2.names import PROFILES
from bitlog2.sim import AttentionConfig, declarations

from ..simulation.contract import CONTRACTS, Channel, Contract
from ..stimulus.unit import Stream, Tables, Target, Unit, row_offsets
from ..stimulus.units import UNITS
from ..words.fields import Field, pack, word_width
from ..words.memfile import render_mem


@dataclass(frozen=True)
class Device:
    """A module that takes and gives vectors.

    Attributes:
        contract: its ports, with the streams of `unit`; `contract.unit` is the unit of vector sets
            that its words are taken from.
        unit: what it shows, under the module's name.
        tables: the streams of that unit -> those of `unit`.
    """

    contract: Contract
    unit: Unit
    tables: Callable[[Tables], Tables] = lambda tables: tables

    @property
    def name(self) -> str:
        """The module's name."""
        return self.unit.name

    @property
    def wide(self) -> bool:
        """Whether a beat carries several words."""
        return any(channel.lanes for channel in self.contract.inputs)


@dataclass(frozen=True)
class Shape:
    """The words of a channel for one target.

    Attributes:
        channel: which.
        fields: of a word, most significant first.
        width: bits of a word.
        per_beat: whether its stream has a word a key, not a word a case.
        last_in_word: whether the unit's words begin with the field `last`.
    """

    channel: Channel
    fields: tuple[Field, ...]
    width: int
    per_beat: bool
    last_in_word: bool


def shape_of(device: Device, channel: Channel, target: Target) -> Shape:
    """Return the words of a device's channel."""
    stream = _stream(device.unit, channel.stream)
    by_name = {field.name: field for field in stream.fields(target)}
    fields = tuple(by_name[name] for name in channel.fields)
    return Shape(channel, fields, word_width(fields), stream.per == "beat", "last" in by_name)


def _stream(unit: Unit, name: str) -> Stream:
    return next(stream for stream in unit.streams if stream.name == name)


#: `garbage(bits)` returns bits that mean nothing: what lanes hold that are not kept.
Garbage = Callable[[int], int]


@dataclass(frozen=True)
class Beat:
    """One beat of a stream: `tdata`, `tkeep` and `tlast`."""

    data: int
    keep: int = 1
    last: int = 0


def words_of(shape: Shape, tables: Tables) -> list[int]:
    """Return the words of a channel."""
    columns = tables[shape.channel.stream]
    lines = render_mem(pack(shape.fields, {f.name: columns[f.name] for f in shape.fields}))
    return [int(line, 16) for line in lines.split()]


def row_bounds(device: Device, tables: Tables) -> list[int]:
    """Return the first beat of each row and the number of beats; a case is a row of its own."""
    offsets = row_offsets(device.unit, tables)
    if offsets is not None and not device.contract.plain:
        return [int(each) for each in offsets]
    words = len(next(iter(tables["stimulus"].values())))
    return list(range(words + 1))


def beats_of_row(shape: Shape, words: list[int], lanes: int, garbage: Garbage) -> list[Beat]:
    """Return a row's words as beats: on the last the low lanes are kept.

    Args:
        shape: of the channel.
        words: of the row, at least one.
        lanes: words a beat.
        garbage: what the other lanes hold.
    """
    beats = []
    for first in range(0, len(words), lanes):
        part = words[first : first + lanes]
        spare = (lanes - len(part)) * shape.width
        data = garbage(spare) if spare else 0
        for word in reversed(part):
            data = data << shape.width | word
        last = int(first + lanes >= len(words))
        beats.append(Beat(data, (1 << len(part)) - 1, last))
    return beats


def params_of(device: Device, tables: Tables) -> list[tuple[int, ...]]:
    """Return the layer parameters of every row, in the order of the device's ports."""
    if not device.contract.params:
        return []
    columns = [tables["params"][name] for name in device.contract.params]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]


def _words(
    name: str,
    role: Literal["input", "output"],
    per: Literal["case", "beat"],
    ports: tuple[str, ...],
) -> Stream:
    return Stream(declarations.Stream(name, role, per, ports))


def _shown(
    contract: Contract, streams: Sequence[Stream], datapath: Sequence[tuple[str, str, str]] = ()
) -> Unit:
    """Return a unit that shows these streams of the contract's, under the name of the module."""
    unit = UNITS[contract.unit]
    outputs = {each.name for each in streams if each.role == "output"}
    kept = tuple(datapath) or tuple(entry for entry in unit.datapath if entry[1] in outputs)
    declared = replace(
        unit.declared,
        name=contract.module,
        streams=tuple(each.declared for each in streams),
        makes=kept,
    )
    return replace(unit, declared=declared)


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
    codes = _words("stimulus", "input", "beat", ("last", "nibble", "flag"))

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
        _words("params", "input", "case", ("m", "n")),
        _words("stimulus", "input", "beat", ("last", "mask", "score", "bias")),
        _words("expected", "output", "beat", ("last", "nibble", "flag")),
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


@dataclass(frozen=True)
class RegressionPoint:
    """One configuration.

    Attributes:
        scheme: of the map.
        fraction_bits: F.
        table_bits: P.
        code_bits: of q, k, v and o.
        lanes: keys a beat.
        max_tokens: largest N; rows of one key are in every set.
        head_dim: D.
    """

    scheme: str
    fraction_bits: int
    table_bits: int
    code_bits: int
    lanes: int
    max_tokens: int
    head_dim: int

    @property
    def config(self) -> AttentionConfig:
        """What the hardware is built with."""
        return AttentionConfig(
            scheme=self.scheme,
            q_bits=self.code_bits,
            k_bits=self.code_bits,
            v_bits=self.code_bits,
            o_bits=self.code_bits,
            max_head_dim=self.head_dim,
            max_tokens=self.max_tokens,
            fraction_bits=self.fraction_bits,
            table_bits=self.table_bits,
        )

    def __str__(self) -> str:
        return (
            f"{self.scheme} F={self.fraction_bits} P={self.table_bits} {self.code_bits}-bit codes, "
            f"{self.lanes} lanes, N<={self.max_tokens}, D={self.head_dim}"
        )


#: The values of each field that must meet every value of every other field.
CHOICES: dict[str, tuple[object, ...]] = {
    "scheme": ("BitLog2_Single_16", "BitLog2_Single_17", "BitLog2_Half_16", "BitLog2_Half_17"),
    "fraction_bits": (3, 5, 7),
    "table_bits": (8, 12, 16, 20),
    "code_bits": (4, 5, 6, 7, 8),
    "lanes": (1, 2, 4, 8),
    "max_tokens": (1, 5, 13, 32),
    "head_dim": (1, 3, 8),
}

#: A cover of all pairs; found by a greedy search, held to the claim by a test.
CONFIGURATIONS: tuple[RegressionPoint, ...] = (
    RegressionPoint("BitLog2_Single_16", 3, 12, 6, 2, 5, 1),
    RegressionPoint("BitLog2_Single_16", 7, 8, 5, 1, 32, 8),
    RegressionPoint("BitLog2_Half_16", 5, 12, 8, 1, 13, 3),
    RegressionPoint("BitLog2_Single_17", 5, 16, 4, 4, 5, 8),
    RegressionPoint("BitLog2_Half_17", 7, 20, 8, 4, 1, 1),
    RegressionPoint("BitLog2_Half_17", 3, 16, 7, 8, 32, 3),
    RegressionPoint("BitLog2_Single_17", 7, 20, 4, 2, 13, 3),
    RegressionPoint("BitLog2_Half_16", 5, 8, 7, 2, 1, 1),
    RegressionPoint("BitLog2_Single_17", 3, 12, 5, 8, 1, 8),
    RegressionPoint("BitLog2_Half_16", 5, 20, 6, 8, 32, 8),
    RegressionPoint("BitLog2_Half_17", 3, 8, 6, 4, 13, 3),
    RegressionPoint("BitLog2_Single_17", 7, 16, 6, 1, 1, 1),
    RegressionPoint("BitLog2_Half_16", 7, 8, 4, 8, 5, 1),
    RegressionPoint("BitLog2_Single_16", 3, 20, 7, 1, 5, 3),
    RegressionPoint("BitLog2_Half_17", 5, 16, 5, 2, 13, 8),
    RegressionPoint("BitLog2_Single_17", 7, 12, 7, 4, 32, 8),
    RegressionPoint("BitLog2_Single_16", 5, 16, 8, 8, 13, 1),
    RegressionPoint("BitLog2_Single_17", 3, 8, 8, 2, 32, 8),
    RegressionPoint("BitLog2_Half_17", 3, 12, 4, 1, 32, 1),
    RegressionPoint("BitLog2_Half_16", 3, 20, 5, 4, 1, 3),
    RegressionPoint("BitLog2_Single_16", 7, 16, 4, 4, 1, 8),
    RegressionPoint("BitLog2_Half_17", 3, 12, 5, 4, 5, 1),
    RegressionPoint("BitLog2_Half_16", 5, 16, 8, 8, 5, 1),
    RegressionPoint("BitLog2_Single_16", 5, 20, 7, 4, 13, 3),
)


#: Resets of the last one, and its rows: after each reset one or two are played whole.
_RESETS, _RESET_ROWS = 32, 64


@dataclass(frozen=True)
class Profile:
    """How a run goes.

    Attributes:
        name: of the run.
        source: chance in percent a cycle that an input beat waits before it is offered.
        sink: the same that an output is not ready.
        resets: how often the device is reset in the middle of a row, at most.
        cases: the cases that are played, in this order.
    """

    name: str
    source: int
    sink: int
    resets: int
    cases: tuple[int, ...]


def profiles_of(
    stall: int,
    names: Sequence[str] | None,
    cases: Sequence[int],
    seed: int,
    *,
    clocked: bool = True,
    back_pressure: bool = True,
) -> tuple[Profile, ...]:
    """Return the runs of a device: without stalls, with each kind of them, with resets.

    Args:
        stall: chance in percent; 0 for the runs without stalls alone.
        names: of the runs; None for all.
        cases: that are played; those of the run with resets are drawn from them.
        seed: of the draw.
        clocked: whether the device has a clock; without one it has the first run alone.
        back_pressure: whether its outputs can be stalled; else no run stalls them.

    Raises:
        ValueError: there is no such run.
    """
    drawn = random.Random(f"{seed} resets").choices(cases, k=_RESET_ROWS)
    found = {
        name: Profile(
            name,
            stall if name in ("source", "both", "reset") else 0,
            stall if back_pressure and name in ("sink", "both", "reset") else 0,
            _RESETS if name == "reset" else 0,
            tuple(drawn if name == "reset" else cases),
        )
        for name in (PROFILES if stall else ("none", "reset"))
        if (clocked or name == "none") and (back_pressure or name not in ("sink", "both"))
    }
    for name in names or ():
        if name not in found:
            raise ValueError(
                f"profiles must be of {', '.join(found)} for this device and stalls of {stall} %, "
                f"got {name}"
            )
    return tuple(each for name, each in found.items() if names is None or name in names)


@dataclass(frozen=True)
class Job:
    """A simulation.

    Attributes:
        folder: the vector set.
        device: what is simulated.
        results: folder for what comes out.
        profiles: the runs, one after another.
        seed: of the stalls.
        idle: cycles without a transfer after which the device counts as stuck.
        stop_first: whether the first difference ends the simulation.
        log: file that every transfer is written to.
    """

    folder: Path
    device: Device
    results: Path
    profiles: Sequence[Profile]
    seed: int
    idle: int
    stop_first: bool = False
    log: Path | None = None


def render_job(job: Job) -> bytes:
    """Return a job as a file."""
    values = {
        "folder": str(job.folder),
        "device": job.device.name,
        "results": str(job.results),
        "profiles": [astuple(each) for each in job.profiles],
        "seed": job.seed,
        "idle": job.idle,
        "stop_first": job.stop_first,
        "log": None if job.log is None else str(job.log),
    }
    return json.dumps(values).encode()


def read_job(path: Path) -> Job:
    """Return the job in a file."""
    values = json.loads(path.read_bytes())
    return Job(
        folder=Path(values["folder"]),
        device=device_named(values["device"]),
        results=Path(values["results"]),
        profiles=[
            Profile(name, source, sink, resets, tuple(cases))
            for name, source, sink, resets, cases in values["profiles"]
        ],
        seed=values["seed"],
        idle=values["idle"],
        stop_first=values["stop_first"],
        log=None if values["log"] is None else Path(values["log"]),
    )
