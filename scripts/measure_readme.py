"""Measure what README says of installations and of its doors.

python scripts/measure_readme.py --json docs/measured.json
"""

import json as documents
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bitlog2.scripts.terminal import STYLE, command, run
from bitlog2.scripts.values import Json

EXAMPLES = "example: python scripts/measure_readme.py --json docs/measured.json"
_ROOT = Path(__file__).resolve().parents[1]
#: Extras that README installs, behind the name that its table has.
_INSTALLED = {"simulator and vectors": "", "`[models]`": "models", "`[rtl]`": "rtl"}
_DOOR = re.compile(r"^## (I .*?)\n(.*?)(?=^## )", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def doors(page: str) -> dict[str, list[str]]:
    """Return README's doors: title -> the command line that runs its block as it is pasted."""
    programs = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    found = {title: _BLOCK.search(text) for title, text in _DOOR.findall(page)}
    return {title: [*programs[each[1]], each[2]] for title, each in found.items() if each}


def run_door(line: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a door in a folder, with the commands of this installation first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        line, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


def measure_readme(*, json: Json = None) -> int:
    """Install the wheel in parts into environments of their own, and run README's doors.

    Sizes are those of site-packages, with the versions of constraints.txt; times are of processors,
    user and system, of all processes of a door, in an installation whose kernels are compiled.
    """
    from bitlog2.sim.files import write_whole

    with TemporaryDirectory() as name:
        installed = [_installed(what, extra, Path(name)) for what, extra in _INSTALLED.items()]
    page = (_ROOT / "README.md").read_text(encoding="utf-8")
    seconds = {title: _seconds(title, line) for title, line in doors(page).items()}
    about = f"Python {platform.python_version()}, {platform.system()}, {platform.machine()}"
    found = {"machine": about, "installed": installed, "doors": seconds}
    text = documents.dumps(found, indent=2)
    print(text)
    if json is not None:
        write_whole(json, f"{text}\n".encode())
    return 0


def _installed(what: str, extra: str, folder: Path) -> dict[str, Any]:
    home, uv = folder / (extra or "none"), [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, home], check=True)
    source = f"{_ROOT}[{extra}]" if extra else str(_ROOT)
    options = ["-q", "--python", f"{home}/bin/python", "--constraint", f"{_ROOT}/constraints.txt"]
    subprocess.run([*uv, "pip", "install", *options, source], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    size = sum(p.stat().st_size for p in packages.rglob("*") if p.is_file())
    return {
        "what": what,
        "packages": len(list(packages.glob("*.dist-info"))),
        "megabytes": round(size / 1e6),
    }


def _seconds(title: str, line: Sequence[str]) -> float:
    """Return the processor seconds of a door."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as folder:
        done = run_door(line, Path(folder))
    if done.returncode:
        raise ValueError(f"door {title} must end with status 0, got: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)


app = command(measure_readme, EXAMPLES, name="measure_readme.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "measure_readme.py", argv)


if __name__ == "__main__":
    sys.exit(main())
