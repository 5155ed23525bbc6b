"""What `emit --testbench` adds to a vector set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bitlog2 import SPEC_VERSION

from ..contract import CONTRACTS, modules_of
from ..folder import BUILD_NAME, CORE_NAME, LIST_NAME, MAKEFILE_NAME, RTL_NAME
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
    """Yield the testbenches of the units, the reference RTL, and what lists and builds them.

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
    listed = ["bitlog2_pkg.sv", *(f"{RTL_NAME}/{path.name}" for path in reference_files())]
    head = "// The package and the reference RTL: read with -F, or with -f in this folder."
    yield LIST_NAME, "\n".join([head, *listed, ""]).encode()
    yield CORE_NAME, _core(units, words, listed)


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


def _core(units: Sequence[Unit], words: Mapping[str, int], listed: Sequence[str]) -> bytes:
    """Return the description for FuseSoC."""
    benches, targets = [], []
    for unit in units:
        memories = [name for name in words if name.split(".")[0] == unit.name]
        copied = [f"      - {name}: {{file_type: user, copyto: {name}}}" for name in memories]
        for module in modules_of(unit.name):
            bench = f"{module}_tb"
            typed = f"      - {bench}.sv: {{file_type: systemVerilogSource}}"
            benches += [f"  {bench}:", "    files:", typed, *copied]
            targets += [
                fill(template("target.core"), device=name, module=module)
                for name in (module, *CONTRACTS[module].stand_ins)
            ]
    text = fill(
        template("bitlog2.core"),
        version=f"{SPEC_VERSION}.0",
        rtl="\n".join(f"      - {name}" for name in listed),
        benches="\n".join(benches),
        targets="\n".join(targets),
    )
    return f"{text}\n".encode()
