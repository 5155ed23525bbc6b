"""FORMAT.md says what the files are, and its examples run."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from test_export import swin_export

from bitlog2.flow.derived import PARTS
from bitlog2.golden import emit, write_export
from bitlog2.golden.package.presets import PRESETS

TEXT = PARTS["units"][0].read_text(encoding="utf-8")


def block(language):
    """The one code block of a language."""
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def exp2_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format") / "set"
    emit(folder, PRESETS["default"], units=["exp2"])
    return folder


def test_format_names_every_file_of_a_set(exp2_set):
    kinds = {re.sub(r".*\.mem", "<unit>.<stream>.mem", path.name) for path in exp2_set.iterdir()}
    assert {name for name in kinds if f"`{name}`" not in TEXT} == set()


def test_format_names_every_entry_of_a_manifest(exp2_set):
    entries = set(json.loads((exp2_set / "manifest.json").read_text()))
    assert {name for name in entries if f"`{name}`" not in TEXT} == set()


def test_format_names_every_file_of_an_export(tmp_path):
    """Of a Swin, which has masks and biases."""
    write_export(tmp_path / "e", *swin_export())
    names = {path.name for path in (tmp_path / "e").rglob("*") if path.is_file()}
    assert {"mask.mem", "score_bias.mem", "flag.mem"} <= names
    unnamed = {name for name in names if not re.search(rf"[`/]{re.escape(name)}`", TEXT)}
    assert unnamed == set()


def test_format_python_example_runs(exp2_set):
    run = subprocess.run(
        [sys.executable, "-c", block("python")],
        cwd=exp2_set,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "(2560,) 65536\n"


def test_format_c_example_reads_every_word(exp2_set, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "read.c").write_text(block("c"))
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    program = tmp_path / "read"
    subprocess.run([compiler, *strict, "read.c", "-o", program], cwd=tmp_path, check=True)
    run = subprocess.run([program], cwd=exp2_set, capture_output=True, text=True, check=True)
    assert run.stdout == "2560 cases\n"


def test_format_systemverilog_example_has_the_right_number_of_words(exp2_set):
    words = len((exp2_set / "exp2.stimulus.mem").read_text().splitlines())
    assert f"localparam int WORDS = {words};" in block("systemverilog")
