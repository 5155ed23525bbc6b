"""A device compiled: its ports held to the contract, and the module around it that is driven.

The ports are those that the device's sources declare, read before anything is compiled. What is
compiled and driven is a wrapper around the device: it has the ports of the contract and no others.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from ..package.reading import open_set
from ..package.vector_set import PACKAGE_NAME
from ..simulation import Elaborated, ModulePort, Rtl, ToolError, elaborate
from ..simulation.contract import Channel
from ..simulation.tools import kept_log
from ..stimulus.unit import Target
from ..testbench import reference_files
from .model import Device
from .simulators import MAKE_PATH, Simulator, start

WRAPPER = "bitlog2_device"


class DeviceError(ValueError):
    """A device has not the ports that the contract asks for; the message names them all."""


@dataclass(frozen=True)
class Wrapper:
    """A module named `WRAPPER` with the ports of the contract around a device.

    Attributes:
        text: its source.
        clocked: whether the device has streams, and with them a clock.
        lanes: words per beat of each stream that is there, by its prefix.
    """

    text: str
    clocked: bool
    lanes: dict[str, int]


def wrap(rtl: Rtl, top: str, found: Elaborated, device: Device, target: Target) -> Wrapper:
    """Return the wrapper of the module `top` with the ports `found`, held to `device`.

    Raises:
        DeviceError: a port is missing, has another direction or width, or nothing drives it.
        ValueError: a rule or a tie of `rtl` is for nothing.
    """
    joiner = _Joiner(rtl, found.ports)
    channels = device.contract.channels
    streams = any(joiner.has(each) for each in channels)
    clocked = not device.contract.plain or streams or bool(joiner.named("clk"))
    widths = {}
    if clocked:
        for name in ("clk", "rst_n"):
            joiner.join(name, "input", 1)
        _join_params(joiner, device, target)
        for channel in channels:
            if not channel.optional or joiner.has(channel):
                widths[channel.prefix] = _join_channel(joiner, device, channel, target)
    else:
        (given,), (made,) = device.contract.inputs, device.contract.outputs
        for channel, direction in ((given, "input"), (made, "output")):
            for each in device.words(channel, target).fields:
                joiner.join(each.name, direction, each.width)
    joiner.close()
    if joiner.faults:
        faults = "; ".join(f"{what} {', '.join(named)}" for what, named in joiner.faults.items())
        reason = f" ({found.error})" if found.error else ""
        raise DeviceError(f"{top}, held to {device.name}, {faults}{reason}")
    return Wrapper(joiner.render(top), clocked, widths)


def _join_params(joiner: "_Joiner", device: Device, target: Target) -> None:
    if device.contract.params:
        params = next(each for each in device.unit.streams if each.name == "params")
        for each in target.fields(params):
            joiner.join(each.name, "input", each.width)


def _join_channel(joiner: "_Joiner", device: Device, channel: Channel, target: Target) -> int:
    """Join the ports of a stream; return its words per beat."""
    carried, prefix = device.words(channel, target), channel.prefix
    given = channel in device.contract.inputs
    forward, back = ("input", "output") if given else ("output", "input")
    lanes, words = 1, " + ".join(f"{field.name} {field.width}" for field in carried.fields)
    if channel.lanes:
        keep = joiner.find(f"{prefix}_tkeep")
        lanes = keep.width if keep is not None and keep.width else 1
        words = f"{lanes} x ({words}), {'by' if keep else 'without'} {prefix}_tkeep"
    joiner.join(f"{prefix}_tvalid", forward, 1)
    joiner.join(f"{prefix}_tdata", forward, lanes * carried.width, f" ({words})")
    if channel.framed:
        joiner.join(f"{prefix}_tlast", forward, 1)
    if channel.lanes:
        joiner.join(f"{prefix}_tkeep", forward, lanes, absent="1'b1")
    if channel.ready and joiner.rtl.back_pressure:
        hint = "" if joiner.find(f"{prefix}_tready") else " or no back-pressure declared"
        joiner.join(f"{prefix}_tready", back, 1, hint)
    elif channel.ready:
        joiner.join(f"{prefix}_tready", back, 1, absent="1'b1", always=None if given else "1'b1")
    return lanes


class _Joiner:
    """Finds the ports of a module by the names of the contract, and writes the wrapper."""

    def __init__(self, rtl: Rtl, ports: Iterable[ModulePort]) -> None:
        self.rtl, self.faults = rtl, dict[str, list[str]]()
        self._ports = {each.name: each for each in ports}
        self._used: set[tuple[str, str]] = set()
        self._pins: dict[str, str] = {}
        self._declared: list[str] = []
        self._assigned: list[str] = []

    def has(self, channel: Channel) -> bool:
        """Whether there is any port of a stream."""
        signals = ("tvalid", "tdata", "tlast", "tkeep", "tready")
        return any(self.find(f"{channel.prefix}_{each}") is not None for each in signals)

    def named(self, name: str) -> str:
        """Return ` named PORT` where the owner names one for this name; else an empty text."""
        return next((f" named {port}" for given, port in self.rtl.ports if given == name), "")

    def find(self, name: str) -> ModulePort | None:
        """Return the port that has this name in the contract."""
        for rule in self.rtl.ports:
            port = _renamed(rule, name)
            if port in self._ports or rule[0] == name:
                self._used.add(rule)
                return self._ports.get(port)
        alike = [each for each in self._ports if each.lower() == name]
        chosen = name if name in self._ports else alike[0] if len(alike) == 1 else ""
        return self._ports.get(chosen)

    def _fault(self, what: str, named: str) -> None:
        self.faults.setdefault(what, []).append(named)

    def join(
        self,
        name: str,
        direction: str,
        width: int,
        hint: str = "",
        *,
        absent: str | None = None,
        always: str | None = None,
    ) -> None:
        """Declare a port of the contract and connect it to the module's.

        Args:
            name: in the contract.
            direction, width: required direction and width.
            hint: to be put behind the width.
            absent: what an output of the wrapper is where the module lacks the port; None where it
                must be there.
            always: what the module gets instead.
        """
        span = f"[{width - 1}:0] " if width > 1 else ""
        self._declared.append(f"{direction} wire {span}{name} /*verilator public_flat_rw*/")
        port = self.find(name)
        if port is None and absent is not None:
            if direction == "output":
                self._assigned.append(f"  assign {name} = {absent};")
            return
        if port is None or (port.direction, port.width) != (direction, width):
            wanted = f"{ModulePort(name, direction, width)}{hint}"
            if port is None:
                self._fault("must have", f"{wanted}{self.named(name)}")
            else:
                self._fault("must have", f"{wanted} and not {port}")
        if port is not None and port.name in self._pins:
            raise ValueError(f"ports must be joined once, got {port.name} for {name} too")
        if port is not None:
            inverted = name == "rst_n" and any(
                rule[1].startswith("~") and rule in self._used for rule in self.rtl.ports
            )
            self._pins[port.name] = always or f"{'~' if inverted else ''}{name}"

    def close(self) -> None:
        """Tie the inputs that are left; outputs that are left are open."""
        for rule in self.rtl.ports:
            if rule not in self._used:
                raise ValueError(
                    f"ports must name ports of the contract and of the module, got "
                    f"{rule[0]}={rule[1]}, which fits none"
                )
        left = [each for each in self._ports.values() if each.name not in self._pins]
        inputs = [each for each in left if each.direction == "input" and each.width]
        for name in self.rtl.ties:
            if name not in [each.name for each in inputs]:
                listed = ", ".join(each.name for each in inputs) or "none"
                raise ValueError(
                    f"ties must be inputs that the contract has not ({listed}), got {name}"
                )
        for port in left:
            if port.name in self.rtl.ties:
                self._pins[port.name] = self._tied(port)
            elif port.direction == "output":
                self._pins[port.name] = ""
            elif port.direction == "input" and port.width:
                self._fault("must have a tie for", str(port))
            else:
                self._fault("must not have", str(port))

    def _tied(self, port: ModulePort) -> str:
        import pyslang

        value = int(pyslang.SVInt(self.rtl.ties[port.name]))
        if not 0 <= value < 1 << port.width:
            raise ValueError(
                f"ties must fit inputs, got {port.name}={self.rtl.ties[port.name]} for {port}"
            )
        return f"{port.width}'h{value:x}"

    def render(self, top: str) -> str:
        """Return the wrapper's source."""
        given = ", ".join(f".{name}({value})" for name, value in self.rtl.parameters.items())
        pins = [f"      .{_escaped(name)}({pin})" for name, pin in self._pins.items()]
        return "\n".join(
            [
                "`timescale 1ns / 1ps",
                f"module {WRAPPER} (",
                ",\n".join(f"    {each}" for each in self._declared),
                ");",
                f"  {top} #({given}) dut (" if given else f"  {top} dut (",
                ",\n".join(pins),
                "  );",
                *self._assigned,
                "endmodule\n",
            ]
        )


def _renamed(rule: tuple[str, str], name: str) -> str:
    """Return the port of the module that a rule has for a name; empty where it does not fit."""
    (before, star, after), port = rule[0].partition("*"), rule[1].removeprefix("~")
    if not star:
        return port if name == rule[0] else ""
    if len(name) < len(before + after) or not (name.startswith(before) and name.endswith(after)):
        return ""
    return port.replace("*", name[len(before) : len(name) - len(after)])


def _escaped(name: str) -> str:
    return name if name.replace("_", "a").replace("$", "a").isalnum() else f"\\{name} "


#: Only the ports of the wrapper are seen from outside, as it says: that compiles in half the time.
#: Delays such as `<= #1` are kept; they need the C++ of coroutines. State that nothing sets, and
#: what is assigned x, is random.
_VERILATOR = ["--no-public-flat-rw", "--assert", "-Wno-fatal"]
_VERILATOR += ["--timing", "-CFLAGS", "-std=c++20"]
_VERILATOR += ["--x-initial", "unique", "--x-assign", "unique"]
#: What a format of waves takes beside the `--trace` of cocotb's.
_TRACE = {"fst": ["--trace-fst"]}
_LIMIT = 1800.0
_SHOWN_LINES = 6
_MESSAGE = re.compile(r"%Error|\berror\b|syntax error|Unknown module|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Design:
    """What is compiled: a device in its wrapper.

    Attributes:
        top: the device's module.
        sources: files, packages first.
        rtl: what its owner declares of it.
        wrapper: the module around it.
        files: every module of the sources -> its file.
        waves: format in which it can write its signals, `vcd` or `fst`; empty for none.
    """

    top: str
    sources: tuple[Path, ...]
    rtl: Rtl
    wrapper: Wrapper
    files: Mapping[str, Path]
    waves: str = ""

    @classmethod
    def of(
        cls,
        folder: Path,
        device: Device,
        rtl: Rtl | None,
        lanes: int | None = None,
        waves: str = "",
    ) -> "Design":
        """Return the design of a set's device: the reference RTL, or that of a user.

        Raises:
            ValueError: the device has not the ports of the contract, or `rtl` does not fit it.
            ModuleNotFoundError: what reads the ports is not installed.
        """
        target, package = open_set(folder).target, folder / PACKAGE_NAME
        return cls.held(target, package, device, rtl, lanes, waves)

    @classmethod
    def held(
        cls,
        target: Target,
        package: Path,
        device: Device,
        rtl: Rtl | None,
        lanes: int | None = None,
        waves: str = "",
    ) -> "Design":
        """Return the same for a target whose package is that file."""
        rtl = Rtl(reference_files(target.config)) if rtl is None else rtl
        if lanes is not None:
            if "LANES" in rtl.parameters:
                raise ValueError(f"lanes must be left out with the parameter LANES, got {lanes}")
            rtl = replace(rtl, parameters={**rtl.parameters, "LANES": str(lanes)})
        files = tuple(map(Path, rtl.sources))
        top = rtl.top or device.name
        if not any(path.name == PACKAGE_NAME for path in files):
            files = (package, *files)
        found = elaborate(
            top,
            [path for path in files if path.suffix in (".sv", ".v")],
            includes=_includes(rtl, files),
            defines=rtl.defines,
            parameters=rtl.parameters,
        )
        return cls(top, files, rtl, wrap(rtl, top, found, device, target), found.files, waves)

    @property
    def includes(self) -> list[Path]:
        """The folders of included files."""
        return _includes(self.rtl, self.sources)

    def key(self, simulator: Simulator) -> str:
        """Return a name for the build: it changes with everything that goes into it.

        A design with an `include` always gets a new one: what it includes is not seen here.
        """
        digest = hashlib.sha256()
        settings: list[object] = [simulator.version, self.wrapper.text, self.waves, sys.executable]
        settings += [list(self.rtl.defines.items()), list(map(str, self.rtl.includes))]
        digest.update(json.dumps([*settings, _VERILATOR]).encode())
        for path in self.sources:
            text = path.read_bytes()
            digest.update(f"{path.name} {hashlib.sha256(text).hexdigest()}".encode())
            if b"`include" in text:
                digest.update(uuid4().bytes)
        return f"{simulator.name}-{self.top}-{digest.hexdigest()[:16]}"


def _includes(rtl: Rtl, sources: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys([*map(Path, rtl.includes), *(path.parent for path in sources)]))


def build_design(design: Design, simulator: Simulator, builds: Path) -> Path:
    """Return the folder of the compiled design under `builds`, compiled now where it is new.

    Raises:
        ValueError: the compiler cannot take the folder's name.
        ToolError: it does not compile; shows the first messages of the compiler.
    """
    if simulator.name == "verilator" and not MAKE_PATH.fullmatch(str(builds)):
        raise ValueError(
            f"builds, or TMPDIR without it, must be a path without spaces, quotes, $ and # for "
            f"Verilator, got {builds}"
        )
    folder = builds / design.key(simulator)
    if folder.is_dir():
        return folder
    builds.mkdir(parents=True, exist_ok=True)
    new = builds / f".{folder.name}.{uuid4().hex}"
    new.mkdir()
    try:
        status = _built(design, simulator, new)
        if status != 0:
            log = new / "build.log"
            kept = kept_log(design.top, log.read_text(errors="replace"))
            message = _compiler_message(design, simulator, status, log)
            raise ToolError(f"{message}; all of it: {kept}")
        if not folder.is_dir():
            os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _built(design: Design, simulator: Simulator, folder: Path) -> int | None:
    verilator = simulator.name == "verilator"
    endings = (".sv", ".v", ".vlt") if verilator else (".sv", ".v")
    wrapper = folder / f"{WRAPPER}.sv"
    wrapper.write_text(design.wrapper.text, encoding="utf-8")
    sources = [path for path in design.sources if path.suffix in endings]
    return start(
        simulator,
        "build",
        folder,
        _LIMIT,
        sources=[str(path) for path in (*sources, wrapper)],
        includes=list(map(str, design.includes)),
        defines=dict(design.rtl.defines),
        build_args=[*_VERILATOR, *_TRACE.get(design.waves, ())] if verilator else [],
        hdl_toplevel=WRAPPER,
        build_dir=str(folder),
        waves=bool(design.waves),
        always=True,
    )


def _compiler_message(design: Design, simulator: Simulator, status: int | None, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    found = [line for line in lines if _MESSAGE.search(line) and "Traceback" not in line]
    shown = "; ".join(line.strip() for line in (found or lines[-_SHOWN_LINES:])[:_SHOWN_LINES])
    what = "took too long to compile" if status is None else "does not compile"
    return f"{design.top} {what} with {simulator.version}: {shown}"
