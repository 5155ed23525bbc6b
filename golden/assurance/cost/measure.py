"""Gates, LUTs and logic levels of each choice, and errors beside them."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bitlog2 import SPEC_VERSION
from bitlog2.documents import Document
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_choice
from bitlog2.sim.files import write
from bitlog2.table import Columns

from ...simulation import Elaborated, Rtl, ToolError, elaborate, yosys
from ...simulation.svpackage import render_package
from ...stimulus.unit import Progress, Target, no_progress
from ...stimulus.units import units_within
from ..yosys import PACKAGE, run_script, sources_of
from .catalogue import CHOICES, Alternative, AlternativeGroup, Choice, Counts
from .cycles import cycles_of_row, stated_cycles

_FLIP_FLOP = re.compile(r"\$_[A-Z]*DFF[A-Z]*_|SB_DFF")
_MEMORY = re.compile(r"\$mem(_v2)?$")
#: Cells that are logic: (how many levels a path through them counts, how many carries).
_LOGIC = {
    "SB_LUT4": (1, 0),
    "SB_CARRY": (0, 1),
    **{
        f"$_{gate}_": (1, 0)
        for gate in ("NOT", "AND", "NAND", "OR", "NOR", "XOR", "XNOR", "ANDNOT", "ORNOT")
    },
}
#: Names of places in the source, no hardware.
_NOTHING = "$scopeinfo"


def count_cells(netlist: Mapping[str, Any], top: str) -> Counts:
    """Return the counts of a flat, mapped module.

    Args:
        netlist: what Yosys's `write_json` writes.
        top: the module.

    Raises:
        ValueError: a cell is of no known type, or there is a combinational loop.
    """
    cells = netlist["modules"][top]["cells"]
    by_type: dict[str, int] = {}
    memory_bits = 0
    for cell in cells.values():
        kind = cell["type"]
        if kind == _NOTHING:
            continue
        by_type[kind] = by_type.get(kind, 0) + 1
        if _MEMORY.match(kind):
            sizes = cell["parameters"]
            memory_bits += int(sizes["WIDTH"], 2) * int(sizes["SIZE"], 2)
        elif kind not in _LOGIC and not _FLIP_FLOP.match(kind):
            raise ValueError(f"netlist of {top} must be mapped, got a cell {kind}")
    levels, path_carries = longest_path(cells)
    return Counts(
        cells=sum(_LOGIC[kind][0] * count for kind, count in by_type.items() if kind in _LOGIC),
        carries=by_type.get("SB_CARRY", 0),
        flip_flops=sum(count for kind, count in by_type.items() if _FLIP_FLOP.match(kind)),
        memory_bits=memory_bits,
        levels=levels,
        path_carries=path_carries,
        by_type=dict(sorted(by_type.items())),
    )


def longest_path(cells: Mapping[str, Any]) -> tuple[int, int]:
    """Return levels and carries of the path with the most levels, then the most carries.

    Paths begin and end at ports, flip-flops and memories.

    Raises:
        ValueError: there is a combinational loop.
    """
    logic = {name: cell for name, cell in cells.items() if cell["type"] in _LOGIC}
    driver = {bit: name for name, cell in logic.items() for bit in _bits(cell, "output")}
    sources = {
        name: {driver[bit] for bit in _bits(cell, "input") if bit in driver}
        for name, cell in logic.items()
    }
    reached: dict[str, tuple[int, int]] = {}
    try:
        for name in TopologicalSorter(sources).static_order():
            level, carry = _LOGIC[logic[name]["type"]]
            levels, carries = max((reached[each] for each in sources[name]), default=(0, 0))
            reached[name] = (levels + level, carries + carry)
    except CycleError as error:
        loop = len(error.args[1]) - 1
        raise ValueError(
            f"netlist must have no combinational loop, got {loop} cells on one"
        ) from None
    return max(reached.values(), default=(0, 0))


def _bits(cell: Mapping[str, Any], direction: str) -> list[int]:
    """Return the nets at a cell's ports of one direction, without constants."""
    ports = cell["port_directions"]
    return [
        bit
        for port, bits in cell["connections"].items()
        if ports[port] == direction
        for bit in bits
        if isinstance(bit, int)
    ]


#: Technology -> what its counts are.
TECHNOLOGIES: dict[str, str] = {
    "generic": "two-input gates and inverters (Yosys synth, abc -g gates)",
    "ice40": "Lattice iCE40: four-input LUTs and carry cells (Yosys synth_ice40, abc -lut 4)",
}
#: Tokens of DeiT at 224 x 224: keys of a row.
DEIT_TOKENS = 197
_SECONDS = 900
_HERE = Path(__file__).parent
_FOLDERS = (_HERE.parents[1] / "rtl", _HERE / "sv")
# Memories that are written stay cells of their own; tables become logic. ABC's usual scripts prove
# equivalences first, which takes minutes for a multiplier and does not end for a divider, so both
# map what Yosys hands over; of equal logic that is the shorter path, not the least area.
_SCRIPTS = {
    "generic": """
synth -flatten -noabc -top {top} -run begin:fine
opt -fast -full
memory_map -rom-only
opt -full
techmap
opt -fast
abc -g gates -script +strash;&get,-n;&dch,-f;&nf;&put
opt -fast
clean -purge
""",
    # As synth_ice40 did before it took abc9, whose analysis of a deep divider exhausts the stack.
    "ice40": """
synth_ice40 -top {top} -run begin:map_ram
opt -fast -mux_undef -undriven -fine
memory_map -rom-only
opt -undriven -fine
synth_ice40 -top {top} -run map_gates:map_luts
simplemap
abc -lut 4 -script +strash;dch,-f;if;mfs2
ice40_wrapcarry -unwrap
techmap -map +/ice40/ff_map.v
clean
opt_lut -tech ice40
synth_ice40 -top {top} -run map_cells:check
blackbox =A:whitebox
clean -purge
""",
}


def design_files() -> dict[str, Path]:
    """Return the modules that can be synthesized: the reference RTL, and alternatives to it."""
    return {path.stem: path for folder in _FOLDERS for path in sorted(folder.glob("*.sv"))}


def with_package(target: Target, modules: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the package of a target, then modules, by file name.

    Args:
        target: configuration and head dimension.
        modules: file name -> content; without them every module that can be synthesized.
    """
    if modules is None:
        modules = {path.name: path.read_bytes() for path in design_files().values()}
    package = render_package(target, list(units_within(target.config).values()))
    return {PACKAGE: package} | dict(sorted(modules.items()))


def elaborated(target: Target, top: str, parameters: Mapping[str, int]) -> Elaborated:
    """Return ports and parameters of a module.

    Args:
        target, top, parameters: as for `synthesize`.
    """
    with tempfile.TemporaryDirectory(prefix="bitlog2-cost-") as folder:
        sources = with_package(target)
        for name, content in sources.items():
            write(Path(folder) / name, content)
        paths = [Path(folder) / name for name in sources]
        return elaborate(top, paths, parameters={k: str(v) for k, v in parameters.items()})


def row_cycles(
    target: Target, top: str, names: Mapping[str, int], lanes: int, keys: int = DEIT_TOKENS
) -> tuple[str, Fraction]:
    """Return the formula of a module's header, and the cycles of a row.

    Args:
        target: gives the family of the scheme.
        top: a module whose header states its cycles.
        names: its parameters.
        lanes: LANES.
        keys: N.
    """
    source = design_files()[top].read_text(encoding="utf-8")
    formula = stated_cycles(source, top, target.config.code.family)
    return formula, cycles_of_row(formula, names, keys=keys, lanes=lanes)


def _cycles(each: Alternative) -> float | None:
    """Return the cycles of a row in a module whose header states them."""
    if "\n// Cycles: " not in design_files()[each.top].read_text(encoding="utf-8"):
        return None
    names = elaborated(each.target, each.top, each.parameters).values
    return float(row_cycles(each.target, each.top, names, names.get("LANES", 1))[1])


def synthesize(
    target: Target,
    top: str,
    parameters: Mapping[str, int | str],
    technology: str,
    *,
    sources: Mapping[str, bytes] | None = None,
    options: str = "",
) -> Counts:
    """Return what a module costs.

    Args:
        target: configuration and head dimension, for the package.
        top: the module.
        parameters: its parameters, where they are not those of the package.
        technology: one of `TECHNOLOGIES`.
        sources: file name -> content, instead of the reference RTL.
        options: options of Yosys's `read_verilog`.

    Raises:
        ValueError: the technology or the module is none, or the netlist is not mapped.
        ToolError: Yosys is not installed or fails.
    """
    check_choice("target", technology, tuple(TECHNOLOGIES))
    if sources is None:
        check_choice("module", top, tuple(design_files()))
    chosen = [f"chparam -set {key} {value} {top}" for key, value in parameters.items()]
    script = _SCRIPTS[technology].format(top=top)
    # A module of many units gets its parameters again below another name.
    commands = [*chosen, script, f"rename -top {top}", "write_json netlist.json"]
    with tempfile.TemporaryDirectory(prefix="bitlog2-cost-") as folder:
        place = Path(folder)
        files = with_package(target, sources)
        run_script(place, files, commands, options=options, timeout=_SECONDS)
        # What is printed ends where ABC begins in this build, so only the file tells.
        if not (place / "netlist.json").is_file():
            raise ToolError(f"Yosys wrote no netlist of {top} for {technology}")
        netlist = json.loads((place / "netlist.json").read_text(encoding="utf-8"))
    return count_cells(netlist, top)


@cache
def yosys_version() -> str:
    """Return Yosys's version without the name of the build's folders.

    Raises:
        ToolError: Yosys is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="bitlog2-cost-") as folder:
        printed = yosys("stat", folder)
    found = re.search(r"Yosys (\S+ \(git sha1 [0-9a-f]+)", printed)
    if found is None:
        raise ToolError(f"Yosys must print its version, got {printed[-200:]!r}")
    return f"{found[1]})"


_LETTERS = {"generic": ("gates", "levels"), "ice40": ("LUT4", "levels")}


#: The table of the choices that were kept, as JSON.
CHOICES_TABLE = _HERE / "choices.json"


class CostTable(Document, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        specification_version: version of SPEC.md.
        yosys: its version.
        technologies: in the order of the columns: name -> what its counts are.
        choices: in the order of the rows.
    """

    specification_version: int
    yosys: str
    technologies: dict[str, str]
    choices: tuple[Choice, ...]

    def lines(self) -> list[str]:
        """Return the table as text of fixed columns."""
        rows = {choice.name: [self._head(), *self._cells(choice)] for choice in self.choices}
        head = self._head()
        sides = "<<" + ">" * (len(head) - 3) + "<"
        columns = Columns([row for each in rows.values() for row in each], sides)
        lines = self._legend()
        for choice in self.choices:
            lines += ["", f"{choice.name}: {choice.title}", f"  {choice.note}"]
            lines += [columns.line(row) for row in rows[choice.name]]
        return lines

    def markdown(self) -> list[str]:
        """Return the table as Markdown, a table a choice."""
        lines = []
        for choice in self.choices:
            head = self._head()
            lines += [f"**{choice.title}.** {choice.note}", "", f"| {' | '.join(head)} |"]
            lines.append(f"|{'---|' * 2}{'---:|' * (len(head) - 3)}---|")
            lines += [f"| {' | '.join(row)} |" for row in self._cells(choice)]
            lines.append("")
        return lines[:-1]

    def short(self, shown: Sequence[tuple[str, str]]) -> list[str]:
        """Return groups of the table in Markdown, cells and their ratios alone.

        Args:
            shown: the name of a choice and the title of a group of it, each.
        """
        head = ["choice", "built"]
        for name in self.technologies:
            head += [_LETTERS[name][0], "x"]
        lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
        groups = {(c.name, group.title): group for c in self.choices for group in c.groups}
        for name, title in shown:
            group = groups[name, title]
            for index, each in enumerate(group.alternatives):
                row = ["" if index else f"`{name}`, {title}", each.name]
                for technology in self.technologies:
                    found, first = (
                        a.counts[technology].cells for a in (each, group.alternatives[0])
                    )
                    row += [str(found), _ratio(found, first)]
                lines.append(f"| {' | '.join(row)} |")
        return lines

    def joined(self, older: "CostTable") -> "CostTable":
        """Return this table with the choices of an older one that it has not itself.

        Nothing is taken over where version or technologies of the two differ.
        """
        same = ("specification_version", "yosys", "technologies")
        if any(getattr(self, name) != getattr(older, name) for name in same):
            return self
        found = {choice.name: choice for choice in (*older.choices, *self.choices)}
        return replace(self, choices=tuple(found[name] for name in CHOICES if name in found))

    def _legend(self) -> list[str]:
        return [
            f"Yosys {self.yosys}",
            *(f"{name}: {text}" for name, text in self.technologies.items()),
            "x: times the first of its kind; levels: cells on the longest path, carries apart;",
            "flip-flops have their enable and reset; written memories stay apart, in bits.",
            f"cycles: of a row of {DEIT_TOKENS} keys, rows following one another without a pause.",
        ]

    def _head(self) -> list[str]:
        head = ["", "built"]
        for name in self.technologies:
            cells, levels = _LETTERS[name]
            head += [cells, "x", levels] + (["carries"] if name == "ice40" else [])
        return [*head, "flip-flops", "memory", "cycles", "remark"]

    def _cells(self, choice: Choice) -> list[list[str]]:
        """Return a row for each alternative, the first of a group with its title."""
        rows = []
        for group in choice.groups:
            for index, alternative in enumerate(group.alternatives):
                row = ["" if index else group.title, alternative.name]
                for name in self.technologies:
                    found = alternative.counts[name]
                    first = group.alternatives[0].counts[name]
                    row += [str(found.cells), _ratio(found.cells, first.cells), str(found.levels)]
                    row += [str(found.carries)] if name == "ice40" else []
                row += [str(found.flip_flops), str(found.memory_bits)]
                cycles = "" if alternative.cycles is None else f"{alternative.cycles:g}"
                rows.append([*row, cycles, alternative.remark])
        return rows


def measure_cost(
    choices: Sequence[str] | None = None,
    technologies: Sequence[str] | None = None,
    *,
    progress: Progress = no_progress,
) -> CostTable:
    """Synthesize every alternative of the choices, one after another.

    Args:
        choices: names of `CHOICES`; all without them.
        technologies: names of `TECHNOLOGIES`; all without them.
        progress: wraps the runs.

    Raises:
        ValueError: a name is none of these.
        ToolError: Yosys is not installed or fails.
    """
    chosen = tuple(
        CHOICES[check_choice("choice", name, tuple(CHOICES))]
        for name in dict.fromkeys(choices or CHOICES)
    )
    names = tuple(dict.fromkeys(technologies or TECHNOLOGIES))
    for name in names:
        check_choice("target", name, tuple(TECHNOLOGIES))
    built = {
        _key(alternative, name): (alternative, name)
        for choice in chosen
        for group in choice.groups
        for alternative in group.alternatives
        for name in names
    }
    counts = {}
    for key, (each, name) in progress(built.items(), "synthesis", len(built)):
        counts[key] = synthesize(each.target, each.top, each.parameters, name)

    def measured(group: AlternativeGroup) -> AlternativeGroup:
        return replace(
            group,
            alternatives=tuple(
                replace(
                    each,
                    counts={name: counts[_key(each, name)] for name in names},
                    cycles=_cycles(each),
                )
                for each in group.alternatives
            ),
        )

    return CostTable(
        specification_version=SPEC_VERSION,
        yosys=yosys_version(),
        technologies={name: TECHNOLOGIES[name] for name in names},
        choices=tuple(
            replace(choice, groups=tuple(map(measured, choice.groups))) for choice in chosen
        ),
    )


def measure_device(
    unit: str,
    rtl: Rtl,
    technologies: Sequence[str] | None = None,
    *,
    config: AttentionConfig | None = None,
    progress: Progress = no_progress,
) -> CostTable:
    """Synthesize a user's device, and the module of the reference that it takes the place of.

    Args:
        unit: that module.
        rtl: the device, in Verilog; `bitlog2_pkg.sv` of the configuration goes in front where no
            file has that name. Its ports are not looked at, its parameters are its own.
        technologies: names of `TECHNOLOGIES`; all without them.
        config: the configuration; None for the default.
        progress: wraps the runs.

    Raises:
        ValueError: a name is none of these, or a file is none that `sources_of` takes.
        ToolError: Yosys is not installed or fails.
    """
    check_choice("unit", unit, tuple(design_files()))
    target, names = Target.of(config or AttentionConfig()), technologies or tuple(TECHNOLOGIES)
    files, options = sources_of(rtl)
    top = rtl.top or unit
    found: dict[str, dict[str, Counts]] = {unit: {}, f"your {top}": {}}
    for name in progress(names, "synthesis", len(names)):
        check_choice("target", name, tuple(TECHNOLOGIES))
        found[unit][name] = synthesize(target, unit, {}, name)
        found[f"your {top}"][name] = synthesize(
            target, top, rtl.parameters, name, sources=files, options=options
        )
    configuration = target.config.as_dict()
    alternatives = tuple(
        Alternative(name, top if mine else unit, configuration, counts=counts)
        for mine, (name, counts) in enumerate(found.items())
    )
    note = "The reference stands first; whether they compute the same, cosim says."
    group = AlternativeGroup(unit, alternatives)
    return CostTable(
        specification_version=SPEC_VERSION,
        yosys=yosys_version(),
        technologies={name: TECHNOLOGIES[name] for name in names},
        choices=(Choice("rtl", "Your RTL beside the reference", note, (group,)),),
    )


def _key(alternative: Alternative, technology: str) -> str:
    """Return what alternatives that are built alike have in common."""
    parameters = sorted(alternative.parameters.items())
    return repr((alternative.target, alternative.top, parameters, technology))


def _ratio(found: int, first: int) -> str:
    return "" if first == 0 else f"{found / first:.2f}"
