"""What is mutated, and at which boundary a mutant is held to the original."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bitlog2.sim import AttentionConfig
from bitlog2.sim.files import write

from ...simulation import yosys

#: The input that chooses the mutant; 0 is the design as it was written.
SELECT = "mutsel"
#: A mutated clock is no defect of logic, and no proof of one clock domain sees it.
_LEFT_OUT = {"CLK", "clk"}


@dataclass(frozen=True)
class Mutant:
    """One mutation.

    Attributes:
        number: the value of `mutsel` that switches it on, from 1.
        mode: what is done to the bit: const0, const1, inv (inverted), cnot0 and cnot1 (inverted
            where another bit of the cell is 0 or 1).
        module, cell, port, bit: where: a bit of a cell's port.
        source: lines of the RTL that the cell comes from.
        options: of Yosys's `mutate`, but for the control signal.
    """

    number: int
    mode: str
    module: str
    cell: str
    port: str
    bit: int
    source: str
    options: str

    def __str__(self) -> str:
        cell = self.cell.rpartition("$")[0].rpartition("/")[2] or self.cell
        return f"{self.number}: {self.mode} {cell} {self.port}[{self.bit}] ({self.source})"

    def command(self, bits: int) -> str:
        """Return the command that puts it into the design, switched by `bits` bits."""
        return f"mutate -ctrl {SELECT} {bits} {self.number} {self.options}"


def selector_bits(mutants: int) -> int:
    """Return the bits of `mutsel` that tell so many mutants and none apart."""
    return max(1, mutants.bit_length())


def mutants_of(text: str, most: int) -> tuple[Mutant, ...]:
    """Return the first `most` mutants of a list that `mutate -list` wrote, clocks left out."""
    found: list[Mutant] = []
    for line in text.splitlines():
        mutant = _parsed(len(found) + 1, line)
        if mutant.port not in _LEFT_OUT and len(found) < most:
            found.append(mutant)
    return tuple(found)


def _parsed(number: int, line: str) -> Mutant:
    command, _, options = line.partition(" ")
    words = shlex.split(options.replace("\\", "\\\\").replace("'", "\\'"))
    pairs = list(zip(words[::2], words[1::2], strict=True))
    values = dict(reversed(pairs))
    if command != "mutate" or "-mode" not in values:
        raise ValueError(f"mutation list must hold commands `mutate -mode ...`, got {line!r}")
    return Mutant(
        number=number,
        mode=values["-mode"],
        module=values["-module"],
        cell=values["-cell"],
        port=values["-port"],
        bit=int(values["-portbit"]),
        source=_lines(value for option, value in pairs if option == "-src"),
        options=options,
    )


def _lines(places: Iterable[str]) -> str:
    """Return `file.sv:7` of each place `folder/file.sv:7.3-7.9`, once."""
    short = (place.rpartition("/")[2].split(".sv:") for place in places)
    named = (f"{name}.sv:{where.split('.')[0]}" for name, *rest in short for where in rest)
    return " ".join(dict.fromkeys(named))


#: Files of a mutated module: Verilog to simulate, and Yosys's own format to prove with.
NETLIST, DESIGN, PLAIN = "mutants.v", "mutants.il", "plain.il"
_LIST = "mutants.txt"


@dataclass(frozen=True)
class Netlist:
    """What lies in a folder: a device of which one module is mutated.

    Attributes:
        folder: holds `NETLIST` and `DESIGN`.
        top: the device.
        mutants: which can be switched on.
    """

    folder: Path
    top: str
    mutants: tuple[Mutant, ...]

    @property
    def bits(self) -> int:
        """Width of `mutsel`."""
        return selector_bits(len(self.mutants))


def sampled(
    folder: Path, rtl: Iterable[Path], top: str, module: str, most: int, seed: int
) -> Netlist:
    """Return a device with up to `most` mutants of one module, sampled evenly by Yosys.

    Args:
        folder: where the files go.
        rtl: the sources, the package first; packages and modules that the device does not use may
            be among them.
        top: the device.
        module: whose cells are mutated: the device itself, or a module inside; each variant of
            its parameters counts.
        most: mutants, at least 1; all where Yosys offers fewer.
        seed: of the sampling.

    Raises:
        ToolError: the sources cannot be read.
        ValueError: nothing in the module can be mutated.
    """
    elaborate(folder, rtl, top)
    asked = most + most // 4 + 16  # some are clocks
    listing = f"mutate -list {asked} -seed {seed} -o {_LIST} {module} A:hdlname={module}"
    yosys(f"read_rtlil {PLAIN}; {listing}", folder)
    found = mutants_of((folder / _LIST).read_text(encoding="utf-8"), most)
    if not found:
        raise ValueError(f"module must have cells to mutate, {module} in {top} has none")
    return mutated(folder, top, found)


def mutated(folder: Path, top: str, mutants: Sequence[Mutant]) -> Netlist:
    """Return the elaborated device of a folder with these mutants."""
    bits = selector_bits(len(mutants))
    commands = [f"read_rtlil {PLAIN}", *(each.command(bits) for each in mutants)]
    commands += [f"write_rtlil {DESIGN}", "opt_clean", f"write_verilog -noattr {NETLIST}"]
    write(folder / "mutate.ys", "\n".join(commands) + "\n")
    yosys("script mutate.ys", folder)
    return Netlist(folder, top, tuple(mutants))


def elaborate(folder: Path, rtl: Iterable[Path], top: str) -> None:
    """Write the device into a folder as cells, bits that nothing reads left out.

    What is unknown in Verilog each simulator has its own way: so shifts, which give 0, in place of
    bits selected out of range, and multiplexers in place of cases that exclude one another.
    """
    names = []
    for path in rtl:
        names.append(path.name)
        write(folder / path.name, path.read_bytes())
    steps = ["proc", "opt_expr", "opt_clean", "wreduce", "opt_clean"]
    steps += ["chtype -set $shift t:$shiftx", "pmuxtree", f"write_rtlil {PLAIN}"]
    lines = [f"read_verilog -sv {' '.join(names)}", f"hierarchy -check -top {top}", *steps]
    write(folder / "elaborate.ys", "\n".join(lines) + "\n")
    yosys("script elaborate.ys", folder)


def entry_mutants(folder: Path, module: str, config: AttentionConfig) -> tuple[Mutant, ...]:
    """Return the mutants of the table of a module elaborated in a folder.

    Raises:
        ValueError: no cell of the module has the table as an input.
    """
    yosys(f"read_rtlil {PLAIN}; write_json plain.json", folder)
    design = json.loads((folder / "plain.json").read_text(encoding="utf-8"))
    cells = design["modules"][module]["cells"]
    width = config.width("e")
    bits = [str(entry >> bit & 1) for entry in config.table for bit in range(width)]
    places = (
        (cell, port)
        for cell, found in cells.items()
        for port, wires in found["connections"].items()
        if wires[: len(bits)] == bits
    )
    cell, port = next(places, ("", ""))
    if not cell:
        raise ValueError(f"module must read the exp2 table with one cell, {module} does not")
    source = str(cells[cell]["attributes"].get("src", "")).rpartition("/")[2].split(".sv:")
    found: list[Mutant] = []
    for entry in range(len(config.table)):
        for bit in (0, 1 + entry % (width - 1)):
            place = entry * width + bit
            options = f"-mode inv -module {module} -cell {cell} -port {port} -portbit {place}"
            where = f"T[{entry}] bit {bit}, {source[0]}.sv:{source[-1].split('.')[0]}"
            found.append(Mutant(len(found) + 1, "inv", module, cell, port, place, where, options))
    return tuple(found)


@dataclass(frozen=True)
class Boundary:
    """A module at whose ports a mutant must agree with the original.

    Expressions are SystemVerilog, true where they are not 0. Those of `assumes` and `lemmas` are
    over inputs and registers, those of `invariants` and `relations` over registers, those of `seen`
    over the original's outputs.

    Attributes:
        module: its name.
        assumes: what the inputs keep, as the module's header or SPEC.md says.
        invariants: what its registers keep at every clock edge; proved, not assumed.
        lemmas: what SPEC.md proves of the original: the requirement's id, and the expression.
        relations: each says when two states agree: register or memory, a whole-name pattern -> when
            its value matters; others always. One relation that is kept from cycle to cycle is
            enough.
        seen: output -> when it is compared. Without an entry a stream's payload is compared where
            its tvalid is 1, any other output always.

    An expression of `relations` or `seen` that begins with a brace is a mask of bits. In relations
    `self` is the register, `entry` the address of a memory's word, and `any(pattern)` is true where
    one of these registers is not 0.
    """

    module: str
    assumes: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    lemmas: Mapping[str, str] = field(default_factory=dict)
    relations: tuple[Mapping[str, str], ...] = ({},)
    seen: Mapping[str, str] = field(default_factory=dict)


_P = "bitlog2_pkg::"
_ONE, _MOST = f"(1 << {_P}TABLE_BITS)", f"({_P}MAX_TOKENS << {_P}TABLE_BITS)"
_SUM = (f"e <= {_ONE}", f"s >= {_ONE}", f"s <= {_MOST}")
_LAYER = (f"n <= {_P}MAX_N",)
_LAYER_2 = (f"n2 <= {_P}MAX_N2",)

_ROW_ENDS = ("!m_axis_tvalid || first",)


def _accumulators(names: str, **others: str) -> tuple[Mapping[str, str], ...]:
    """Return when two states of accumulators agree; they are cleared where `first` is 1.

    A sum means something while its row lasts and until it is taken. Or else it always does where it
    is 0, and then it means nothing whether it is to be cleared.
    """
    in_a_row = "m_axis_tvalid || !first"
    cleared = {names: f"{in_a_row} || self == 0", "first": f"any({names})"}
    return ({names: in_a_row, **others}, {**cleared, **others})


_PENDING = "m_axis_tvalid || m_axis_keys_tvalid"
_ROW_MAX = Boundary(
    "row_max",
    assumes=(f"!s_axis_tvalid || s_axis_tlast || index != {_P}MAX_TOKENS - 1",),
    invariants=(
        "!m_axis_keys_tvalid || index <= last_index",
        "!m_axis_tvalid || m_axis_keys_tvalid || index == 0",
    ),
    relations=(
        {
            "m_axis_tdata": f"index != 0 || {_PENDING}",
            "last_index": "m_axis_keys_tvalid",
            "buffer": "m_axis_keys_tvalid ? entry <= last_index : entry < index",
        },
    ),
)

#: A byte of a plane means something where it is written.
_WRITTEN = (
    "{m_axis_memory_tvalid, {8{m_axis_memory_tvalid && m_axis_memory_tdata[17]}}, "
    "m_axis_memory_tvalid, {8{m_axis_memory_tvalid && m_axis_memory_tdata[8]}}}"
)
_CODE_MEMORY = Boundary(
    "code_memory",
    assumes=("!s_axis_tdata[0] || s_axis_tdata[4:1] == 0",),
    invariants=("low_flags >> place == 0",),
    relations=(
        {
            "m_axis_memory_tdata": _WRITTEN,
            "m_axis_memory_tlast": "m_axis_memory_tvalid",
            "low_nibble": "place[0]",
        },
    ),
    seen={"m_axis_memory_tdata": _WRITTEN},
)

_FLAG = f"{_P}HEAD_DIM * {_P}V_WIDTH"
_TAP = f"({_P}T_WIDTH + {_P}D_WIDTH + {_P}E_WIDTH + {_P}LEVEL_WIDTH + 5)"


def _kept(keep: str, width: str, valid: str) -> str:
    """Return the mask of the lanes that a beat keeps."""
    lanes = (f"{{{width}{{{keep}[{lane}] && {valid}}}}}" for lane in (3, 2, 1, 0))
    return "{" + ", ".join(lanes) + "}"


def _softmax(module: str, part: str) -> Boundary:
    """Return the boundary of a row module of 4 lanes, whose softmax has names that begin so."""
    index, last, state, keep = (
        f"{part}{name}" for name in ("index", "last_index", "state", "last_keep")
    )
    offered = "s_axis_score_tkeep"
    return Boundary(
        module,
        assumes=(
            *_LAYER,
            f"!s_axis_score_tvalid || {_low_lanes(offered)}",
            f"!s_axis_score_tvalid || s_axis_score_tlast || "
            f"(&{offered} && {index} != ({_P}MAX_TOKENS + 3) / 4 - 1)",
        ),
        invariants=(
            f"{state} != 3",
            f"{state} == 0 || {index} <= {last}",
            f"{state} == 0 || {_low_lanes(keep)}",
        ),
        lemmas={
            "BL2-SUM-01, BL2-SUM-02": f"{state} != 2 || (row_sum >= {_ONE} && row_sum <= {_MOST})"
        },
        relations=(
            {
                "row_max": f"{state} != 0 || {index} != 0",
                "row_sum": f"{state} == 2 || ({state} == 1 && {index} != 0)",
                last: f"{state} != 0",
                keep: f"{state} != 0",
                f"{part}buffer": f"{state} == 0 ? entry < {index} : entry <= {last}",
            },
        ),
        seen={"tap_keys_tdata": _kept("tap_keys_tkeep", _TAP, "tap_keys_tvalid")},
    )


def _low_lanes(keep: str) -> str:
    return f"({keep}[0] && ({keep} & ({keep} + 1)) == 0)"


_ROW = _softmax("softmax_row", "")
_SOFTMAX_ROW = replace(
    _ROW,
    seen={
        **_ROW.seen,
        "m_axis_tdata": _kept("m_axis_tkeep", "5", "m_axis_tvalid"),
        "row_max": "m_axis_tvalid",
        "row_sum": "m_axis_tvalid",
    },
)
_ATTENTION = _softmax("attention_row", "softmax_")
_ATTENTION_ROW = replace(
    _ATTENTION,
    assumes=(*_ATTENTION.assumes, *_LAYER_2),
    invariants=(*_ATTENTION.invariants, *_ROW_ENDS, "first || softmax_state == 2"),
    relations=_accumulators(
        ".*__acc", **_ATTENTION.relations[0], **{"tap_row_max|tap_row_sum": "m_axis_tvalid"}
    ),
)

#: Every boundary by its module.
BOUNDARIES: dict[str, Boundary] = {
    each.module: each
    for each in (
        Boundary(
            "score_accumulator", invariants=_ROW_ENDS, relations=_accumulators("m_axis_tdata")
        ),
        Boundary("score_requantizer", assumes=_LAYER),
        _ROW_MAX,
        Boundary("distance", assumes=("$signed(t) <= $signed(row_max)",)),
        Boundary("exp2"),
        Boundary(
            "row_sum",
            assumes=(
                f"s_axis_tdata <= {_ONE}",
                f"!s_axis_tvalid || first || m_axis_tdata <= {_MOST} - {_ONE}",
            ),
            invariants=_ROW_ENDS,
            relations=_accumulators("m_axis_tdata"),
        ),
        Boundary("log2_quantizer", assumes=_SUM),
        Boundary("log2_quantizer_divide", assumes=_SUM),
        Boundary("code_register", assumes=(f"level <= {_P}TOP_LEVEL",)),
        _CODE_MEMORY,
        Boundary(
            "shift_add",
            assumes=(f"!s_axis_tdata[{_FLAG}] || s_axis_tdata[{_FLAG} + 1 +: 4] == 0",),
            invariants=_ROW_ENDS,
            relations=_accumulators(".*__acc"),
        ),
        Boundary("shift_add_lane", assumes=("!flag || nibble == 0",)),
        Boundary("output_requantizer", assumes=_LAYER_2),
        _SOFTMAX_ROW,
        _ATTENTION_ROW,
    )
}


@dataclass(frozen=True)
class Subject:
    """A module with its mutants.

    Attributes:
        name: of its line in the table.
        module: whose cells are mutated.
        device: the module in the bench, which is or holds it.
        unit: whose vectors run.
        testbench: of that module; the device has its ports.
        compared: where a survivor is compared with the original.
        row: whether it is one of the row modules, where a proof may stay undetermined.
        entries: whether the mutants are those of its table's entries.
    """

    name: str
    module: str
    device: str
    unit: str
    testbench: str
    compared: Boundary
    row: bool = False
    entries: bool = False


def _subject(
    module: str, device: str | None = None, *, unit: str | None = None, at: str | None = None
) -> Subject:
    holder = device or module
    return Subject(
        name=module,
        module=module,
        device=holder,
        unit=unit or holder,
        testbench=holder,
        compared=BOUNDARIES[at or module],
        row=module.endswith("_row"),
    )


_LISTED = (
    _subject("score_accumulator"),
    _subject("score_requantizer"),
    _subject("row_max"),
    _subject("distance", "row_max"),
    _subject("exp2"),
    Subject("exp2 table", "exp2", "exp2", "exp2", "exp2", BOUNDARIES["exp2"], entries=True),
    _subject("row_sum"),
    _subject("log2_quantizer"),
    _subject("leading_one", "log2_quantizer", at="log2_quantizer"),
    Subject(
        "log2_quantizer_divide",
        "log2_quantizer_divide",
        "log2_quantizer_divide",
        "log2_quantizer",
        "log2_quantizer",
        BOUNDARIES["log2_quantizer_divide"],
    ),
    _subject("code_register"),
    _subject("code_memory", unit="code_register"),
    _subject("shift_add"),
    _subject("shift_add_lane", "shift_add"),
    _subject("output_requantizer"),
    _subject("softmax_row", "attention_row"),
    _subject("attention_row"),
)

#: Every subject by name, in datapath order.
SUBJECTS: dict[str, Subject] = {each.name: each for each in _LISTED}
