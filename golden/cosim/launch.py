"""Build or run a simulation by cocotb's runner: a program of its own, `launch.py ORDER PIPE`.

It is started with the environment that the simulator needs, and imports nothing of `bitlog2`.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any


def _runner(order: dict[str, Any]) -> Any:
    from cocotb_tools.runner import Icarus, get_runner

    class VcdIcarus(Icarus):
        """Writes VCD, as Verilator does."""

        def _test_command(self) -> Any:
            words = super()._test_command()
            return [["-vcd" if word == "-fst" else word for word in each] for each in words]

    return VcdIcarus() if order["simulator"] == "icarus" else get_runner(order["simulator"])


def build(order: dict[str, Any]) -> None:
    """Compile the device."""
    _runner(order).build(
        sources=order["sources"],
        includes=order["includes"],
        defines=order["defines"],
        build_args=order["build_args"],
        hdl_toplevel=order["top"],
        build_dir=order["build"],
        timescale=("1ns", "1ps"),
        waves=order["waves"],
        always=True,
    )


def run(order: dict[str, Any]) -> None:
    """Run the device with the test module."""
    _runner(order).test(
        test_module=order["module"],
        hdl_toplevel=order["top"],
        hdl_toplevel_lang="verilog",
        build_dir=order["build"],
        test_dir=Path.cwd(),
        results_xml=str(Path(order["results"]) / "results.xml"),
        test_args=order["test_args"],
        plusargs=order["plusargs"],
        waves=order["waves"],
        timescale=("1ns", "1ps"),
    )


def _end_with(alive: int) -> None:
    """End the whole process group when nobody holds the other end of that pipe any more."""
    os.set_inheritable(alive, False)
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)


def main(path: Path, alive: int) -> None:
    """Carry out the order in a file, while the one who gave it lives."""
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    order = json.loads(path.read_bytes())
    sys.path[:] = order["path"]
    {"build": build, "run": run}[order["action"]](order)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
