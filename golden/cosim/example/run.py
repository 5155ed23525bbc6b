"""Build a device and run the tests beside this file: `python run.py --help`."""

import argparse
import os
import sys
from pathlib import Path

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner
from test_attention_row import CONFIG  # type: ignore[import-not-found]

from bitlog2.golden import emit
from bitlog2.golden.cosim import simulator_named
from bitlog2.golden.testbench import reference_files

TOP = "attention_row"
TESTS = ["test_attention_row", "test_axi_agents"]


def main() -> int:
    """Build the device with the package of a set, run the tests, return the exit status."""
    parser = argparse.ArgumentParser(description=f"Run {', '.join(TESTS)} against {TOP}.")
    parser.add_argument("--sim", choices=["verilator", "icarus"], default="verilator")
    parser.add_argument("--build", type=Path, default=Path("example_build"), help="folder")
    parser.add_argument("rtl", nargs="*", type=Path, help="your sources; the reference RTL if none")
    args = parser.parse_args()
    build = args.build.resolve()
    emit(build / "set", CONFIG, units=[TOP], sources=("corners",))
    os.environ.update(simulator_named(args.sim).environment)
    # Assertions of these tests are shown in full; to rewrite those of all libraries takes seconds.
    os.environ["COCOTB_REWRITE_ASSERTION_FILES"] = "test_*.py"
    runner = get_runner(args.sim)
    runner.build(
        sources=[build / "set" / "bitlog2_pkg.sv", *(args.rtl or reference_files())],
        hdl_toplevel=TOP,
        build_dir=build / args.sim,
        build_args=["-Wno-fatal"] if args.sim == "verilator" else [],
        timescale=("1ns", "1ps"),
        always=True,
    )
    results = runner.test(
        test_module=TESTS,
        hdl_toplevel=TOP,
        build_dir=build / args.sim,
        timescale=("1ns", "1ps"),
    )
    run, failed = get_results(results)
    return 0 if run and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
