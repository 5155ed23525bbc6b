"""A module on an FPGA: the harness around it, Yosys and nextpnr on both, and what they report.

The harness makes pins irrelevant, and every path of the module one that begins and ends at a
register: one shift register holds all inputs, another one takes the outputs, each bit added by XOR
to what is shifted, behind a register of its own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from bitlog2.documents import Count, Document, plain

from ...simulation import Elaborated, ToolError, nextpnr
from ..yosys import run_script

#: MHz that nextpnr is asked for: it improves a placement until the clock is met.
GOAL = 200
_HARNESS = ("given", "taken", "folded")


@dataclass(frozen=True)
class Device:
    """An FPGA.

    Attributes:
        text: name, package and speed grade.
        options: of nextpnr.
        cells: what nextpnr counts the utilization of, logic cells first.
        rows: whether row modules are placed on it; their buffer needs memory in LUTs.
    """

    text: str
    options: tuple[str, ...]
    cells: tuple[str, ...]
    rows: bool


#: Family of FPGAs -> the device that is built for.
DEVICES: dict[str, Device] = {
    "ice40": Device(
        "iCE40HX8K-CT256",
        ("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"),
        ("ICESTORM_LC", "ICESTORM_RAM"),
        rows=False,
    ),
    "ecp5": Device(
        "LFE5U-85F-6BG756C",
        ("--85k", "--package", "CABGA756", "--speed", "6"),
        ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
        rows=True,
    ),
}
#: Cell of a mapped netlist -> (what it counts as, how many of it).
_KINDS: tuple[tuple[str, str, int], ...] = (
    (r"SB_LUT4|LUT4", "luts", 1),
    (r"SB_CARRY", "carries", 1),
    (r"CCU2C", "carries", 2),
    (r"SB_DFF\w*|TRELLIS_FF", "flip_flops", 1),
    (r"MULT18X18D|ALU54B|SB_MAC16", "dsp", 1),
    (r"SB_RAM40_4K\w*|DP16KD|PDPW16KD", "block_ram", 1),
    (r"TRELLIS_DPR16X4", "lut_ram", 1),
    (r"PFUMX|L6MUX21|INV|\$scopeinfo", "", 0),
)
# `share` asks a SAT solver whether two multipliers or shifters are ever used at once, pair by pair.
# In a flat attention_row of 4 lanes and D = 64 that is where synthesis stays, for more than half an
# hour. All of them work in each cycle, so there is nothing to share. So word-level synthesis runs
# module by module, each once; the rest, and what crosses modules, is done on the flat netlist.
_SCRIPT = """
synth_{family} -top harness -noflatten -run begin:map_ram
flatten
opt
synth_{family} -top harness -run map_ram:
write_json netlist.json
"""


class Report(Document, frozen=True, kw_only=True):
    """What nextpnr reports, harness included.

    Attributes:
        mhz: the clock of its timing analysis after routing, in the slowest corner.
        path: registers at which the slowest path begins and ends.
        used, available: cells that are placed and that the device has, logic cells first.
    """

    mhz: Annotated[float, Meta(gt=0)]
    path: str
    used: dict[str, Count]
    available: dict[str, Count]

    @property
    def percent(self) -> float:
        """Logic cells that are used, as a part of the device."""
        name = next(iter(self.used))
        return 100 * self.used[name] / self.available[name]


class Cells(Document, frozen=True, kw_only=True):
    """Cells of a mapped netlist.

    Attributes:
        luts: four-input LUTs.
        carries: bits of carry chains; on ECP5 they take LUT sites too.
        flip_flops: one a bit.
        dsp: multipliers of 18 x 18 bits.
        block_ram: memory blocks.
        lut_ram: memories of 16 x 4 bits in LUTs, of ECP5.
    """

    luts: Count
    carries: Count
    flip_flops: Count
    dsp: Count
    block_ram: Count
    lut_ram: Count


def harness(top: str, parameters: Mapping[str, int], module: Elaborated) -> str:
    """Return the Verilog of a harness around a module, `clk` given as it is.

    Taps, outputs whose names begin with `tap_`, are left open, as a device may.

    Args:
        top: name of the module.
        parameters: those that are not the default.
        module: its ports.

    Raises:
        ValueError: a port is neither input nor output, or there is nothing to connect.
    """
    joined, widths = [], {"input": 0, "output": 0}
    names = {"input": "given", "output": "made"}
    for port in module.ports:
        if port.direction not in widths or not port.width:
            raise ValueError(f"ports of {top} must be inputs and outputs of bits, got {port}")
        if port.name == "clk" or port.name.startswith("tap_"):
            joined.append(f".{port.name}({'clk' if port.name == 'clk' else ''})")
            continue
        low = widths[port.direction]
        joined.append(f".{port.name}({names[port.direction]}[{low} +: {port.width}])")
        widths[port.direction] += port.width
    inputs, outputs = widths["input"], widths["output"]
    if not inputs or not outputs:
        raise ValueError(f"{top} must have inputs and outputs, got {inputs} and {outputs} bits")
    values = ", ".join(f".{name}({value})" for name, value in parameters.items())
    return f"""\
module harness(input clk, input serial_in, output serial_out);
  (* keep *) reg [{inputs - 1}:0] given;
  wire [{outputs - 1}:0] made;
  (* keep *) reg [{outputs - 1}:0] taken, folded;

  always @(posedge clk) begin
    given <= {{given, serial_in}};
    taken <= made;
    folded <= taken ^ {{folded, given[{inputs - 1}]}};
  end

  assign serial_out = folded[{outputs - 1}];

  {top} #({values}) dut (
      {f",{chr(10)}      ".join(joined)}
  );
endmodule
"""


def synthesized(
    folder: Path, files: Mapping[str, bytes], family: str, *, timeout: float
) -> tuple[Cells, Cells]:
    """Write the netlist of a harness into a folder; return its cells as `count_placed`.

    Args:
        folder: an empty folder.
        files: name -> content, the package first, the module `harness` among them.
        family: one of `DEVICES`.
        timeout: seconds.

    Raises:
        ToolError: Yosys is not installed or fails.
        subprocess.TimeoutExpired: it took longer.
    """
    run_script(folder, files, [_SCRIPT.format(family=family)], timeout=timeout)
    netlist = folder / "netlist.json"
    # What is printed ends where ABC begins in this build, so only the file tells.
    if not netlist.is_file():
        raise ToolError("ERROR: Yosys wrote no netlist")
    return count_placed(json.loads(netlist.read_text(encoding="utf-8")))


def placed(folder: Path, family: str, *, seed: int, timeout: float) -> Report:
    """Place and route the netlist in a folder.

    Raises:
        ToolError: nextpnr is not installed or fails.
        ValueError: as `read_report`.
        subprocess.TimeoutExpired: it took longer.
    """
    device = DEVICES[family]
    files = ("--json", "netlist.json", "--report", "report.json")
    chosen = ("--seed", str(seed), "--freq", str(GOAL), "--timing-allow-fail", "--quiet")
    nextpnr(family, (*device.options, *files, *chosen), folder, timeout=timeout)
    return read_report((folder / "report.json").read_bytes(), device.cells)


def count_placed(netlist: Mapping[str, Any]) -> tuple[Cells, Cells]:
    """Return the cells of a mapped netlist without its harness, and those of the harness.

    The harness has the flip-flops of its registers, and the LUTs before the last of them.

    Args:
        netlist: what Yosys's `write_json` writes, flat, with a module `harness`.

    Raises:
        ValueError: a cell is of no known type, or the registers of the harness are not there.
    """
    module = netlist["modules"]["harness"]
    nets = {name: set(module["netnames"].get(name, {"bits": ()})["bits"]) for name in _HARNESS}
    all_cells, around = (dict.fromkeys(Cells.__struct_fields__, 0) for _ in range(2))
    kinds: dict[str, tuple[str, int]] = {}
    drivers: dict[int, str] = {}
    before: set[int] = set()
    for cell in module["cells"].values():
        kind = cell["type"]
        if kind not in kinds:
            kinds[kind] = _kind(kind)
        name, count = kinds[kind]
        if not name:
            continue
        all_cells[name] += count
        ports = cell["connections"]
        if name == "flip_flops" and any(set(ports["Q"]) & bits for bits in nets.values()):
            around[name] += count
            if set(ports["Q"]) & nets["folded"]:
                before.update(bit for bit in ports.get("D", ports.get("DI")) if bit != "x")
        elif name == "luts":
            drivers.update(dict.fromkeys(ports.get("O", ports.get("Z")), kind))
    around["luts"] = len(before & drivers.keys())
    if not around["flip_flops"]:
        raise ValueError(f"netlist must have the registers {', '.join(_HARNESS)}, got none")
    inner = {name: count - around[name] for name, count in all_cells.items()}
    return Cells(**inner), Cells(**around)


def _kind(cell: str) -> tuple[str, int]:
    for pattern, name, count in _KINDS:
        if re.fullmatch(pattern, cell):
            return name, count
    raise ValueError(f"netlist must have cells of the device alone, got a cell {cell}")


def read_report(data: bytes, cells: Sequence[str]) -> Report:
    """Return what a report of nextpnr says.

    Args:
        data: the file that `--report` writes.
        cells: kinds of cells of the utilization.

    Raises:
        ValueError: it is no such report, or not of one clock.
    """
    report = plain(data, "report of nextpnr")
    try:
        clocks = [float(each["achieved"]) for each in report["fmax"].values()]
        used = {name: int(report["utilization"][name]["used"]) for name in cells}
        available = {name: int(report["utilization"][name]["available"]) for name in cells}
        paths = [
            each["path"]
            for each in report["critical_paths"]
            if each["from"].startswith("posedge") and each["to"].startswith("posedge")
        ]
        ends = [(path[0]["from"]["cell"], path[-1]["to"]["cell"]) for path in paths]
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"report of nextpnr must have {error}") from None
    if len(clocks) != 1 or len(ends) != 1:
        found = f"{len(clocks)} clocks and {len(ends)} paths"
        raise ValueError(f"report of nextpnr must be of one clock, got {found}")
    begin, end = (re.split(r"_(?:SB_DFF|TRELLIS_FF)", name)[0] for name in ends[0])
    return Report(mhz=round(clocks[0], 2), path=f"{begin} to {end}", used=used, available=available)


def first_error(printed: str) -> str:
    """Return the first line that says ERROR, or the last line of all."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()] or ["nothing printed"]
    return next((line for line in lines if "ERROR" in line), lines[-1])
