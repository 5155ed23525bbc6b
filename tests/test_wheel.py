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
    "bitlog2/models/runs/result.schema.json",
    "bitlog2/models/zoo/published_accuracy.csv",
    "bitlog2/models/zoo/data/digits.safetensors",
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=unwanted)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", folder, source], check=True, cwd=folder)
    return next(folder.glob("bitlog2-*.whl"))


@pytest.fixture(scope="module")
def bitlog2(wheel):
    """Runs the installed command in an empty folder."""
    home = wheel.parent / "environment"
    venv.create(home, with_pip=False)
    library = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(library)
    elsewhere = wheel.parent / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(*arguments):
        command = [home / "bin" / "python", "-m", "bitlog2", *arguments]
        return subprocess.run(
            command, env=environment, cwd=elsewhere, capture_output=True, text=True, check=False
        )

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
    install = [
        *uv,
        "pip",
        "install",
        "-q",
        "--only-binary",
        ":all:",
        "--python",
        programs / "python",
    ]
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def run(program, *words):
        command = install if program == "pip" else [programs / program]
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    return run


def test_wheel_ships_its_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= set(SHIPPED)


def test_wheel_puts_one_package_into_site_packages(wheel):
    roots = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"bitlog2"}


def test_wheel_is_what_runs(bitlog2, wheel):
    """The package comes from the wheel's environment, not from the checkout."""
    where = subprocess.run(
        [
            wheel.parent / "environment" / "bin" / "python",
            "-c",
            "import bitlog2.sim as s; print(s)",
        ],
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},
        cwd=wheel.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(wheel.parent / "environment") in where.stdout


def test_wheel_prints_its_version(bitlog2):
    run = bitlog2("--version")
    assert (run.returncode, run.stdout.startswith("bitlog2 ")) == (0, True)


def test_wheel_passes_its_selftest(bitlog2):
    run = bitlog2("selftest")
    assert run.returncode == 0, run.stdout + run.stderr


def test_wheel_evaluates_digits(bitlog2):
    run = bitlog2("evaluate", "--model", "digits", "--limit", "64")
    assert run.returncode == 0, run.stdout + run.stderr
    assert " values compared, 0 mismatches" in run.stdout


def test_wheel_emits_and_verifies_vectors(bitlog2):
    runs = [bitlog2("golden", "emit", "--out", "v"), bitlog2("golden", "verify", "v")]
    assert [run.returncode for run in runs] == [0, 0], runs


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
