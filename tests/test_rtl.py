"""The reference RTL as files: headers, and no complaint of any front end, whatever is built."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from support.defects import planted
from support.quick import USUAL, one_in, quick_where
from support.rtl import (
    BIND,
    CHECKS_FILE,
    MODULES,
    RTL,
    TOPS,
    cells_of,
    lint_icarus,
    lint_slang,
    lint_verilator,
    needs_icarus,
    rtl_files,
    synthesized,
    write_package,
)
from test_house import SPECIFIED

from bitlog2.golden import UNITS
from bitlog2.golden.assurance.requirements import ids_of
from bitlog2.golden.simulation.tools import ToolError, run_tool
from bitlog2.sim import SCHEMES, AttentionConfig

HALF_17 = "BitLog2_Half_17"
ROW_MAX_16 = "RowMax_16"
#: Name -> (configuration, D, LANES of the rows).
CONFIGURATIONS: dict[str, tuple[AttentionConfig, int, int]] = {
    **{scheme: (AttentionConfig(scheme=scheme), 4, 4) for scheme in SCHEMES},
    "8-bit codes": (AttentionConfig(q_bits=8, k_bits=8, v_bits=8, o_bits=8), 2, 4),
    "F=1": (AttentionConfig(fraction_bits=1), 2, 4),
    "F=8": (AttentionConfig(fraction_bits=8), 2, 4),
    "P=4": (AttentionConfig(table_bits=4, scheme="BitLog2_Single_17"), 2, 4),
    "P=20": (AttentionConfig(table_bits=20, max_tokens=65536), 2, 4),
    "one token": (AttentionConfig(max_tokens=1, scheme="BitLog2_Single_16"), 2, 4),
    "one channel, one lane": (AttentionConfig(max_head_dim=1), 1, 1),
    "three lanes, seven tokens": (AttentionConfig(max_tokens=7), 3, 3),
    "2-bit codes": (AttentionConfig(q_bits=2, k_bits=2, v_bits=2, o_bits=2), 2, 2),
    "smallest": (
        AttentionConfig(
            scheme="BitLog2_Half_16", q_bits=2, k_bits=2, v_bits=2, o_bits=2, max_head_dim=1,
            max_tokens=1, fraction_bits=1, table_bits=4, distance_int_bits=2, m_bits=4, max_n=0,
            m2_bits=4, max_n2=0, t_bits=8,
        ), 1, 1,
    ),
    "largest": (
        AttentionConfig(
            scheme="BitLog2_Single_17", q_bits=8, k_bits=8, v_bits=8, o_bits=8, max_head_dim=1024,
            max_tokens=65536, fraction_bits=8, table_bits=20, distance_int_bits=6, m_bits=24,
            max_n=48, m2_bits=24, max_n2=48, t_bits=24,
        ), 1, 2,
    ),
    "RowMax, 8-bit codes": (
        AttentionConfig(ROW_MAX_16, q_bits=8, k_bits=8, v_bits=8, o_bits=8), 2, 4
    ),
    "RowMax, F=1, I=2": (AttentionConfig(ROW_MAX_16, fraction_bits=1, distance_int_bits=2), 2, 4),
    "RowMax, three lanes, seven tokens": (AttentionConfig(ROW_MAX_16, max_tokens=7), 3, 3),
    "RowMax, smallest": (
        AttentionConfig(
            scheme=ROW_MAX_16, q_bits=2, k_bits=2, v_bits=2, o_bits=2, max_head_dim=1,
            max_tokens=1, fraction_bits=1, table_bits=4, distance_int_bits=2, m_bits=4, max_n=0,
            m2_bits=4, max_n2=10, t_bits=8,
        ), 1, 1,
    ),
    "RowMax, largest": (
        AttentionConfig(
            scheme=ROW_MAX_16, q_bits=8, k_bits=8, v_bits=8, o_bits=8, max_head_dim=1024,
            max_tokens=8192, fraction_bits=8, distance_int_bits=6, m_bits=24, max_n=48,
            m2_bits=24, max_n2=48, t_bits=24,
        ), 1, 2,
    ),
}  # fmt: skip
#: What Yosys makes of clocked and plain logic; a latch, a black box or a vendor's cell is not here.
GENERIC = re.compile(r"\$(?!.*latch)[a-z_0-9]+$|\$scopeinfo$")


def header_of(path: Path) -> dict[str, str]:
    """Return the paragraphs `Name: text` of the comment that begins a file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("//"):
            break
        lines.append(line[2:].strip())
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        match = re.match(r"([A-Z][a-z]+): (.+)", line)
        if match:
            name = match[1]
            found[name] = f"{found[name]} {match[2]}" if name in found else match[2]
        elif line and name:
            found[name] += f" {line}"
        else:
            name = ""
    return found


@pytest.fixture(params=CONFIGURATIONS)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[Path], int]:
    """The files of a configuration, package first, and the lanes of its rows."""
    config, head_dim, lanes = CONFIGURATIONS[request.param]
    return [write_package(tmp_path, config, head_dim), *rtl_files()], lanes


@pytest.fixture
def usual(tmp_path: Path) -> list[Path]:
    return [write_package(tmp_path, AttentionConfig(), 4), *rtl_files()]


def with_lanes(files: list[Path], lanes: int, folder: Path) -> list[Path]:
    """The files with other lanes by default, so that every top is built with them."""
    if lanes == 4:
        return files
    made = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        made.append(folder / "lanes" / path.name)
        made[-1].parent.mkdir(exist_ok=True)
        made[-1].write_text(text.replace("integer LANES = 4", f"integer LANES = {lanes}"))
    return made


def test_rtl_has_a_module_for_each_unit_of_the_vectors():
    assert set(UNITS) <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_rtl_file_has_one_module_of_its_name(name: str):
    text = (RTL / f"{name}.sv").read_text(encoding="utf-8")
    assert re.findall(r"^module (\w+)", text, re.M) == [name]


@pytest.mark.parametrize(
    "path",
    [path for path in (*rtl_files(), *sorted(BIND.glob("*.sv"))) if path.name != "bind_checks.sv"],
    ids=lambda path: path.stem,
)
def test_rtl_header_names_latency_throughput_handshake_and_requirements(path: Path):
    header = header_of(path)
    assert {"Latency", "Throughput", "Handshake", "Requirements"} <= set(header)
    ids = re.findall(r"BL2-[A-Z0-9]+-\d\d", header["Requirements"])
    assert ids
    assert ", ".join(ids) == header["Requirements"].replace(",,", ",")
    assert ids_of(header["Requirements"]) <= SPECIFIED


def test_rtl_header_without_a_latency_is_seen(tmp_path: Path):
    text = (RTL / "exp2.sv").read_text(encoding="utf-8")
    (tmp_path / "exp2.sv").write_text(text.replace("// Latency:", "// Later:"))
    assert "Latency" not in header_of(tmp_path / "exp2.sv")


def test_rtl_is_clean_under_verilator(built: tuple[list[Path], int], tmp_path: Path):
    files, lanes = built
    assert lint_verilator(with_lanes(files, lanes, tmp_path), tmp_path) == ""


def test_rtl_is_clean_under_slang(built: tuple[list[Path], int], tmp_path: Path):
    files, lanes = built
    assert lint_slang(with_lanes(files, lanes, tmp_path)) == ""


@needs_icarus
def test_rtl_is_clean_under_icarus(built: tuple[list[Path], int], tmp_path: Path):
    files, lanes = built
    assert lint_icarus(with_lanes(files, lanes, tmp_path), TOPS, tmp_path) == ""


def test_rtl_binding_is_clean_under_verilator_and_slang(usual: list[Path], tmp_path: Path):
    files = [*usual, *sorted(BIND.glob("*.sv"))]
    assert lint_verilator(files, tmp_path) == ""
    assert lint_slang(files) == ""


@pytest.mark.parametrize(
    ("top", "scheme"),
    quick_where(
        lambda top, scheme: top != "attention_row" or scheme in USUAL,
        [("attention_row", scheme) for scheme in SCHEMES]
        + [(top, HALF_17) for top in TOPS if top != "attention_row"],
    ),
)
def test_rtl_synthesizes_without_latches_or_foreign_cells(top: str, scheme: str, tmp_path: Path):
    config = AttentionConfig(scheme=scheme, max_tokens=8)
    printed = synthesized([write_package(tmp_path, config, 2), *rtl_files()], top, tmp_path)
    assert "Warning" not in printed
    assert {cell for cell in cells_of(printed) if not GENERIC.match(cell)} == set()


MASKED = "  assign e = mask ? '0 :"
LATCH = "  logic held;\n  always_latch if (mask) held = d[0];\n  assign e = held ? '0 :"
BLACK_BOX = "  logic held;\n  LUT1 #(.INIT(2)) lut (.I0(mask), .O(held));\n  assign e = held ? '0 :"


def broken(usual: list[Path], folder: Path, old: str, new: str) -> list[Path]:
    """The package, and the files with a text of exp2 replaced."""
    (folder / "rtl").mkdir()
    return [usual[0], *planted(folder / "rtl", "exp2", (old, new))]


def test_rtl_latch_in_a_copy_is_reported(usual: list[Path], tmp_path: Path):
    printed = synthesized(broken(usual, tmp_path, MASKED, LATCH), "exp2", tmp_path)
    assert "$dlatch" in cells_of(printed)
    assert not GENERIC.match("$dlatch")


def test_rtl_black_box_in_a_copy_is_reported(usual: list[Path], tmp_path: Path):
    with pytest.raises(ToolError, match="LUT1"):
        synthesized(broken(usual, tmp_path, MASKED, BLACK_BOX), "exp2", tmp_path)


def test_rtl_width_slip_in_a_copy_is_reported(usual: list[Path], tmp_path: Path):
    files = broken(usual, tmp_path, "logic [E_WIDTH:0] shifted;", "logic [E_WIDTH-1:0] shifted;")
    assert "WIDTH" in lint_verilator(files, tmp_path)
    assert lint_slang(files) != ""


def test_rtl_ships_its_checks_beside_it():
    assert (RTL / CHECKS_FILE).is_file()
    assert {path.name for path in BIND.iterdir()} == {
        "README.md", "attention_row_checks.sv", "bind_checks.sv", "softmax_row_checks.sv",
    }  # fmt: skip


def cycles_of(scheme: str, beats: int, lanes: int, channels: int) -> tuple[int, int]:
    """Latency, and interval of two rows, that the head of attention_row states."""
    m2_width = AttentionConfig().m2_bits
    tree, groups = math.ceil(math.log2(lanes)), math.ceil(channels / 4)
    if SCHEMES[scheme].row_max:
        latency = 2 * beats + 2 * tree + groups + m2_width + 24
        behind = groups + m2_width + 9
        return latency, max(2 * beats + tree + 7, 2 * behind, beats + tree + behind + 4)
    latency = 3 * beats + 3 * tree + groups + 30
    return latency, max(2 * (2 * beats + tree + 3), 3 * beats + 2 * tree + 9, 2 * (groups + 5))


@needs_icarus
@pytest.mark.parametrize(("lanes", "channels"), one_in(4, [(4, 1), (1, 1), (4, 30), (3, 1)]))
@pytest.mark.parametrize("scheme", [HALF_17, ROW_MAX_16])
def test_rtl_rows_take_the_cycles_that_their_head_states(
    scheme: str, lanes: int, channels: int, tmp_path: Path
):
    package = write_package(tmp_path, AttentionConfig(scheme), channels)
    bench = Path(__file__).parent / "rtl" / "cycles_tb.sv"
    for beats in (1, 2, 9, 16, 41):
        program = tmp_path / f"cycles_{beats}"
        words = ["iverilog", "-g2012", "-s", "cycles_tb", f"-Pcycles_tb.BEATS={beats}"]
        words += [f"-Pcycles_tb.LANES={lanes}"]
        run_tool([*words, "-o", program, package, *rtl_files(), bench], tmp_path, timeout=60)
        printed = run_tool(["vvp", "-n", program], tmp_path, timeout=60)
        latency, interval = cycles_of(scheme, beats, lanes, channels)
        assert f"latency {latency}\n" in printed
        between = [int(cycles) for cycles in re.findall(r"interval (\d+)", printed)]
        assert set(map(sum, pairwise(between[2:]))) == {interval}
