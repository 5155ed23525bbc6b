"""Clock, cells and utilization of the modules on two FPGAs, and what rate of rows that makes."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import replace

from bitlog2 import SPEC_VERSION
from bitlog2.documents import Count, Document, Positive
from bitlog2.names import LARGEST_SEED, PLACED
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.checks import check_choice, check_int
from bitlog2.sim.scheme import scheme_label
from bitlog2.table import aligned

from ...simulation import Elaborated, ToolError, nextpnr_version
from ...simulation.contract import contracts_of
from ...stimulus.unit import Target
from ...testbench import reference_files
from ..modules import MODULES, Module, modules_within
from .fpga import DEVICES, GOAL, Cells, Report, first_error, harness, placed, synthesized
from .measure import DEIT_TOKENS, elaborated, row_cycles, with_package, yosys_version

#: The table of the runs that were kept, as JSON.
PLACED_TABLE = Path(__file__).parent / "place.json"
#: Keys a beat of the rows.
LANES = (1, 4, 16)
#: DeiT at 224 x 224: an image has a row for each of its tokens, in each head of each layer.
_LAYERS, _HEAD_DIM = 12, 64
_HEADS = {"DeiT-T": 3, "DeiT-S": 6, "DeiT-B": 12}


class Rate(Document, frozen=True, kw_only=True):
    """How fast rows of 197 keys are at the clock, which follow one another without a pause.

    Attributes:
        formula: cycles of a row, as the header of the module states them.
        cycles: of a row of 197 keys.
        rows: rows per second.
        images: images per second of the attention of DeiT, all layers and heads through one
            device; none where it makes no output of D = 64.
    """

    formula: str
    cycles: Annotated[float, Meta(gt=0)]
    rows: Count
    images: dict[str, float]


class Placed(Document, frozen=True, kw_only=True):
    """What a module came to.

    Attributes:
        module, scheme, device: the module, its scheme, the family of FPGAs.
        lanes: LANES of a row module; None for the others.
        head_dim: D where the module has it.
        report: clock, slowest path and utilization.
        cells: cells without the harness.
        harness: LUTs and flip-flops of the harness.
        rate: rates of a row module.
    """

    module: str
    scheme: str
    device: Literal["ice40", "ecp5"]
    lanes: Positive | None
    head_dim: Positive | None
    report: Report
    cells: Cells
    harness: Cells
    rate: Rate | None

    def line(self) -> list[str]:
        """Return the cells of the table."""
        cells = self.cells
        counts = (cells.luts, cells.carries, cells.flip_flops, cells.dsp, cells.block_ram)
        clock = (f"{self.report.mhz:.1f}", f"{self.report.percent:.1f}")
        return [*_named(self), clock[0], *(f"{each:,}" for each in counts), clock[1]]

    def rate_line(self, rate: Rate) -> list[str]:
        """Return the cells of the table of rates."""
        images = [f"{each:.1f}" for each in rate.images.values()] or [""] * len(_HEADS)
        cells = (f"{self.report.mhz:.1f}", f"{rate.cycles:g}", f"{rate.rows:,}")
        return [*_named(self), *cells, *images]


class Failed(Document, frozen=True, kw_only=True):
    """A module that was not placed.

    Attributes:
        module, scheme, device, lanes, head_dim: as those of `Placed`.
        reason: what the tool said, in one line.
    """

    module: str
    scheme: str
    device: Literal["ice40", "ecp5"]
    lanes: Positive | None
    head_dim: Positive | None
    reason: str


@dataclass(frozen=True)
class Job:
    """A module to be placed.

    Attributes:
        module: the module.
        target: configuration and head dimension, for the package.
        device: family of FPGAs.
        lanes: LANES of a row module; None for the others.
    """

    module: Module
    target: Target
    device: str
    lanes: int | None

    @property
    def facts(self) -> dict[str, Any]:
        """The fields that `Placed` and `Failed` share."""
        return {
            "module": self.module.name,
            "scheme": self.target.config.scheme,
            "device": self.device,
            "lanes": self.lanes,
            "head_dim": self.target.head_dim if "HEAD_DIM" in self.elaborated.values else None,
        }

    def __str__(self) -> str:
        lanes = f"LANES = {self.lanes}, " if self.lanes else ""
        return f"{self.module.name}, {self.target.config.scheme}, {lanes}{self.device}"

    @property
    def parameters(self) -> dict[str, int]:
        """Parameters that are not those of the package."""
        return {} if self.lanes is None else {"LANES": self.lanes}

    @cached_property
    def elaborated(self) -> Elaborated:
        """Ports and parameters of the module."""
        return elaborated(self.target, self.module.name, self.parameters)

    @property
    def key(self) -> str:
        """What jobs have in common whose netlists are the same."""
        values = sorted(self.elaborated.values.items())
        return repr((self.module.name, self.device, values, self.elaborated.ports))

    def run(self, seed: int, timeout: float, notify: Callable[[str], None]) -> Placed | Failed:
        """Build the module and place it; timeout: seconds of each of the two steps."""
        text = harness(self.module.name, self.parameters, self.elaborated)
        files = with_package(self.target) | {"harness.sv": text.encode()}
        notify(f"{self}: synthesis")
        step = "synthesis"
        try:
            with tempfile.TemporaryDirectory(prefix="bitlog2-place-") as folder:
                cells, around = synthesized(Path(folder), files, self.device, timeout=timeout)
                notify(f"{self}: {cells.luts:,} LUTs, {cells.flip_flops:,} flip-flops; placing")
                step = "nextpnr"
                found = placed(Path(folder), self.device, seed=seed, timeout=timeout)
        except TimeoutExpired:
            return Failed(**self.facts, reason=f"{step} took more than {timeout:.0f} seconds")
        except ToolError as error:
            return Failed(**self.facts, reason=first_error(str(error)))
        rate = self._rate(found.mhz)
        return Placed(**self.facts, report=found, cells=cells, harness=around, rate=rate)

    def _rate(self, mhz: float) -> Rate | None:
        if self.lanes is None:
            return None
        names = self.elaborated.values
        formula, cycles = row_cycles(self.target, self.module.name, names, self.lanes)
        rows = mhz * 1e6 / float(cycles)
        whole = names.get("HEAD_DIM") == _HEAD_DIM
        images = {name: rows / (_LAYERS * h * DEIT_TOKENS) for name, h in _HEADS.items() if whole}
        return Rate(formula=formula, cycles=float(cycles), rows=round(rows), images=images)


_NAMES = ("module", "scheme", "lanes", "D", "device", "MHz")
_COUNTS = ("LUT4", "carries", "flip-flops", "DSP", "block RAM", "% of device")
_HEAD: tuple[str, ...] = (*_NAMES, *_COUNTS)
_RATE_HEAD: tuple[str, ...]
_RATE_HEAD = (*_NAMES, "cycles", "rows/s", *(f"{name}/s" for name in _HEADS))
_SIDES, _RATE_SIDES = "<<>><" + ">" * 7, "<<>><" + ">" * 6


def _named(each: Placed | Failed) -> list[str]:
    lanes, head_dim = each.lanes or "", each.head_dim or ""
    return [each.module, each.scheme, str(lanes), str(head_dim), each.device]


class PlaceTable(Document, frozen=True, kw_only=True):
    """What was placed.

    Attributes:
        specification_version: version of SPEC.md.
        yosys: its version.
        nextpnr: version of the package by family.
        seed: of nextpnr.
        goal: MHz that nextpnr was asked for.
        placed, failed: modules in their order.
    """

    specification_version: int
    yosys: str
    nextpnr: dict[str, str]
    seed: Count
    goal: Positive
    placed: tuple[Placed, ...]
    failed: tuple[Failed, ...]

    @property
    def status(self) -> int:
        """0 where everything was placed, 1 otherwise."""
        return int(bool(self.failed))

    def lines(self) -> list[str]:
        """Return the tables as text of fixed columns."""
        lines = self._legend()
        for head, rows, sides in self._tables():
            lines += ["", *aligned([head, *rows], sides)]
        lines += ["", *self._formulas()]
        for each in self.failed:
            named = " ".join(filter(None, _named(each)))
            lines += ["", f"not placed: {named}: {each.reason}"]
        return lines

    def markdown(self) -> list[str]:
        """Return the tables as Markdown."""
        lines = []
        for head, rows, sides in self._tables():
            rule = "".join("---:|" if side == ">" else "---|" for side in sides)
            lines += [f"| {' | '.join(head)} |", f"|{rule}"]
            lines += [f"| {' | '.join(row)} |" for row in rows]
            lines.append("")
        return [*lines, *(f"- {each}" for each in self._formulas())]

    def joined(self, older: "PlaceTable") -> "PlaceTable":
        """Return this table with the modules of an older one that it has not itself.

        Nothing is taken over where version, seed or goal of the two differ.
        """
        same = ("specification_version", "yosys", "seed", "goal")
        versions = [older.nextpnr.get(name, found) for name, found in self.nextpnr.items()]
        if versions != list(self.nextpnr.values()) or any(
            getattr(self, name) != getattr(older, name) for name in same
        ):
            return self
        own = {tuple(_named(each)) for each in self.placed}
        own |= {tuple(_named(each)) for each in self.failed}
        left = [each for each in older.placed if tuple(_named(each)) not in own]
        order = list(MODULES)
        together = sorted(
            (*self.placed, *left),
            key=lambda each: (order.index(each.module), each.device != "ice40", each.lanes or 0),
        )
        return replace(self, nextpnr=older.nextpnr | self.nextpnr, placed=tuple(together))

    def _tables(self) -> list[tuple[Sequence[str], list[list[str]], str]]:
        rates = [each.rate_line(each.rate) for each in self.placed if each.rate is not None]
        counts = [each.line() for each in self.placed]
        tables = ((_HEAD, counts, _SIDES), (_RATE_HEAD, rates, _RATE_SIDES))
        return [(head, _by_scheme(rows), sides) for head, rows, sides in tables if rows]

    def _formulas(self) -> list[str]:
        """Return the cycles of a row, as the headers of the modules state them."""
        found = {
            f"{each.module}, {SCHEMES[each.scheme].family}": each.rate.formula
            for each in self.placed
            if each.rate is not None
        }
        return [f"cycles of a row of {name}: {formula}" for name, formula in found.items()]

    def _legend(self) -> list[str]:
        return [
            f"Yosys {self.yosys}",
            *(f"{DEVICES[k].text}: nextpnr {v}" for k, v in self.nextpnr.items()),
            f"MHz: the clock of nextpnr's timing analysis after routing, seed {self.seed}; "
            f"{self.goal} MHz asked for.",
            "In a harness of shift registers each path begins and ends at a register; its cells",
            "count in the part of the device alone. Taps are left open. Default configuration.",
            f"rows/s: rows of {DEIT_TOKENS} keys. Images: attention behind the scores, all layers",
            "and heads, by one device.",
        ]


def _by_scheme(rows: list[list[str]]) -> list[list[str]]:
    """Return rows with those that differ in their scheme alone put together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for module, scheme, *rest in rows:
        together.setdefault((module, *rest), []).append(
            scheme_label(scheme).removeprefix("BitLog2_")
        )
    return [[key[0], ", ".join(names), *key[1:]] for key, names in together.items()]


def _jobs(
    modules: Sequence[str],
    schemes: Sequence[str],
    lanes: Sequence[int],
    families: Sequence[str],
    head_dim: int | None,
) -> list[Job]:
    """Return what is to be placed, rows last, and on ECP5 alone where they are not named."""
    jobs = []
    for scheme in schemes:
        target = Target.of(AttentionConfig(scheme=scheme), head_dim)
        contracts = contracts_of(target.config.code.family).values()
        wide = {each.module for each in contracts if each.wide}
        stand_ins = {name for each in contracts for name in each.stand_ins}
        for name, module in modules_within(target.config).items():
            if name not in modules if modules else name in stand_ins:
                continue
            built = lanes if name in wide else (None,)
            on = [each for each in families if modules or name not in wide or DEVICES[each].rows]
            jobs += [Job(module, target, family, each) for family in on for each in built]
    return sorted(jobs, key=lambda job: job.lanes or 0)


def measure_place(
    modules: Sequence[str] = (),
    schemes: Sequence[str] = (),
    lanes: Sequence[int] = (),
    targets: Sequence[str] = (),
    *,
    head_dim: int | None = None,
    seed: int = 1,
    timeout: float = 3600,
    notify: Callable[[str], None] = lambda line: None,
    so_far: Callable[[PlaceTable], None] = lambda table: None,
) -> PlaceTable:
    """Place modules one after another.

    Args:
        modules: names of `MODULES`; without them the modules of the datapath, stand-ins left out.
        schemes: names of schemes, one's own too; all of `SCHEMES` without them.
        lanes: LANES of the rows, each 1 to 64; `LANES` without them.
        targets: names of `DEVICES`; all without them.
        head_dim: D, 1 to 1024; 64 without it.
        seed: of nextpnr, 0 to 2**31 - 1.
        timeout: seconds of Yosys and of nextpnr for a module.
        notify: gets a line for each step.
        so_far: gets the table after each module.

    Raises:
        ValueError: an argument is out of range, or no module is in the datapath of the schemes.
        ToolError: Yosys or nextpnr is not installed.
    """
    for name in modules:
        check_choice("module", name, tuple(MODULES))
    for name in schemes:
        reference_files(AttentionConfig(scheme=name))
    for each in lanes:
        check_int("lanes", each, 1, 64)
    families = tuple(dict.fromkeys(targets or PLACED))
    for name in families:
        check_choice("target", name, PLACED)
    check_int("seed", seed, 0, LARGEST_SEED)
    chosen = tuple(dict.fromkeys(schemes or SCHEMES))
    jobs = _jobs(modules, chosen, tuple(dict.fromkeys(lanes or LANES)), families, head_dim)
    if not jobs:
        raise ValueError(f"module must be in the datapath of {', '.join(chosen)}, got {modules[0]}")
    table = PlaceTable(
        specification_version=SPEC_VERSION,
        nextpnr={name: nextpnr_version(name) for name in families},
        yosys=yosys_version(),
        seed=seed,
        goal=GOAL,
        placed=(),
        failed=(),
    )
    found: dict[str, Placed | Failed] = {}
    for job in jobs:
        if job.key not in found:
            found[job.key] = job.run(seed, timeout, notify)
        one = replace(found[job.key], scheme=job.target.config.scheme)
        if isinstance(one, Placed):
            notify(f"{job}: {one.report.mhz:.1f} MHz, {one.report.path}")
            table = replace(table, placed=(*table.placed, one))
        else:
            notify(f"{job}: {one.reason}")
            table = replace(table, failed=(*table.failed, one))
        so_far(table)
    return table
