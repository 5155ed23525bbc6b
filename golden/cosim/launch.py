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


def _runner(simulator: str, fst: bool) -> Any:
    from cocotb_tools.runner import Icarus, get_runner

    class VcdIcarus(Icarus):
        """Writes VCD, as Verilator does, where FST is not asked for."""

        def _test_command(self) -> Any:
            words = super()._test_command()
            if fst:
                return words
            return [["-vcd" if word == "-fst" else word for word in each] for each in words]

    return VcdIcarus() if simulator == "icarus" else get_runner(simulator)


def _end_with(alive: int) -> None:
    """End the whole process group when nobody holds the other end of that pipe any more."""
    os.set_inheritable(alive, False)
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)


def main(path: Path, alive: int) -> None:
    """Carry out the order in a file, `build` or `test`, while the one who gave it lives."""
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    order = json.loads(path.read_bytes())
    sys.path[:] = order["path"]
    arguments = order["arguments"]
    runner = _runner(order["simulator"], arguments.pop("fst", False))
    getattr(runner, order["action"])(timescale=("1ns", "1ps"), **arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
