"""A module through Yosys to gates or to an FPGA, and its counts."""

import json
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bitlog2.sim.files import write

from ..eda import ToolError, yosys
from ..svpackage import render_package
from ..target import Target
from ..units import UNITS
from .netlist import Counts, count_cells

__all__ = ["TECHNOLOGIES", "check_technology", "design_files", "synthesize", "yosys_version"]

#: Technology -> what its counts are.
TECHNOLOGIES: dict[str, str] = {
    "generic": "two-input gates and inverters (Yosys synth, abc -g gates)",
    "ice40": "Lattice iCE40: four-input LUTs and carry cells (Yosys synth_ice40, abc -lut 4)",
}
_SECONDS = 900
_HERE = Path(__file__).parent
_FOLDERS = (_HERE.parent / "rtl", _HERE / "sv")
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


def check_technology(name: str) -> None:
    """Refuse a technology that is none.

    Raises:
        ValueError: it is none of `TECHNOLOGIES`.
    """
    if name not in TECHNOLOGIES:
        raise ValueError(f"target must be one of {', '.join(TECHNOLOGIES)}, got {name!r}")


def design_files() -> dict[str, Path]:
    """Return the modules that can be synthesized: the reference RTL, and alternatives to it."""
    return {path.stem: path for folder in _FOLDERS for path in sorted(folder.glob("*.sv"))}


def synthesize(
    target: Target,
    top: str,
    parameters: Mapping[str, int],
    technology: str,
    *,
    sources: Mapping[str, str] | None = None,
) -> Counts:
    """Return what a module costs.

    Args:
        target: configuration and head dimension, for the package.
        top: the module.
        parameters: its parameters, where they are not those of the package.
        technology: one of `TECHNOLOGIES`.
        sources: file name -> text, instead of the reference RTL.

    Raises:
        ValueError: the technology or the module is none, or the netlist is not mapped.
        ToolError: Yosys is not installed or fails.
    """
    check_technology(technology)
    if sources is None:
        files = design_files()
        if top not in files:
            raise ValueError(f"module must be one of {', '.join(files)}, got {top!r}")
        sources = {path.name: path.read_text(encoding="utf-8") for path in files.values()}
    with tempfile.TemporaryDirectory(prefix="bitlog2-cost-") as folder:
        place = Path(folder)
        write(place / "bitlog2_pkg.sv", render_package(target, list(UNITS.values())))
        for name, text in sources.items():
            write(place / name, text)
        chosen = "".join(f"chparam -set {key} {value} {top}\n" for key, value in parameters.items())
        script = (
            f"read_verilog -sv bitlog2_pkg.sv {' '.join(sorted(sources))}\n{chosen}"
            f"{_SCRIPTS[technology].format(top=top)}write_json netlist.json\n"
        )
        write(place / "run.ys", script)
        yosys("script run.ys", place, timeout=_SECONDS)
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
