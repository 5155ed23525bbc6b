"""Options that commands share: a dataclass per group, and functions on any of them."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter

from bitlog2.flow.selection import Selection
from bitlog2.names import CALIBRATIONS, MODEL_SCHEMES

from .values import integer, mapping, one_of, pair, scheme_name, value

if TYPE_CHECKING:
    from bitlog2.golden.simulation import Rtl


def group(title: str, text: str = "", order: int = 1) -> Parameter:
    """Return the decorator of a dataclass whose fields are options under one title."""
    return Parameter(name="*", group=Group(title, help=text, sort_key=order))


def selection(text: str) -> str:
    """Parse `all`, or a list of numbers, ranges and names."""
    Selection.of(text)
    return text


def given(options: Any) -> Iterator[tuple[str, Any]]:
    """Yield the options of a group that are not the default, as typed, with their values."""
    hints = get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        chosen = getattr(options, field.name)
        if chosen != field.default:
            names = [
                n for p in getattr(hints[field.name], "__metadata__", ()) for n in p.name or ()
            ]
            yield (names or [f"--{field.name.replace('_', '-')}"])[0], chosen


def refuse(why: str, *groups: Any, but: tuple[str, ...] = ()) -> None:
    """Refuse options that do not go with another one.

    Args:
        why: the end of the message.
        groups: dataclasses of options, or (option, value) pairs whose default is None.
        but: options that do go with it.

    Raises:
        ValueError: one was given.
    """
    for each in groups:
        found = [each] if isinstance(each, tuple) else given(each)
        for name, chosen in found:
            if name not in but and chosen is not None:
                raise ValueError(f"{name} must be left out {why}")


def words(*groups: Any) -> str:
    """Return the options that were given, as they are typed in a shell."""
    line = []
    for name, chosen in (one for options in groups for one in given(options)):
        for each in chosen if isinstance(chosen, tuple) else (chosen,):
            text = "=".join(each) if isinstance(each, tuple) else str(each)
            line += [name] if each is True else [name, text]
    return shlex.join(line)


@group("weights and images", "digits and fashion have their own.", 3)
@dataclass(frozen=True)
class ModelData:
    """Weights and images: the same for evaluate, export and golden emit."""

    data: Path | None = None
    """ImageNet-shaped folder, or tars in a folder"""
    classes: Path | None = None
    """the model's class names in order, one per line (or .json), where the folders' names are
    neither WordNet IDs nor indices"""
    checkpoint: Path | None = None
    """weights, .safetensors, .pth or .npz (default: the Hugging Face hub's)"""
    ema: bool = False
    """take the averaged weights that the checkpoint has beside others"""
    load: Path | None = None
    """quantized model that evaluate --save wrote; its quantization is in the file"""


@group("quantization", order=4)
@dataclass(frozen=True)
class QuantizationOptions:
    """QuantizationOptions of a model."""

    scheme: Annotated[str | None, value(scheme_name(MODEL_SCHEMES))] = None
    """code of the attention map (default: BitLog2_Half_17)"""
    w_bits: Annotated[int | None, value(integer(2, 8))] = None
    """width of weight codes (default: 4)"""
    a_bits: Annotated[int | None, value(integer(2, 8))] = None
    """width of activation codes (default: 4)"""
    calibration: Annotated[str | None, value(one_of(CALIBRATIONS))] = None
    """repq: as published; compensated: each weight code makes up for the rounding of those before
    it, each bias for that of all; reconstructed: then trained, without labels, so that the network
    gives what the unquantized one gives: takes minutes, and some 1,024 calibration images (default:
    repq)"""
    calibration_images: Annotated[int | None, value(integer(1, 10**6))] = None
    """training images that calibrate (default: 32)"""


def model_fields(
    model: str | None, data: ModelData, how: QuantizationOptions, seed: int | None
) -> dict[str, Any]:
    """Return the arguments of `usual_request` for one quantized model; None where not given.

    Raises:
        ValueError: options that do not go with --load.
    """
    if data.load is not None:
        why = "with --load, whose file has the quantization"
        refuse(why, how, ("--seed", seed), ("--checkpoint", data.checkpoint))
    bits = (how.w_bits or 4, how.a_bits or 4) if how.w_bits or how.a_bits else None
    one = {
        "models": model,
        "schemes": how.scheme,
        "seeds": seed,
        "bits": bits,
        "calibrations": how.calibration,
    }
    lists = {name: None if value is None else (value,) for name, value in one.items()}
    return lists | vars(data) | {"calibration_images": how.calibration_images}


@group("RTL of your own", "The reference RTL without --rtl and -f.", 5)
@dataclass(frozen=True)
class RtlOptions:
    """Device under test: the same for all commands that take RTL."""

    rtl: Annotated[tuple[Path, ...], value(consume_multiple=True)] = ()
    """Verilog files, packages first"""
    lists: Annotated[tuple[Path, ...], value(name="-f")] = ()
    """file list with paths as seen from the current folder; may be repeated"""
    own_lists: Annotated[tuple[Path, ...], value(name="-F")] = ()
    """file list with paths as seen from its own; may be repeated"""
    top: str | None = None
    """module (default: the unit's name)"""
    include: tuple[Path, ...] = ()
    """folder of included files; may be repeated"""
    define: tuple[str, ...] = ()
    """macro NAME[=VALUE], 1 without a value; may be repeated"""
    param: Annotated[tuple[tuple[str, str], ...], value(pair("NAME=VALUE"), repeated=True)] = ()
    """NAME=VALUE, a parameter of the module, as Verilog writes it; may be repeated"""
    ports: tuple[Path, ...] = ()
    """file with lines of --port; # begins a comment; may be repeated"""
    port: Annotated[tuple[tuple[str, str], ...], value(pair("NAME=PORT"), repeated=True)] = ()
    """NAME=PORT, a port with another name than golden/README.md gives it; each may hold one *, such
    as *=io_* or s_axis_t*=in_*; the first that fits is taken; may be repeated"""
    tie: Annotated[tuple[tuple[str, str], ...], value(pair("PORT=VALUE"), repeated=True)] = ()
    """PORT=VALUE, a constant such as 0 or 4'hf for an input that the contract lacks; may be
    repeated"""
    clock: str | None = None
    """port of clk: --port clk=PORT"""
    reset: str | None = None
    """port of rst_n, PORT, or PORT:high where it is active high"""
    no_back_pressure: bool = False
    """outputs are always taken, and a stream may lack tready"""

    def device(self) -> "Rtl | None":
        """Return the RTL that was named, None for the reference.

        Raises:
            ValueError: an option is malformed, or was given without files.
            OSError: a list or a map cannot be read.
        """
        if not (self.rtl or self.lists or self.own_lists):
            refuse("without --rtl and -f", self)
            return None
        from bitlog2.golden.simulation import FileList, Rtl, macro

        files = FileList()
        for paths, from_list in ((self.lists, False), (self.own_lists, True)):
            for path in paths:
                files.read(path, from_list=from_list)
        return Rtl(
            [*files.sources, *self.rtl],
            self.top,
            includes=[*files.includes, *self.include],
            defines=files.defines | dict(map(macro, self.define)),
            parameters=mapping("--param", self.param),
            ports=self._ports(),
            ties=mapping("--tie", self.tie),
            back_pressure=not self.no_back_pressure,
        )

    def _ports(self) -> list[tuple[str, str]]:
        """Return the names of ports: those of options go before those of files."""
        from bitlog2.golden.simulation import read_port_map

        rules = [] if self.clock is None else [("clk", self.clock)]
        if self.reset is not None:
            name, colon, level = self.reset.partition(":")
            if not name or (colon and level not in ("high", "low")):
                raise ValueError(f"--reset must be PORT, PORT:high or PORT:low, got {self.reset!r}")
            rules.append(("rst_n", f"~{name}" if level == "high" else name))
        return [*rules, *self.port, *(rule for path in self.ports for rule in read_port_map(path))]
