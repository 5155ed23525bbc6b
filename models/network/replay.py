"""The first value of a network that differs: its part with its inputs, run again alone."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.documents import Count, Text, brief
from bitlog2.sim.heads import AttentionTrace, attention
from bitlog2.sim.network.datapath import NETWORK
from bitlog2.sim.network.parameters import (
    GateCodeParams,
    ImageParams,
    MeanParams,
    NormParams,
    StreamMeanParams,
    StreamNormParams,
)
from bitlog2.sim.network.program import (
    ActivationLinear,
    Attention,
    CodeLinear,
    GateLinear,
    Head,
    HeadLinear,
    Linear,
    Program,
    ResidualLinear,
)
from bitlog2.sim.network.program_file import program_bytes, program_of
from bitlog2.sim.network.simulator import _Simulation
from bitlog2.sim.network.spec import image_requantizer
from bitlog2.sim.network.walk import Walk
from bitlog2.sim.spec import attention_row

from ..sealed import Sealed, read_sealed, write_sealed
from .network import IntegerNetwork, Part, Product

#: Arrays by name: registers, or inputs.
Arrays = dict[str, NDArray[Any]]
#: The method of `Walk` and of the simulator that runs a part, by what the part loads.
_METHODS = {
    CodeLinear: "codes",
    ResidualLinear: "added",
    ActivationLinear: "activated",
    GateLinear: "gates",
    GateCodeParams: "multiplied",
    HeadLinear: "logits",
    NormParams: "norm",
    StreamNormParams: "stream_norm",
    MeanParams: "mean_of_norm",
    StreamMeanParams: "stream_mean",
}
#: What inputs are kept as; codes are bytes.
_DTYPES = {"x": np.int32, "gate": np.int16, "logit_in": np.int32, "pixels": np.uint16}
#: Names of the axes of a register by unit; those of others are token and channel.
_AXES = {
    "image_requantizer": ("colour", "line", "column"),
    "attention_row": ("group", "row", "key or channel"),
}


def axes_of(unit: str) -> tuple[str, ...]:
    """Return the names of the axes of a unit's registers, those of images left out."""
    return _AXES.get(unit, ("token", "channel"))


def in_hex(value: int) -> str:
    """Return a value in both notations."""
    return f"{value} ({value:#x})"


@dataclass(frozen=True)
class Place:
    """Where a value of a network stands.

    Attributes:
        image: its number.
        part, unit, register: as a trace names them.
        index: token and channel, or what else the register has axes of.
    """

    image: int
    part: str
    unit: str
    register: str
    index: tuple[int, ...]

    def __str__(self) -> str:
        axes = zip(axes_of(self.unit), self.index, strict=False)
        place = " ".join(f"{name} {index}" for name, index in axes)
        return f"image {self.image} {self.part} {self.unit} {self.register} {place}"


class Replay(Sealed, frozen=True, kw_only=True):
    """The file of a value that differs, with all that computes it.

    Attributes:
        image, part, unit, register, index: its place.
        expected, found: of the simulator and of the torch network, as they were.
        inputs: of the part, in their order, nested by axis: `codes` (1, K) of the token and, where
            the part adds to the stream, `x` (1, C), or to another head's logits, `logit_in` (1, O);
            of a product with a gate `gate` and `x` (1, O); of a norm x, of a mean x of all tokens;
            of an attention row `q` (1, D), `k` and `v` (N, D); of an image its `pixels`.
        program: its file, in base64.
    """

    format: Literal["bitlog2-mismatch-1"] = "bitlog2-mismatch-1"
    image: Count
    part: Text
    unit: Text
    register: Text
    index: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=3)]
    expected: int
    found: int
    inputs: dict[str, list[Any]]
    program: str


def replay_of(place: Place, expected: int, found: int, inputs: Arrays, program: Program) -> Replay:
    """Return the file of a value that differs."""
    return Replay(
        **vars(place),
        expected=expected,
        found=found,
        inputs={name: values.tolist() for name, values in inputs.items()},
        program=base64.b64encode(program_bytes(program)[0]).decode(),
    )


# -- A part and its inputs -------------------------------------------------------------------------


def loaded_by(program: Program, part: str) -> Any:
    """Return what a part loads, by its name in a trace; of an attention its step.

    Raises:
        ValueError: the program has no such part.
    """
    found = re.fullmatch(r"steps\.([0-9]{1,6})\.([a-z][a-z0-9]*)(\.[a-z][a-z0-9]*)?", part)
    if found is not None and int(found[1]) < len(program.steps):
        step, (name, within) = program.steps[int(found[1])], found.groups("")[1:]
        loaded = getattr(step, name, None)
        if within:
            loaded = getattr(loaded, within.removeprefix("."), None)
        if isinstance(step, Attention) and name + within == "attention":
            return step
        if isinstance(loaded, (ImageParams, *_METHODS)):
            return loaded
    raise ValueError(f"part must be one of the program's {len(program.steps)} steps, got {part!r}")


def _follows_a_head(program: Program, part: str) -> bool:
    """Whether a part is of a head behind another one."""
    place = int(part.split(".")[1])
    return place > 0 and isinstance(program.steps[place - 1], Head)


def inputs_of(network: IntegerNetwork, pixels: Tensor, place: Place) -> Arrays:
    """Run a network on an image, and return the inputs of the part with a value.

    Args:
        network: observed by nobody.
        pixels: (1, colour, line, column) integers.
        place: of the value.

    Returns:
        as in `Replay`.
    """
    loaded = loaded_by(network.program, place.part)
    if isinstance(loaded, ImageParams):
        return {"pixels": pixels[0].cpu().numpy().astype(np.uint16)}
    attended = isinstance(loaded, Attention)
    name = place.part.removesuffix("attention") + "datapath" if attended else place.part
    given: list[Any] = []
    hooks = [network.get_submodule(name).register_forward_pre_hook(lambda _, x: given.extend(x))]
    if _follows_a_head(network.program, place.part) and isinstance(loaded, HeadLinear):
        step = network.get_submodule(name.removesuffix(".linear"))
        hooks.append(step.register_forward_hook(lambda _, x, y: given.append(x[-1])))
    with torch.inference_mode():
        IntegerNetwork.forward(network, pixels)
    for hook in hooks:
        hook.remove()
    arrays = [each.cpu().numpy() for each in given if isinstance(each, Tensor)]
    if isinstance(loaded, Attention):
        (window, head), row = divmod(place.index[0], loaded.heads), place.index[1]
        q, k, v = (each[window, head].astype(np.uint8) for each in arrays[:3])
        return {"q": q[row : row + 1], "k": k, "v": v}
    if isinstance(loaded, MeanParams | StreamMeanParams):
        return {"x": arrays[0][0].astype(np.int32)}
    token = slice(place.index[0], place.index[0] + 1)
    if isinstance(loaded, GateCodeParams):
        gate, x = (each[0, token] for each in arrays)
        return {"gate": gate.astype(np.int16), "x": x.astype(np.int32)}
    if not isinstance(loaded, Linear):
        return {"x": arrays[0][0, token].astype(np.int32)}
    codes = arrays[0][0]
    found = {"codes": codes[token].astype(np.uint8)}
    if isinstance(loaded, ResidualLinear):
        x = np.broadcast_to(arrays[1], (1, len(codes), loaded.outputs))
        found["x"] = x[0, token].astype(np.int32)
    elif len(arrays) > 1:
        found["logit_in"] = arrays[1][0, token].astype(np.int32)
    return found


class PartRun:
    """The part of a program that makes a value, with its inputs: runs by all implementations.

    Args:
        program: what the network loads.
        place: of the value.
        inputs: as in `Replay`.

    Raises:
        TypeError, ValueError: there is no such part, or these are not its inputs.
    """

    def __init__(self, program: Program, place: Place, inputs: Mapping[str, Any]) -> None:
        self.program, self.place = program, place
        self.loaded = loaded_by(program, place.part)
        self.inputs = {name: _integers(name, values) for name, values in inputs.items()}
        found = {name: values.shape for name, values in self.inputs.items()}
        if found != (shapes := self._shapes(found)):
            raise ValueError(f"inputs of {place.part} must have shapes {shapes}, got {found}")

    def _shapes(self, found: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs, with as many keys or tokens as they have."""
        loaded = self.loaded
        if isinstance(loaded, ImageParams):
            return {"pixels": self.program.image_shape}
        if isinstance(loaded, Attention):
            keys = found.get("k", (1,))[0]
            depth, wide = loaded.q.outputs // loaded.heads, loaded.v.outputs // loaded.heads
            return {"q": (1, depth), "k": (keys, depth), "v": (keys, wide)}
        if isinstance(loaded, Linear):
            names = ["x"] if isinstance(loaded, ResidualLinear) else []
            if isinstance(loaded, HeadLinear) and _follows_a_head(self.program, self.place.part):
                names = ["logit_in"]
            return {"codes": (1, loaded.inputs), **dict.fromkeys(names, (1, loaded.outputs))}
        if isinstance(loaded, GateCodeParams):
            step: Any = self.program.steps[int(self.place.part.split(".")[1])]
            return dict.fromkeys(("gate", "x"), (1, step.fc2.inputs))
        if isinstance(loaded, NormParams | StreamNormParams):
            return {"x": (1, len(loaded.gain))}
        return {"x": (found.get("x", (1,))[0], self.program.head.linear.inputs)}

    @property
    def at(self) -> tuple[int, ...]:
        """Index of the value in the registers of a run: there is one token, or one row."""
        index = self.place.index
        if isinstance(self.loaded, Attention):
            return index[2:]
        whole = isinstance(self.loaded, ImageParams | MeanParams | StreamMeanParams)
        return index if whole else (0, *index[1:])

    def value(self, registers: Arrays) -> int:
        """Return the value, from the registers of a run.

        Raises:
            ValueError: they have no such register, or it has no such place.
        """
        values = registers.get(self.place.register)
        if values is None or len(self.at) != values.ndim:
            raise ValueError(f"register must be one of {', '.join(registers)}, got {self.place}")
        if any(place >= side for place, side in zip(self.at, values.shape, strict=True)):
            raise ValueError(f"index must be within {values.shape}, got {self.place}")
        return int(values[self.at])

    # -- The three implementations: registers of the part, the axis of images left out

    def specification(self) -> Arrays:
        """Run it by the specification."""
        loaded, program = self.loaded, self.program
        if isinstance(loaded, ImageParams):
            return {"image_code": self._image_codes(loaded)}
        lists = [each.tolist() for each in self.inputs.values()]
        if isinstance(loaded, Attention):
            (query,), keys, values = lists
            masked, bias = (None if each is None else each.tolist() for each in self._tables())
            given = (query, keys, values, loaded.params, program.attention, masked, bias)
            row = vars(attention_row(*given)).items()
            return {name: np.asarray(each) for name, each in row if each is not None}
        kept: Arrays = {}

        def keep(part: str, unit: str, registers: Mapping[str, NDArray[Any]]) -> None:
            kept.update(registers)

        walk, part = Walk(program.network, program.attention, keep), self.place.part
        if isinstance(loaded, MeanParams):
            part = part.removesuffix(".mean")  # the name of the step
        getattr(walk, _METHODS[type(loaded)])(part, loaded, *lists)
        return kept

    def _image_codes(self, loaded: ImageParams) -> NDArray[np.int64]:
        """Return zeros, but for the code of the one pixel."""
        index, pixels = self.place.index, self.inputs["pixels"]
        codes = np.zeros(pixels.shape, np.int64)
        if len(index) == 3:
            gain, offset, shift = (
                each[index[0]]
                for each in (loaded.image_gain, loaded.image_offset, loaded.image_shift)
            )
            pixel = int(pixels[index])
            codes[index] = image_requantizer(pixel, gain, offset, shift, self.program.network)
        return codes

    def simulator(self) -> Arrays:
        """Run it by the simulator's kernels."""
        loaded, program = self.loaded, self.program
        kept: Arrays = {}
        arrays = [each[None] for each in self.inputs.values()]
        if isinstance(loaded, Attention):
            (q, k, v), tables = arrays, self._tables()
            masked, bias = (None if each is None else each[None, None] for each in tables)
            trace = attention(
                q, k, v, loaded.params, program.attention,
                masked=masked, bias=bias, trace=True, threads=1,
            )  # fmt: skip
            assert isinstance(trace, AttentionTrace)
            return {name: each[0, 0] for name, each in vars(trace).items() if each is not None}

        def keep(part: str, unit: str, registers: Mapping[str, NDArray[Any]]) -> None:
            if part == self.place.part:
                kept.update({name: values[0] for name, values in registers.items()})

        run = _Simulation(program, keep, 1, {})
        if isinstance(loaded, ImageParams):
            run.embedding(arrays[0], program.embedding)
        else:
            getattr(run, _METHODS[type(loaded)])(self.place.part, loaded, *arrays)
        return kept

    def torch(self) -> Arrays:
        """Run it by the torch network."""
        loaded, network = self.loaded, IntegerNetwork(self.program)
        kept: Arrays = {}

        def keep(part: str, unit: str, registers: dict[str, Tensor]) -> None:
            if part == self.place.part:
                kept.update({name: values[0].numpy() for name, values in registers.items()})

        tensors = [
            torch.from_numpy(each if each.dtype == np.uint8 else each.astype(np.int64))[None]
            for each in self.inputs.values()
        ]
        name = ".".join(self.place.part.split(".")[:2])
        step: Any = network.get_submodule(name)
        with torch.inference_mode():
            if isinstance(loaded, Attention):
                codes = [each[None].float() for each in tensors]
                tables = (None if t is None else torch.from_numpy(t.copy()) for t in self._tables())
                rows = (None if t is None else t[None, None, None] for t in tables)
                found = step.datapath(*codes, loaded.params, *rows).named()
                return {register: values[0, 0, 0].numpy() for register, values in found.items()}
            if isinstance(loaded, ImageParams):
                step(*tensors, Part(name, keep, network.wide))
                return kept
            module = network.get_submodule(self.place.part)
            if not isinstance(module, Product):
                module(*tensors, Part(self.place.part, keep, network.wide))
                return kept
            # Its step has what comes behind this product: it runs on zeros until here.
            first, *before = tensors
            module.register_forward_pre_hook(lambda _, given: (first, *given[1:]))
            tokens = 1 + getattr(step, "first", 0)
            zeros = torch.zeros(1, tokens, loaded.inputs, dtype=torch.int64)
            if isinstance(loaded, HeadLinear) and not before:
                before = [torch.zeros((), dtype=torch.int64)]
            step(zeros, Part(name, keep, network.wide), *before)
        return kept

    def _tables(self) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Return mask and score bias of the keys of an attention row, (N,) each; None for none."""
        group, row = self.place.index[:2]
        window, head = divmod(group, self.loaded.heads)
        masked, bias = self.loaded.masked, self.loaded.bias
        of_window = None if masked is None else masked[window % len(masked), row]
        return of_window, None if bias is None else bias[head, row]

    # -- What the unit is given

    def values(self, registers: Arrays) -> dict[str, int]:
        """Return what the unit computes the value from, as far as that is one value each.

        Args:
            registers: of a run.
        """
        if isinstance(self.loaded, Attention):
            return self.loaded.params.as_dict()
        streams = [each for each in NETWORK[self.place.unit].streams if each.role == "input"]
        names = [name for each in streams if each.per == "case" for name in each.ports]
        found = {name: self._value_of(name, registers) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _value_of(self, name: str, registers: Arrays) -> int | None:
        given = registers.get(name, self.inputs.get("pixels" if name == "pixel" else name))
        if given is not None:
            return int(given[self.at[: given.ndim]]) if given.ndim <= len(self.at) else None
        if name == "channels":
            return int(self.inputs["x"].shape[-1])
        image = isinstance(self.loaded, ImageParams)
        for holder in ("product", "params"):
            of_it = getattr(getattr(self.loaded, holder, self.loaded), name, None)
            if isinstance(of_it, tuple):
                of_it = of_it[self.at[0 if image else -1]]
            if of_it is not None:
                return int(of_it)
        return None


def _integers(name: str, values: Any) -> NDArray[Any]:
    """Return an input as an array.

    Raises:
        ValueError: it holds no integers, or one out of the range of its type.
    """
    kind: Any = _DTYPES.get(name, np.uint8)
    try:
        found = np.asarray(values)
    except ValueError:
        found = np.empty(0)
    if found.dtype.kind not in "iu" or not found.size:
        raise ValueError(f"{name} must be integers in rows of one length, got {brief(values)}")
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    if found.min() < low or found.max() > high:
        raise ValueError(f"{name} must be from {low} to {high}")
    return found.astype(kind)


# -- The file --------------------------------------------------------------------------------------


def write_replay(path: Path, replay: Replay) -> None:
    """Write the file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sealed(path, replay)


@dataclass(frozen=True)
class Replayed:
    """A value, computed anew.

    Attributes:
        written: its file.
        source: what the program was made from.
        values: what the unit computes it from.
        specification, simulator, torch: the value by each.
    """

    written: Replay
    place: Place
    source: str
    values: dict[str, int]
    specification: int
    simulator: int
    torch: int

    @property
    def status(self) -> int:
        """1 where they differ, else 0."""
        return int(len({self.specification, self.simulator, self.torch}) > 1)

    def as_dict(self) -> dict[str, Any]:
        """Return all but the program and its inputs for a program."""
        was = {"simulator": self.written.expected, "torch": self.written.found}
        fields = vars(self) | {"place": str(self.place), "was": was, "status": self.status}
        return {name: found for name, found in fields.items() if name != "written"}

    def lines(self) -> list[str]:
        """Return the report."""
        given = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return [
            f"{self.place}; program of {self.source or 'no known source'}",
            f"  inputs         {given or 'in the file'}",
            f"  specification  {in_hex(self.specification)}",
            f"  simulator      {in_hex(self.simulator)}, was {in_hex(self.written.expected)}",
            f"  torch          {in_hex(self.torch)}, was {in_hex(self.written.found)}",
            "the three DIFFER" if self.status else "the three agree",
        ]


def replayed(path: Path) -> Replayed:
    """Run the part of a mismatch again, by specification, simulator and torch.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, it was edited, or it contradicts its program.
    """
    written = read_sealed(path, Replay)
    place = Place(written.image, written.part, written.unit, written.register, written.index)
    try:
        program, _ = program_of(base64.b64decode(written.program, validate=True))
        run = PartRun(program, place, written.inputs)
        registers = run.simulator()
        found = [run.value(each) for each in (run.specification(), registers, run.torch())]
        return Replayed(written, place, program.source, run.values(registers), *found)
    except (TypeError, ValueError, IndexError, KeyError, binascii.Error) as error:
        raise ValueError(f"{path}: {error}") from error
