"""Self-checking SystemVerilog testbenches, and what goes with them into a vector set."""

from .files import reference_files, testbench_files
from .render import render_testbench

__all__ = ["reference_files", "render_testbench", "testbench_files"]
