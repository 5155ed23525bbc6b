"""What `emit --testbench` adds to a vector set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..contract import CONTRACTS, modules_of
from ..folder import BUILD_NAME, MAKEFILE_NAME, RTL_NAME
from ..target import Target
from ..unit import Unit
from .render import render_testbench
from .template import fill, template

__all__ = ["reference_files", "testbench_files"]

_RTL_FOLDER = Path(__file__).parent.parent / RTL_NAME


def reference_files() -> list[Path]:
    """Return the files of the reference RTL; `bitlog2_pkg.sv` is compiled before them."""
    return sorted(_RTL_FOLDER.glob("*.sv"))


def testbench_files(
    target: Target, units: Sequence[Unit], words: Mapping[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Yield the testbenches of the units, the reference RTL and the Makefile, by name.

    Args:
        target: what the set is made for.
        units: those of the set.
        words: words of each memory file by its name.
    """
    for unit in units:
        for module in modules_of(unit.name):
            yield f"{module}_tb.sv", render_testbench(target, unit, words, module)
    for path in reference_files():
        yield f"{RTL_NAME}/{path.name}", path.read_bytes()
    yield MAKEFILE_NAME, _makefile(units)


def _makefile(units: Sequence[Unit]) -> bytes:
    contracts = [CONTRACTS[module] for unit in units for module in modules_of(unit.name)]
    stand_ins = {name: each.module for each in contracts for name in each.stand_ins}
    text = fill(
        template("Makefile"),
        units=" ".join(unit.name for unit in units),
        benches=" ".join([*(each.module for each in contracts), *stand_ins]),
        stand_ins="\n".join(f"BENCH_{name} := {module}" for name, module in stand_ins.items()),
        build=BUILD_NAME,
        rtl=RTL_NAME,
    )
    return f"{text}\n".encode()
