"""Simulators and synthesis tools: where they are, and how they are run."""

from .rtl import Elaborated, FileList, ModulePort, Rtl, elaborate, macro, read_port_map
from .tools import (
    MAKE_PYTHON,
    ToolError,
    icarus_found,
    nextpnr,
    nextpnr_version,
    run_tool,
    verilator_command,
    verilator_environment,
    yosys,
)

__all__ = [
    "MAKE_PYTHON",
    "Elaborated",
    "FileList",
    "ModulePort",
    "Rtl",
    "ToolError",
    "elaborate",
    "icarus_found",
    "macro",
    "nextpnr",
    "nextpnr_version",
    "read_port_map",
    "run_tool",
    "verilator_command",
    "verilator_environment",
    "yosys",
]
