"""The C model's rows: registers, mutants, sanitizers. BL2-ROW-01, BL2-MAX-01, -04, BL2-EXP2-04."""

import re
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from c_model import (
    COMPILERS,
    OK,
    SOURCE,
    Case,
    CModel,
    build_library,
    compile_c,
    first_difference,
    row_inputs,
)
from c_rows import DRIVER, MUTANTS, driver_input, driver_output, random_cases

from bitlog2.sim import SCHEMES, AttentionConfig, AttentionTrace, LayerParams

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")

ROW_PARAMS = LayerParams(47274, 14, 43691, 23, 7, 8, 6, 7)
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
MODEL_TEXT = (SOURCE / "bitlog2.c").read_text()


@lru_cache(maxsize=1)
def mutation_cases() -> list[tuple[Case, AttentionTrace]]:
    """Small configurations, where ties, ends and clamps are frequent; then any."""
    small = {"table_bits": 6, "fraction_bits": 1, "distance_int_bits": 3, "t_bits": 8}
    cases = [*random_cases(701, 60, 4, **small), *random_cases(702, 60, 4, fraction_bits=3)]
    return [(case, case.expected()) for case in cases]


def test_c_model_rows_equal_the_simulator_in_every_register():
    """4000 rows of 500 configurations."""
    for case in random_cases(703, 500, 8):
        assert first_difference(case, case.expected()) is None, (case.config, case.params)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_c_model_rows_of_default_hardware_equal_the_simulator(scheme: str):
    fixed = AttentionConfig(scheme).as_dict() | {"max_tokens": 300}
    for case in random_cases(704, 25, 4, **fixed):
        assert first_difference(case, case.expected()) is None, (case.config, case.params)


def test_c_model_rows_from_scores_equal_the_simulator():
    for case in random_cases(705, 60, 4):
        assert first_difference(case, case.expected(), from_scores=True) is None, case.config


def test_c_model_rows_hold_the_largest_hardware():
    """N = 65536 keys of D = 1024 channels at full code: every bound of every width."""
    widest = {"max_head_dim": 1024, "max_tokens": 65536, "table_bits": 20, "t_bits": 24}
    widest |= {f"{name}_bits": 8 for name in "qkvo"} | {"m_bits": 24, "m2_bits": 24}
    config = AttentionConfig("BitLog2_Single_17", max_n=48, max_n2=48, **widest)
    params = LayerParams((1 << 24) - 1, 40, (1 << 24) - 1, 40, 0, 0, 0, 255)
    keys = np.random.default_rng(706).integers(0, 256, (65536, 4), dtype=np.uint8)
    wide = Case(
        config, params, np.full((1, 4), 255, np.uint8), keys, keys[:, :1].copy(), None, None
    )
    full = np.full((2, 1024), 255, np.uint8)
    deep = Case(config, params, full[:1], full, full[:, :3].copy(), None, None)
    for case in (wide, deep):
        assert first_difference(case, case.expected()) is None


def test_c_model_rows_cover_what_they_claim():
    """All schemes, code bits, masks, biases, N = 1, N = max, D = 1, both ends of t, every level."""
    cases = list(random_cases(703, 500, 8))
    assert {case.config.scheme for case in cases} == set(SCHEMES)
    for field, low, high in (("q_bits", 2, 8), ("fraction_bits", 1, 8), ("table_bits", 4, 20)):
        assert {getattr(case.config, field) for case in cases} == set(range(low, high + 1))
    assert {case.masked is None for case in cases} == {case.bias is None for case in cases}
    assert {1} < {case.k.shape[0] for case in cases}
    assert {1} < {case.q.shape[1] for case in cases}
    assert any(case.k.shape[0] == case.config.max_tokens > 100 for case in cases)
    levels, ends = set(), set()
    for case in cases:
        trace = case.expected()
        levels |= {(case.config.scheme, int(x)) for x in np.unique(trace.level)}
        ends |= {trace.t.min() == case.config.t_min, (trace.t.max() == case.config.t_max) * 2}
    assert levels == {(name, x) for name, scheme in SCHEMES.items() for x in range(scheme.levels)}
    assert ends == {0, 1, 2}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_c_model_rows_report_a_mutant(mutant: str, tmp_path: Path):
    old, new = MUTANTS[mutant]
    assert MODEL_TEXT.count(old) == 1
    planted = build_library(tmp_path, MODEL_TEXT.replace(old, new))
    found = [first_difference(*case, planted) for case in mutation_cases()]
    assert any(found)


def test_c_model_rows_report_nothing_of_an_unchanged_source(tmp_path: Path):
    """The mutants are reported for their mutation."""
    unchanged = build_library(tmp_path, MODEL_TEXT)
    assert [first_difference(*case, unchanged) for case in mutation_cases()] == [None] * 120


def build_driver(folder: Path, flags: list[str]) -> Path:
    (folder / "driver.c").write_text(DRIVER)
    program = folder / "driver"
    sources = [folder / "driver.c", SOURCE / "bitlog2.c"]
    compile_c(["-std=c99", "-O1", "-g", *flags, "-I", SOURCE, *sources, "-o", program])
    return program


def skip_without_sanitizers(folder: Path) -> None:
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [COMPILERS[0], *SANITIZE, str(folder / "empty.c"), "-o", str(folder / "empty")]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip(f"{COMPILERS[0]} has no address and undefined sanitizer runtime")


def test_c_model_rows_run_clean_under_sanitizers(tmp_path: Path):
    """Buffers of their exact size: no read or write beside them, no undefined operation."""
    skip_without_sanitizers(tmp_path)
    program = build_driver(tmp_path, SANITIZE)
    cases = list(random_cases(707, 60, 3))
    text = "\n".join(driver_input(case, r) for case in cases for r in range(3))
    done = subprocess.run(
        [program], input=f"180\n{text}\n", capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[:4000]
    expected = [(case, case.expected()) for case in cases]
    lines = [driver_output(trace, r) for _, trace in expected for r in range(3)]
    assert [line.strip() for line in done.stdout.splitlines()] == lines


def test_c_model_rows_sanitizers_see_a_planted_read_beside_a_buffer(tmp_path: Path):
    skip_without_sanitizers(tmp_path)
    planted = MODEL_TEXT.replace("d < head_dim; d++", "d <= head_dim; d++")
    assert planted != MODEL_TEXT
    (tmp_path / "bitlog2.c").write_text(planted)
    (tmp_path / "driver.c").write_text(DRIVER)
    sources = [tmp_path / "driver.c", tmp_path / "bitlog2.c"]
    compile_c([*SANITIZE, "-I", SOURCE, *sources, "-o", tmp_path / "driver"])
    text = driver_input(next(random_cases(708, 1, 1)), 0)
    done = subprocess.run(
        [tmp_path / "driver"], input=f"1\n{text}\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


def test_c_model_rows_worked_row_of_the_specification():
    """SPEC.md, section 7, from the page's own table."""
    page = (Path(SOURCE).parent.parent / "sim" / "SPEC.md").read_text(encoding="utf-8")
    keys = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| [0-7] \| \d+ \d+ \d+ \d+ \|.*$", page, re.MULTILINE)
    ]
    columns = list(zip(*keys, strict=True))
    k, v = (np.array([x.split() for x in column]).astype(np.uint8) for column in columns[1:3])
    masked, bias = np.array(columns[3]) == "1", np.array(columns[5]).astype(np.int32)
    query = np.array([[1, 13, 15, 14]], np.uint8)
    case = Case(AttentionConfig(), ROW_PARAMS, query, k, v, masked[None], bias[None])
    status, got = CModel(case.config, case.params).row(row_inputs(case, 0))
    assert status == OK
    shown = {"score": 4, "t": 6, "d": 7, "e": 8, "level": 12, "nibble": 13, "flag": 14}
    for name, column in shown.items():
        assert got[name].tolist() == [int(x) for x in columns[column]], name
    assert (got["row_max"], got["row_sum"]) == (182, 88809)
    assert (got["acc"].tolist(), got["o"].tolist()) == ([-322, 502], [5, 10])
