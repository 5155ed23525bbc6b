"""Yosys on the reference RTL: its files, a script in a folder, the comments of an SMT export."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitlog2.sim.files import write

from ..simulation import Rtl, yosys
from ..testbench import reference_files

PACKAGE = "bitlog2_pkg.sv"
#: Checkers are for simulators alone.
_CHECKS = "checks.sv"


def sources(package: bytes, rtl: Path | None = None) -> dict[str, bytes]:
    """Return the files of the modules by name, the package first.

    Args:
        package: `bitlog2_pkg.sv`.
        rtl: folder of the modules; None for the reference.
    """
    files = reference_files() if rtl is None else sorted(rtl.glob("*.sv"))
    return {PACKAGE: package} | {
        path.name: path.read_bytes() for path in files if path.name != _CHECKS
    }


def sources_of(rtl: Rtl) -> tuple[dict[str, bytes], str]:
    """Return a user's files by name, and the options of `read_verilog` that they need.

    Raises:
        ValueError: a file is no Verilog, or two have one name.
    """
    paths = [Path(each) for each in rtl.sources]
    files: dict[str, bytes] = {}
    for path in paths:
        if path.suffix not in (".sv", ".v"):
            raise ValueError(f"rtl must be Verilog for Yosys, got {path}")
        if path.name in files:
            raise ValueError(
                f"rtl must be files of different names for Yosys, got {path.name} twice"
            )
        files[path.name] = path.read_bytes()
    folders = dict.fromkeys([*map(Path, rtl.includes), *(path.parent for path in paths)])
    options = [f"-D{name}={value}" for name, value in rtl.defines.items()]
    return files, " ".join([*options, *(f"-I{folder}" for folder in folders)])


def run_script(
    folder: Path,
    files: Mapping[str, bytes],
    commands: Sequence[str],
    *,
    options: str = "",
    timeout: float | None = None,
) -> None:
    """Write files into a folder, read them into Yosys in their order, and run commands there.

    Args:
        folder: the folder.
        files: name -> content; a package before what uses it.
        commands: commands of Yosys.
        options: options of `read_verilog`.
        timeout: seconds, or None for no limit.

    Raises:
        ToolError: Yosys is not installed or fails.
        subprocess.TimeoutExpired: it took longer.
    """
    for name, content in files.items():
        write(folder / name, content)
    script = [f"read_verilog -sv {options} {' '.join(files)}", *commands]
    write(folder / "run.ys", "\n".join(script) + "\n")
    yosys("script run.ys", folder, timeout=timeout)


def marked(text: str, kind: str) -> dict[str, tuple[int, ...]]:
    """Return what an SMT export marks as `; yosys-smt2-<kind> <name> <sizes>`: name -> sizes."""
    found = re.findall(rf"^; yosys-smt2-{kind} (\S+)((?: \d+)*)", text, re.MULTILINE)
    return {name: tuple(map(int, sizes.split())) for name, sizes in found}
