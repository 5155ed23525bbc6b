"""Simulators and synthesis tools: where they are, and how they are run."""

from .tools import (
    MAKE_PYTHON,
    ToolError,
    icarus_found,
    run_tool,
    verilator_command,
    verilator_environment,
    yosys,
)

__all__ = [
    "MAKE_PYTHON",
    "ToolError",
    "icarus_found",
    "run_tool",
    "verilator_command",
    "verilator_environment",
    "yosys",
]
