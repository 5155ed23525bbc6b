"""Run the example: `python run.py [verilator|icarus] [BUILD_FOLDER]`."""

import os
import sys
from pathlib import Path

from cocotb_tools.runner import get_runner
from test_attention_row import CONFIG  # type: ignore[import-not-found]

from bitlog2.golden import emit
from bitlog2.golden.cosim import simulator_named
from bitlog2.golden.testbench import reference_files


def main(simulator: str = "verilator", folder: str = "example_build") -> None:
    """Build the reference RTL with the package of a set, and run the test beside this file."""
    build = Path(folder).resolve()
    emit(build / "set", CONFIG, units=["attention_row"], sources=("corners",))
    os.environ.update(simulator_named(simulator).environment)
    runner = get_runner(simulator)
    runner.build(
        sources=[build / "set" / "bitlog2_pkg.sv", *reference_files()],
        hdl_toplevel="attention_row",
        build_dir=build / simulator,
        build_args=["-Wno-fatal"] if simulator == "verilator" else [],
        timescale=("1ns", "1ps"),
        always=True,
    )
    runner.test(
        test_module="test_attention_row",
        hdl_toplevel="attention_row",
        build_dir=build / simulator,
        timescale=("1ns", "1ps"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
