"""What lies in examples/ runs."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.shared import made_once

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
#: The commands of this installation first.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def make(folder: Path, *words: str) -> str:
    """Return what make prints; a status that is not 0 is appended."""
    done = subprocess.run(
        ["make", "-C", folder, *words], env=ENVIRONMENT, capture_output=True, text=True
    )
    return f"{done.stdout}{done.stderr}" + (f"status {done.returncode}" if done.returncode else "")


def copy_with_vectors(folder: Path) -> None:
    shutil.copytree(EXAMPLES / "rtl", folder, dirs_exist_ok=True)
    assert "status" not in make(folder, "vectors")


@pytest.fixture
def device(tmp_path_factory, tmp_path) -> Path:
    """A copy of the example of RTL with its vectors."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here")
    made = made_once(tmp_path_factory, "example_rtl", copy_with_vectors)
    return Path(shutil.copytree(made, tmp_path / "rtl"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_examples_notebook_holds_no_output(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_examples_notebook_runs(path, tmp_path):
    if find_spec("nbclient") is None or find_spec("ipykernel") is None:
        pytest.skip("the extra [examples] is not installed")
    if path.name == "rtl.ipynb" and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not here")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute()


@pytest.mark.long
def test_examples_device_passes_by_its_makefile(device):
    assert "PASS exp2: " in make(device)


@pytest.mark.long
def test_examples_device_passes_by_fusesoc(device):
    if find_spec("fusesoc") is None:
        pytest.skip("the extra [examples] is not installed")
    assert "PASS exp2: " in make(device, "fusesoc")


@pytest.mark.long
def test_examples_device_with_a_planted_error_fails(device):
    source = device / "my_exp2.sv"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("(entry + half) >> shift", "entry >> shift"), encoding="utf-8")
    printed = make(device)
    assert "FAIL exp2: " in printed
    assert printed.endswith("status 2")
