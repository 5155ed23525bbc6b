"""What ships beside the C model: it builds without a warning, README and example say what is so."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.c_model import COMPILERS, SOURCE, STRICT, compile_c

import bitlog2
from bitlog2.golden.simulation import verilator_command, verilator_environment
from bitlog2.sim.network.datapath import NETWORK_VERSION

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")

README = (SOURCE / "README.md").read_text(encoding="utf-8")
PRINTED = re.search(r"It prints\n\n```\n(.*?)```", README, re.DOTALL)[1]


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("optimize", ["-O0", "-O3"])
def test_c_model_ships_without_warnings(compiler: str, optimize: str, tmp_path: Path):
    for name in ("bitlog2", "example"):
        arguments = [*STRICT, optimize, "-c", SOURCE / f"{name}.c", "-o", tmp_path / f"{name}.o"]
        compile_c(arguments, compiler)


def test_c_model_ships_as_cpp_too(tmp_path: Path):
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler: c++")
    flags = ["-x", "c++", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    compile_c([*flags, "-c", SOURCE / "bitlog2.c", "-o", tmp_path / "bitlog2.o"], compiler)


def test_c_model_ships_an_example_that_prints_what_the_readme_says(tmp_path: Path):
    """The README's own text, compiled."""
    text = re.search(r"```c\n(.*?)```", README, re.DOTALL)[1]
    (tmp_path / "pasted.c").write_text(text)
    sources = [tmp_path / "pasted.c", SOURCE / "bitlog2.c"]
    compile_c([*STRICT, "-I", SOURCE, *sources, "-o", tmp_path / "pasted"])
    assert run(tmp_path / "pasted") == PRINTED
    assert text in (SOURCE / "example.c").read_text()


def published_program(scheme: str) -> str:
    """The example as it was before RowMax: initializers that lack its registers."""
    text = re.search(r"```c\n(.*?)```", README, re.DOTALL)[1]
    assert text.count(", o, 0, 0, 0, 0, 0};") == text.count("BL2_HALF_17") == 1
    older = text.replace(", o, 0, 0, 0, 0, 0};", ", o, 0, 0};")
    return older.replace("BL2_HALF_17", f"BL2_{scheme.removeprefix('BitLog2_').upper()}")


@pytest.mark.parametrize(
    ("scheme", "printed"),
    [
        ("BitLog2_Single_16", "acc -26504 31780, o 0 15"),
        ("BitLog2_Single_17", "acc -53008 63560, o 0 15"),
        ("BitLog2_Half_16", "acc -217 244, o 6 8"),
        ("BitLog2_Half_17", "acc -322 502, o 5 10"),
    ],
)
def test_c_model_ships_a_header_for_programs_of_the_published_schemes(
    scheme: str, printed: str, tmp_path: Path
):
    """Compiled as it stands, it prints what it printed; the numbers are of that version."""
    (tmp_path / "older.c").write_text(published_program(scheme))
    strict = [*STRICT, "-Wno-missing-field-initializers", "-I", SOURCE]
    compile_c([*strict, tmp_path / "older.c", SOURCE / "bitlog2.c", "-o", tmp_path / "older"])
    assert run(tmp_path / "older") == f"ok: {printed}\n"


def test_c_model_ships_a_makefile_that_builds_everything(tmp_path: Path):
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    run(make, "-C", SOURCE, f"BUILD={tmp_path}", f"CC={COMPILERS[0]}")
    assert {"libbitlog2.a", "libbitlog2.so"} <= {path.name for path in tmp_path.iterdir()}
    assert run(tmp_path / "example") == PRINTED


def test_c_model_ships_without_floats_allocation_or_globals(tmp_path: Path):
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "bitlog2.c").read_text(), flags=re.DOTALL)
    assert not re.findall(r"\b(?:float|double|malloc|calloc|alloca|math\.h|setjmp)\b", text)
    assert re.findall(r"#include (\S+)", text) == ['"bitlog2.h"']
    header = (SOURCE / "bitlog2.h").read_text()
    assert re.findall(r"#include (\S+)", header) == ["<stddef.h>", "<stdint.h>"]
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm, which lists writable symbols")
    compile_c(["-c", "-O1", SOURCE / "bitlog2.c", "-o", tmp_path / "bitlog2.o"])
    kinds = {line.split()[-2] for line in run(nm, tmp_path / "bitlog2.o").splitlines()}
    assert not kinds & set("BbDCcGgSs")


def test_c_model_ships_the_version_of_the_specification():
    header = (SOURCE / "bitlog2.h").read_text()
    assert f"#define BL2_SPEC_VERSION {bitlog2.SPEC_VERSION}\n" in header
    assert f"#define BL2_NETWORK_VERSION {NETWORK_VERSION}\n" in header


def arguments_of(text: str) -> list[str]:
    """The names of the arguments of a C or SystemVerilog prototype."""
    return [re.findall(r"\w+", argument)[-1] for argument in text.split(",")]


def test_c_model_ships_dpi_imports_that_the_c_side_has():
    """Every import: its function, with the same arguments in the same order."""
    package = (SOURCE / "bitlog2_dpi.sv").read_text()
    package = re.sub(r"//.*", "", package).replace("[]", "")
    c_side = (SOURCE / "bitlog2_dpi.c").read_text()
    pattern = r'import "DPI-C" (bl2_dpi_\w+) = function \w+ bl2_\w+\((.*?)\);'
    imports = dict(re.findall(pattern, package, re.DOTALL))
    functions = dict(re.findall(r"^\S.*?\b(bl2_dpi_\w+)\((.*?)\)\n\{", c_side, re.M | re.DOTALL))
    assert len(imports) == 22
    assert set(functions) == set(imports)
    for name, arguments in imports.items():
        assert arguments_of(arguments) == arguments_of(functions[name]), name


@pytest.mark.long
def test_c_model_ships_a_testbench_that_passes_in_verilator(tmp_path: Path):
    sources = [SOURCE / name for name in ("bitlog2_dpi.sv", "example_tb.sv", "bitlog2_dpi.c")]
    options = ["--binary", "-Wall", "--Mdir", tmp_path, "--top-module", "example_tb"]
    command = [verilator_command(), *options, *sources, SOURCE / "bitlog2.c"]
    run(*command, "-CFLAGS", f"-I{SOURCE}", env=verilator_environment())
    lines = run(tmp_path / "Vexample_tb").splitlines()
    assert lines[:2] == ["acc -322 502, o 5 10", "PASS"]
