"""What the cost table compares: alternatives said to be equal are, the rest is as it is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bitlog2.golden.assurance.cost.catalogue import entry_error, linear_entry, step_error
from bitlog2.golden.assurance.cost.measure import design_files
from bitlog2.golden.simulation import run_tool, verilator_command, verilator_environment
from bitlog2.golden.simulation.svpackage import render_package
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.golden.testbench.files import UNOPTIMIZED
from bitlog2.sim import AttentionConfig

BENCH = Path(__file__).parent / "rtl" / "cost_tb.sv"
OPTIONS = ("--binary", "--timing", "--output-split", "0", "-Wno-lint", "-Wno-style", "-O3")
OPTIONS += ("-Wno-TIMESCALEMOD", "-MAKEFLAGS", "PYTHON3=python3", "-CFLAGS", "-std=c++20")
OPTIONS += UNOPTIMIZED
NAMES = (
    "code_multiply_lane", "code_register", "delay_line", "exp2_linear", "float32_divide",
    "float32_log2_quantizer", "float32_multiply", "leading_one", "log2_quantizer",
    "log2_quantizer_divide", "log2_quantizer_pipe", "log2_quantizer_restoring",
    "online_accumulator", "shift_add_lane",
    "value_multiply_lane",
)  # fmt: skip
CONFIG = AttentionConfig()
#: (A, S_WIDTH): all e and s of the small width, 20,000 random pairs of the default's.
SCHEMES = (32768, 65536, 256, 384)


class Seen(NamedTuple):
    """What the bench printed and wrote."""

    printed: str
    linear: list[int]
    a: np.ndarray
    b: np.ndarray
    product: np.ndarray
    quotient: np.ndarray
    level: np.ndarray
    code: np.ndarray


def bits_of(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).view(np.uint32)


def operands() -> tuple[np.ndarray, np.ndarray]:
    """float32 operands: probabilities and sums, all significands' corners, any normal exponent."""
    rng = np.random.default_rng(5)
    e = np.concatenate([rng.random(4000) ** 4, np.exp(-20 * rng.random(2000)), np.zeros(50)])
    s = 1 + 1023 * rng.random(e.size) ** 3
    equal = s[:200]
    significands = np.array(
        [0, 1, 2, 3, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF], np.uint32
    )
    x, y = (grid.ravel() for grid in np.meshgrid(significands, significands))
    corners = (x | 127 << 23).astype(np.uint32), (y | 127 << 23).astype(np.uint32)
    anything = rng.integers(1 << 23, 255 << 23, (2, 6000), dtype=np.uint32)
    near = rng.integers(124 << 23, 131 << 23, (2, 6000), dtype=np.uint32)
    left = [bits_of(e), bits_of(equal), corners[0], anything[0], near[0]]
    right = [bits_of(s), bits_of(equal), corners[1], anything[1], near[1]]
    return np.concatenate(left), np.concatenate(right)


def flushed(values: np.ndarray) -> np.ndarray:
    """The bits of float32 values with subnormal ones as 0, as the modules have it."""
    bits = values.view(np.uint32)
    return np.where(bits < 1 << 23, 0, bits)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("cost")
    a, b = operands()
    words = a.astype(np.uint64) << np.uint64(31) | b
    (folder / "pairs.mem").write_text("".join(f"{word:x}\n" for word in words))
    package = folder / "bitlog2_pkg.sv"
    package.write_bytes(render_package(Target.of(CONFIG), list(units_within(CONFIG).values())))
    files = [package, *(design_files()[name] for name in NAMES), BENCH]
    command = [verilator_command(), *OPTIONS, f"-DFLOAT_WORDS={a.size}", "--top-module", "cost_tb"]
    run_tool([*command, "-Mdir", ".", *files], folder, environment=verilator_environment())
    printed = run_tool([folder / "Vcost_tb"], folder)
    rows = [line.split() for line in (folder / "floats.mem").read_text().splitlines()]
    columns = np.array([[int(word, 16) for word in row] for row in rows], np.int64).T
    linear = [int(word, 16) for word in (folder / "linear.mem").read_text().split()]
    return Seen(printed, linear, a, b, *columns[:3], columns[3] * 2 + columns[4])


@pytest.mark.parametrize(
    ("top", "options"),
    [
        ("exp2_linear", ()),
        ("float32_log2_quantizer", ()),
        ("log2_quantizer_restoring", ()),
        ("online_accumulator", ()),
        *(("lane_accumulator", (f"-GKIND={kind}",)) for kind in range(3)),
    ],
)
def test_cost_alternative_is_clean_under_verilator(
    top: str, options: tuple[str, ...], tmp_path: Path
):
    package = tmp_path / "bitlog2_pkg.sv"
    package.write_bytes(render_package(Target.of(CONFIG), list(units_within(CONFIG).values())))
    files = [package, *(path for name, path in design_files().items() if name != "checks")]
    quiet = ("-Wno-UNUSEDPARAM", "-Wno-MULTITOP")
    named = ["-Wall", *quiet, *options, "--top-module", top]
    command = [verilator_command(), "--lint-only", *named, *files]
    printed = run_tool(command, tmp_path, environment=verilator_environment())
    assert "Warning" not in printed


def counted(printed: str, what: str) -> list[tuple[int, int]]:
    """(cases, wrong) of the lines that begin so."""
    lines = re.findall(rf"^{what}.*: (\d+) cases, (\d+) wrong$", printed, re.M)
    return [(int(cases), int(wrong)) for cases, wrong in lines]


@pytest.mark.long
@pytest.mark.requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
def test_cost_dividing_form_is_the_comparing_form(seen: Seen):
    """Every pair of a reduced width (P = 6, N = 4), random others."""
    for int_max in SCHEMES:
        assert counted(seen.printed, rf"quantizers A={int_max} S_WIDTH=9") == [(193 * 65, 0)]
        assert counted(seen.printed, rf"quantizers A={int_max} S_WIDTH=27") == [(20000, 0)]


@pytest.mark.long
@pytest.mark.requirement("BL2-ACC-01")
def test_cost_value_multiply_lane_is_the_shift_add_lane(seen: Seen):
    """Every code, v and zero point, all four schemes; the uniform lane multiplies."""
    assert counted(seen.printed, "lanes") == [(16 * 256, 0), (17 * 256, 0)] * 2


@pytest.mark.long
def test_cost_online_accumulator_is_the_floor_of_its_sum_and_the_term(seen: Seen):
    assert counted(seen.printed, "online") == [(5000, 0)]


@pytest.mark.long
def test_cost_linear_exp2_is_its_integers(seen: Seen):
    for d in range(1024):
        entry, shift = linear_entry(d % 32, CONFIG), d // 32
        rounded = entry if shift == 0 else (entry + (1 << (shift - 1))) >> shift
        assert seen.linear[d] == rounded, d
    assert set(seen.linear[1024:]) == {0}


def test_cost_linear_entry_is_the_line_and_meets_the_table_at_its_ends():
    assert linear_entry(0, CONFIG) == 65536 == CONFIG.table[0]
    assert linear_entry(16, CONFIG) == 49152
    assert linear_entry(31, CONFIG) == 65536 - 31 * 1024
    assert all(linear_entry(f, CONFIG) >= CONFIG.table[f] for f in range(32))


def test_cost_errors_of_exp2_are_those_worked_by_hand():
    # (1 - x/2) 2^x is largest at x = 2 - 1/ln 2 = 0.557, where it is 1.0615.
    assert entry_error(CONFIG) == pytest.approx(0.0615, abs=1e-4)
    assert step_error(5) == pytest.approx(0.5 / 32 * np.log(2), rel=0.01)


@pytest.mark.parametrize("fraction", [-1, 32])
def test_cost_linear_entry_refuses_a_fraction_that_is_none(fraction: int):
    with pytest.raises(ValueError, match="fraction must be from 0 to 31"):
        linear_entry(fraction, CONFIG)


def test_cost_linear_entry_refuses_a_table_without_the_bits():
    with pytest.raises(ValueError, match="table_bits must be above"):
        linear_entry(0, AttentionConfig(table_bits=4, fraction_bits=5))


@pytest.mark.long
def test_cost_float32_product_is_numpys(seen: Seen):
    with np.errstate(over="ignore", under="ignore"):
        expected = seen.a.view(np.float32) * seen.b.view(np.float32)
    assert np.array_equal(seen.product, flushed(expected))


@pytest.mark.long
def test_cost_float32_quotient_is_numpys(seen: Seen):
    with np.errstate(over="ignore", under="ignore"):
        expected = seen.a.view(np.float32) / seen.b.view(np.float32)
    assert np.array_equal(seen.quotient, flushed(expected))


@pytest.mark.long
def test_cost_float32_quantizer_is_the_published_expression(seen: Seen):
    rows = slice(0, 6250)  # e <= s
    e, s = (side[rows].view(np.float32) for side in (seen.a, seen.b))
    p = np.minimum(np.floor(e / s * np.float32(CONFIG.code.int_max)), CONFIG.code.int_max - 1)
    levels = np.searchsorted(CONFIG.code.values, p.astype(np.int64), side="right") - 1
    assert np.array_equal(seen.level[rows], levels)
    assert np.array_equal(seen.code[rows], np.where(levels == 0, 1, (levels - 1) * 2))
    assert set(levels) == set(range(17))
