"""Self-checking SystemVerilog testbenches, and what goes with them into a vector set."""

from .files import reference_files, testbench_files
from .layouts import LAYOUTS, modules_of
from .render import render_testbench

__all__ = ["LAYOUTS", "modules_of", "reference_files", "render_testbench", "testbench_files"]
