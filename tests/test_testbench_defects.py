"""Plain testbenches fail on a broken device, and on vectors that are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.defects import DEFECTS, Defect, Forgotten, defect_named, forgotten_by, planted
from testbench_runs import Run, Workshop, emit_set, quick_simulator, verdict

from bitlog2.golden import emit
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.testbench import reference_files

#: A device around `row_sum`: what it does to the output stream.
WRAPPER = """\
module odd_row_sum (
    input clk, input rst_n, input s_axis_tvalid, output s_axis_tready,
    input [bitlog2_pkg::E_WIDTH-1:0] s_axis_tdata, input s_axis_tlast,
    output m_axis_tvalid, input m_axis_tready, output [bitlog2_pkg::S_WIDTH-1:0] m_axis_tdata
);
  wire valid;
  wire [bitlog2_pkg::S_WIDTH-1:0] data;
  reg [31:0] cycle, row;
  wire ready;
  row_sum inner (.clk(clk), .rst_n(rst_n), .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready), .s_axis_tdata(s_axis_tdata), .s_axis_tlast(s_axis_tlast),
      .m_axis_tvalid(valid), .m_axis_tready(ready), .m_axis_tdata(data));
  always @(posedge clk) begin
    cycle <= rst_n ? cycle + 1 : 0;
    row <= rst_n ? row + (valid && ready) : 0;
  end
  assign {m_axis_tvalid, ready, m_axis_tdata} = %s;
endmodule
"""
ODD = {
    "empty": ("{1'b0, 1'b1, data}", "no transfer for"),
    "short": ("{valid && row < 5, m_axis_tready || row >= 5, data}", "no transfer for"),
    "long": ("{valid || (row == ROWS && cycle[0]), m_axis_tready, data}", "a word too many"),
    "unsteady": ("{valid, m_axis_tready, data ^ cycle[3:0]}", "changed before it was taken"),
    "impatient": ("{valid && !cycle[1], m_axis_tready && !cycle[1], data}", "changed before"),
}


#: A device, what in it is replaced by what, and what the testbench says of the port.
PORTS = (
    ("row_sum", "[S_WIDTH-1:0] m_axis_tdata", "[S_WIDTH:0] m_axis_tdata", "11 bits, must have 10"),
    ("row_sum", "[E_WIDTH-1:0] s_axis_tdata", "[E_WIDTH-2:0] s_axis_tdata", "6 bits, must have 7"),
    ("exp2", "[E_WIDTH-1:0] e", "[E_WIDTH+2:0] e", "port e of the device has 10 bits, must have 7"),
    ("softmax_row", "LANES = 4", "LANES = 8", "m_axis_tkeep of the device has 8 bits, must have 4"),
    ("attention_row", "[         ROW_TAP_WIDTH-1:0]", "[ROW_TAP_WIDTH:0]", "port tap_rows_tdata"),
)
needs_icarus = pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not on PATH")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("testbench"))


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default configuration, with few lanes of v."""
    folder = tmp_path_factory.mktemp("default") / "set"
    emit(folder, head_dim=2, testbench=True)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_set(tmp_path_factory.mktemp("small") / "set")


def build_defect(simulator: str, defect: Defect, at: Path, workshop: Workshop, tmp: Path) -> Run:
    return workshop.build(simulator, at, defect.top, rtl=defect.planted(tmp))


def assert_fails(run: tuple[int, list[str]]) -> list[str]:
    status, lines = run
    assert status != 0
    assert verdict(lines).startswith("FAIL")
    return lines


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_testbench_defects_are_caught(
    defect: Defect, default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    run = build_defect(quick_simulator(), defect, default, workshop, tmp_path)
    assert_fails(run(default, "+stop"))


@pytest.mark.long
@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_testbench_defects_are_caught_in_verilator(
    defect: Defect, default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    run = build_defect("verilator", defect, default, workshop, tmp_path)
    assert_fails(run(default))


def test_testbench_defects_are_shown_with_case_field_and_time(
    default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    defect = defect_named("exp2: shift off by one")
    lines = assert_fails(build_defect("verilator", defect, default, workshop, tmp_path)(default))
    shown = [line for line in lines if line.startswith("  exp2.expected case ")]
    assert len(shown) == 10
    assert shown[0] == "  exp2.expected case 0 e: expected 0x10000, actual 0x08000, time 1"


def test_testbench_stops_at_the_first_difference(
    default: Path, workshop: Workshop, tmp_path: Path
) -> None:
    defect = defect_named("exp2: wrong table entry")
    run = build_defect(quick_simulator(), defect, default, workshop, tmp_path)
    lines = assert_fails(run(default, "+stop"))
    assert len([line for line in lines if line.startswith("  exp2.expected case ")]) == 1
    differ = "1 of 2560 words differ, in 1 of 2560 cases"
    assert verdict(lines) == f"FAIL exp2: {differ}; 2553 words not compared"


@pytest.mark.parametrize("what", ODD)
def test_testbench_an_odd_stream_fails(
    what: str, small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    output, message = ODD[what]
    rows = (small / "row_sum.expected.mem").read_bytes().count(b"\n")
    device = tmp_path / "odd_row_sum.sv"
    device.write_text(WRAPPER % output.replace("ROWS", str(rows)))
    rtl = [*reference_files(), device]
    run = workshop.build(quick_simulator(), small, "odd_row_sum", module="row_sum", rtl=rtl)
    lines = assert_fails(run(small, "+idle=200"))
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize(("forgotten", "top"), forgotten_by("testbench"), ids=str)
def test_testbench_a_register_that_reset_forgets_is_found(
    forgotten: Forgotten, top: str, small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    rtl = forgotten.planted(tmp_path)
    run = workshop.build(quick_simulator(), small, top, rtl=rtl)
    assert run(small, "+resets=0")[0] == 0
    lines = assert_fails(run(small))
    assert " differ after reset " in verdict(lines)
    assert lines[0].startswith("  after reset ")


@pytest.mark.long
def test_testbench_registers_start_with_random_bits_in_verilator(
    small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device that relies on a start with 0: the first row of all is wrong."""
    rtl = planted(tmp_path, "code_memory", ("low_flags <= '0;", ""), ("place <= '0;", ""))
    run = workshop.build("verilator", small, "code_memory", rtl=rtl)
    lines = assert_fails(run(small, "+verilator+rand+reset+2", "+verilator+seed+1"))
    assert "code_register.memory case 0 " in lines[0]


@pytest.mark.parametrize(("module", "old", "new", "message"), PORTS)
def test_testbench_a_port_of_another_width_fails_before_the_run(
    module: str, old: str, new: str, message: str, small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    rtl = planted(tmp_path, module, (old, new))
    lines = assert_fails(workshop.build(quick_simulator(), small, module, rtl=rtl)(small))
    assert any(message in line for line in lines), lines
    assert verdict(lines).startswith(f"FAIL {module}: 0 words compared, ")


@needs_icarus
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assign s_axis_tready = !m_axis_tvalid || m_axis_tready", "assign s_axis_tready = 1'bx"),
        ("m_axis_tvalid <= fire && s_axis_tlast", "m_axis_tvalid <= 1'bx"),
        ("m_axis_tvalid <= fire && s_axis_tlast", "m_axis_tvalid <= 1'bz"),
    ],
)
def test_testbench_an_unknown_handshake_ends_as_a_hang(
    old: str, new: str, small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    rtl = planted(tmp_path, "row_sum", (old, new))
    lines = assert_fails(workshop.build("icarus", small, "row_sum", rtl=rtl)(small))
    assert " is unknown, time " in lines[0]


def test_testbench_words_without_end_end_as_a_hang(
    small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    flood = ("m_axis_tvalid <= fire && s_axis_tlast", "m_axis_tvalid <= 1'b1")
    deaf = ("s_axis_tready = !m_axis_tvalid || m_axis_tready", "s_axis_tready = 1'b0")
    rtl = planted(tmp_path, "row_sum", flood, deaf)
    run = workshop.build(quick_simulator(), small, "row_sum", rtl=rtl)
    assert_fails(run(small, "+idle=200"))


def test_testbench_counts_the_words_and_cases_that_differ(
    small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    wrong = (
        "{tap_row_max, tap_row_sum, accumulators}",
        "~{tap_row_max, tap_row_sum, accumulators}",
    )
    rtl = planted(tmp_path, "attention_row", wrong)
    lines = assert_fails(workshop.build(quick_simulator(), small, "attention_row", rtl=rtl)(small))
    assert verdict(lines) == "FAIL attention_row: 283 of 1588 words differ, in 283 of 283 cases"


@needs_icarus
def test_testbench_unknown_bits_are_differences(
    small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    device = tmp_path / "exp2.sv"
    wide = "bitlog2_pkg::E_WIDTH"
    device.write_text(
        f"module exp2 (input mask, input [bitlog2_pkg::D_WIDTH-1:0] d, output [{wide}-1:0] e);\n"
        f"assign e = {{{wide}{{1'bx}}}};\nendmodule\n"
    )
    lines = assert_fails(workshop.build("icarus", small, "exp2", rtl=[device])(small))
    assert any("actual 0xXx" in line for line in lines), lines


@pytest.mark.parametrize("simulator", ["verilator", quick_simulator()])
@pytest.mark.parametrize("damage", ["missing", "short", "empty"])
def test_testbench_vectors_that_are_not_whole_fail(
    simulator: str, damage: str, small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    at = shutil.copytree(small, tmp_path / "set")
    words = at / "exp2.expected.mem"
    if damage == "missing":
        words.unlink()
    else:
        words.write_bytes(b"" if damage == "empty" else words.read_bytes()[:-4])
    lines = assert_fails(workshop.build(simulator, small, "exp2")(at))
    assert "words of the vector files are missing" in verdict(lines)


def test_testbench_runs_one_mutant_after_another(
    small: Path, workshop: Workshop, tmp_path: Path
) -> None:
    """A device whose input `mutsel` chooses a fault: 2 of them, and 0 and 3 choose none."""
    inner = next(path for path in reference_files() if path.name == "exp2.sv")
    device = tmp_path / "mutant.sv"
    device.write_text(
        "module mutant (input mask, input [bitlog2_pkg::D_WIDTH-1:0] d, input [31:0] mutsel,\n"
        "    output [bitlog2_pkg::E_WIDTH-1:0] e);\n"
        "  wire [bitlog2_pkg::E_WIDTH-1:0] right;\n"
        "  exp2 inner (.mask(mask && mutsel != 1), .d(d), .e(right));\n"
        "  assign e = right ^ (mutsel == 2 && d == 5);\nendmodule\n"
    )
    run = workshop.build(
        quick_simulator(), small, "mutant", module="exp2", rtl=[inner, device], macros=["MUTANTS"]
    )
    status, lines = run(small, "+mutant=0", "+mutants=4", "+stop")
    found = [line.split(",")[0] for line in lines if line.startswith("mutant")]
    assert (status, found) == (
        0,
        ["mutant 0: PASS", "mutant 1: FAIL", "mutant 2: FAIL", "mutant 3: PASS"],
    )
    assert_fails(run(small, "+mutant=2"))
