"""A wheel, installed where nothing of the checkout is seen, works from another folder.

Its dependencies come from the environment of the tests through PYTHONPATH, under which the
editable install of the checkout is not active.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from support.shared import made_once

from bitlog2 import __version__

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (
    "bitlog2/py.typed",
    "bitlog2/sim/SPEC.md",
    "bitlog2/sim/known_answers.json",
    "bitlog2/golden/FORMAT.md",
    "bitlog2/golden/c/bitlog2.c",
    "bitlog2/golden/c/bitlog2.h",
    "bitlog2/golden/c/bitlog2_dpi.sv",
    "bitlog2/golden/README.md",
    "bitlog2/golden/cosim/example/test_attention_row.py",
    "bitlog2/golden/assurance/cost/sv/exp2_linear.sv",
    "bitlog2/golden/dpi_example/row_predictor.svh",
    "bitlog2/golden/simulation/compile_once.sh",
    "bitlog2/golden/package/export.schema.json",
    "bitlog2/golden/package/manifest.schema.json",
    "bitlog2/golden/rtl/bind/bind_checks.sv",
    "bitlog2/golden/rtl/checks.sv",
    "bitlog2/golden/rtl/exp2.sv",
    "bitlog2/golden/testbench/Makefile.in",
    "bitlog2/golden/testbench/bitlog2_tb.sv",
    "bitlog2/models/report/page.html.jinja",
    "bitlog2/models/report/tablesort/LICENCE",
    "bitlog2/models/report/tablesort/tablesort.min.js",
    "bitlog2/models/runs/result.schema.json",
    "bitlog2/models/zoo/published_accuracy.csv",
    "bitlog2/models/zoo/data/digits.safetensors",
    "bitlog2/models/zoo/data/digits.bitlog2",
    "bitlog2/models/zoo/data/digits/LICENSE",
    "bitlog2/models/zoo/data/digits/images-idx3-ubyte.gz",
    "bitlog2/models/zoo/data/fashion.safetensors",
    "bitlog2/models/zoo/data/fashion/LICENSE",
    "bitlog2/models/zoo/data/fashion/t10k-images-idx3-ubyte.gz",
    "bitlog2/models/zoo/data/fashion/calibration-labels-idx1-ubyte.gz",
)


#: Two classes of two images, and random weights for them.
ZOO = """
from pathlib import Path
import numpy as np
from PIL import Image
from safetensors.torch import save_file
from bitlog2.models.zoo.architectures import build_zoo_model
random = np.random.default_rng(0)
for number in range(8):
    folder = Path("images") / ("train", "val")[number & 1] / ("a", "b")[number >> 1 & 1]
    folder.mkdir(parents=True, exist_ok=True)
    pixels = random.integers(0, 256, (240, 260, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")
for name in ("deit_tiny", "swin_tiny"):
    weights = build_zoo_model(name, 2).state_dict()
    save_file({key: each.contiguous() for key, each in weights.items()}, f"{name}.safetensors")
"""


def install(folder: Path) -> None:
    """Build the wheel of a copy of the checkout; put it into an environment of its own."""
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", folder, folder / "source"], check=True, cwd=folder)
    home = folder / "environment"
    venv.create(home, with_pip=False)
    with zipfile.ZipFile(next(folder.glob("bitlog2-*.whl"))) as file:
        file.extractall(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    (folder / "elsewhere").mkdir()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return next(made_once(tmp_path_factory, "wheel", install).glob("bitlog2-*.whl"))


@pytest.fixture(scope="module")
def bitlog2(wheel):
    """Runs the installed command in an empty folder."""
    python, elsewhere = wheel.parent / "environment/bin/python", wheel.parent / "elsewhere"
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(*arguments, module="bitlog2", **variables):
        command = [python, "-m", module, *arguments]
        done = subprocess.run(
            command, env=environment | variables, cwd=elsewhere, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(params=["3.10", "3.13"])
def empty(request, tmp_path):
    """Runs programs of an environment of its own; `pip` among them puts packages into it."""
    where = [f"python{request.param}", "-c", "import sys; print(sys.executable)"]
    try:
        found = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no Python {request.param} here")
    uv, programs = [sys.executable, "-m", "uv"], tmp_path / "environment" / "bin"
    subprocess.run([*uv, "venv", "-q", "--python", found, programs.parent], check=True)
    options = ["install", "-q", "--only-binary", ":all:", "--python", programs / "python"]
    install = [*uv, "pip", *options]
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def run(program, *words):
        command = install if program == "pip" else [programs / program]
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    return run


def test_wheel_ships_its_data_in_one_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= set(SHIPPED)
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"bitlog2"}


def test_wheel_is_what_runs(bitlog2, wheel):
    """The package comes from the wheel's environment, not from the checkout."""
    where = bitlog2("--details", "bitlog2.sim", module="inspect")
    assert str(wheel.parent / "environment") in where


def test_wheel_prints_its_version_and_passes_its_selftest(bitlog2):
    """With the kernels as plain Python, which gives the same bits and compiles nothing."""
    assert bitlog2("--version").startswith("bitlog2 ")
    assert bitlog2("selftest", NUMBA_DISABLE_JIT="1")


@pytest.mark.long
def test_wheel_evaluates_emits_and_verifies(bitlog2):
    assert bitlog2("selftest")
    digits = ("--model", "digits", "--limit", "64")
    assert " values compared, 0 mismatches" in bitlog2("evaluate", *digits)
    bitlog2("golden", "emit", "--out", "v")
    bitlog2("golden", "verify", "v")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_wheel_alone_simulates_and_makes_vectors(empty, wheel):
    """No extra: what a verification engineer installs."""
    empty("pip", wheel)
    empty("python", "-c", "from importlib.util import find_spec; assert not find_spec('torch')")
    empty("bitlog2", "--version")
    empty("bitlog2", "selftest")
    empty("bitlog2", "golden", "plan")
    empty("bitlog2", "golden", "emit", "--out", "set")
    empty("bitlog2", "golden", "verify", "set")
    empty("bitlog2", "golden", "run", "set", "--out", "results")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_wheel_works_with_the_lowest_versions_of_its_dependencies(empty, wheel):
    """Of those that have a wheel for this Python; every extra."""
    metadata = zipfile.ZipFile(wheel).read(f"bitlog2-{__version__}.dist-info/METADATA").decode()
    lowest = re.findall(r"^Requires-Dist: ([^;\n]*)", metadata, re.MULTILINE)
    assert len(lowest) > 20
    empty("pip", "--resolution", "lowest-direct", *lowest)
    empty("pip", "--no-deps", wheel)
    empty("bitlog2", "selftest")
    quick = ("--limit", "16", "--check", "all")
    assert " 0 mismatches" in empty("bitlog2", "evaluate", "--model", "digits", *quick)
    empty("bitlog2", "golden", "emit", "--out", "set", "--source", "random", "--count", "3")
    empty("bitlog2", "golden", "verify", "set")
    for words in ("cosim set --unit exp2", "proof --claim rtl_exp2", "cost --choice exp2"):
        empty("bitlog2", "golden", *words.split())
    empty("bitlog2", "evaluate", "--model", "digits", *quick, "--run", "grid")
    empty("bitlog2", "report", "grid", "--out", "page.html")
    peer = "from bitlog2.flow.bench import rounding_cast as row"
    empty("python", "-c", f"{peer}; assert not getattr(row(), 'note', '')")
    empty("python", "-c", ZOO)
    few = ("--calibration-images", "2", "--batch-size", "2", *quick)
    for model in ("deit_tiny", "swin_tiny"):
        source = ("--data", "images", "--checkpoint", f"{model}.safetensors")
        assert " 0 mismatches" in empty("bitlog2", "evaluate", "--model", model, *source, *few)
