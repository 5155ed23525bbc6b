"""A user's device in the place of the reference: proved, and mutated under its unit's vectors."""

from pathlib import Path

import pytest
from support.command import call
from support.rtl import rtl_files

from bitlog2.golden import emit
from bitlog2.golden.assurance.mutation import mutate_device
from bitlog2.golden.assurance.mutation.catalogue import sampled
from bitlog2.golden.assurance.mutation.device import _boundary
from bitlog2.golden.assurance.proof import CLAIMS, decide, device_setting
from bitlog2.golden.assurance.yosys import sources_of
from bitlog2.golden.simulation import Rtl
from bitlog2.golden.simulation.contract import CONTRACTS
from bitlog2.sim import AttentionConfig

#: `exp2` with ports of other names, which has its rounding in a module of its own.
MY_EXP2 = """\
module my_exp2 #(
  parameter integer W = bitlog2_pkg::E_WIDTH, parameter integer F = bitlog2_pkg::FRACTION_BITS
) (
  input logic i_mask, input logic [bitlog2_pkg::D_WIDTH-1:0] i_d, output logic [W-1:0] o_e
);
  wire [F-1:0] fraction = i_d[F-1:0];
  wire [bitlog2_pkg::D_WIDTH-F-1:0] shift = i_d[bitlog2_pkg::D_WIDTH-1:F];
  wire [(W<<F)-1:0] entries = bitlog2_pkg::EXP2_TABLE;
  wire [W-1:0] entry = entries[fraction*W+:W];
  wire [W:0] shifted = {entry, 1'b0} >> shift;
  wire [W-1:0] rounded;
  my_round #(W) round (.x(shifted), .y(rounded));
  assign o_e = i_mask ? '0 : rounded;
endmodule
module my_round #(parameter integer W = 1) (input logic [W:0] x, output logic [W-1:0] y);
  assign y = x[W:1] + W'(x[0]);
endmodule
"""
PORTS = [("mask", "i_mask"), ("d", "i_d"), ("e", "o_e")]
#: `row_sum` with a reset that does not wait for the clock, and an adder of its own.
MY_SUM = """\
module my_sum #(
  parameter integer W = bitlog2_pkg::E_WIDTH, parameter integer S = bitlog2_pkg::S_WIDTH
) (
  input logic clk, input logic rst_n,
  input logic s_axis_tvalid, output logic s_axis_tready, input logic s_axis_tlast,
  input logic [W-1:0] s_axis_tdata,
  output logic m_axis_tvalid, input logic m_axis_tready, output logic [S-1:0] m_axis_tdata
);
  logic [S-1:0] sum;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  always_ff @(posedge clk or negedge rst_n)
    if (!rst_n) begin
      m_axis_tvalid <= 1'b0;
      m_axis_tdata <= '0;
      sum <= '0;
    end else if (s_axis_tready) begin
      m_axis_tvalid <= s_axis_tvalid && s_axis_tlast;
      if (s_axis_tvalid) begin
        m_axis_tdata <= sum + s_axis_tdata;
        sum <= s_axis_tlast ? '0 : sum + s_axis_tdata;
      end
    end
endmodule
"""
#: The ports of `exp2` as a device with a clock has them.
PIPED = """\
module piped(
  input clk, input rst_n, input s_axis_tvalid, output s_axis_tready, input [10:0] s_axis_tdata,
  output m_axis_tvalid, input m_axis_tready, output [16:0] m_axis_tdata
);
endmodule
"""


def own(folder: Path, text: str = MY_EXP2, top: str = "my_exp2") -> Rtl:
    file = folder / f"{top}.sv"
    file.write_text(text)
    return Rtl([file], top, ports=PORTS if top == "my_exp2" else ())


def proved(unit: str, rtl: Rtl, config: AttentionConfig | None = None) -> str:
    setting = device_setting(unit, rtl, config)
    (claim,) = [each for each in CLAIMS if each.name == f"rtl_{unit}"]
    line = decide(claim, setting, 300)
    return f"{line.result} {line.detail}"


def test_own_device_is_proved_and_a_planted_error_in_it_refuted(tmp_path: Path):
    assert proved("exp2", own(tmp_path)) == "proved "
    broken = own(tmp_path, MY_EXP2.replace(" + W'(x[0])", ""))
    assert proved("exp2", broken).startswith("REFUTED e: mask = 0 (0x0), d = ")


@pytest.mark.long
@pytest.mark.parametrize("unit", [name for name, each in CONTRACTS.items() if each.plain])
def test_own_device_of_every_unit_without_a_clock_is_proved(unit: str):
    files = [path for path in rtl_files() if path.stem != "checks"]
    config = AttentionConfig("RowMax_16") if unit == "distance_quantizer" else None
    assert proved(unit, Rtl(files, unit), config) == "proved "


def test_own_device_with_a_clock_or_state_has_no_proof(tmp_path: Path):
    with pytest.raises(ValueError, match="takes devices without a clock, got piped with one"):
        device_setting("exp2", own(tmp_path, PIPED, "piped"))
    kept = MY_EXP2.replace("assign o_e =", "always_ff @(posedge i_mask) o_e <=")
    with pytest.raises(ValueError, match="takes devices without state, got my_exp2 with o_e"):
        device_setting("exp2", own(tmp_path, kept))


def test_own_device_of_another_unit_has_no_proof(tmp_path: Path):
    with pytest.raises(ValueError, match=r"unit must be one of score_requantizer, exp2, .*row_sum"):
        device_setting("row_sum", own(tmp_path, MY_SUM, "my_sum"))


def test_own_device_files_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "more").mkdir()
    files = [tmp_path / "my.v", tmp_path / "more" / "my.v"]
    for file in files:
        file.write_text("")
    with pytest.raises(ValueError, match=r"different names for Yosys, got my\.v twice"):
        sources_of(Rtl(files))
    (tmp_path / "my.vlt").write_text("")
    with pytest.raises(ValueError, match=r"must be Verilog for Yosys, got .*my\.vlt"):
        sources_of(Rtl([tmp_path / "my.vlt"]))


def test_own_device_keeps_what_is_declared_of_valid_words_alone():
    (plain,) = _boundary("exp2", AttentionConfig()).assumes
    (stream,) = _boundary("row_sum", AttentionConfig()).assumes
    assert "tvalid" not in plain
    assert stream.startswith("!s_axis_tvalid || (")


def test_own_device_is_mutated_with_all_that_is_inside(tmp_path: Path):
    package = b"package bitlog2_pkg; endpackage\n"
    files = {
        "bitlog2_pkg.sv": package,
        "top.sv": b"module top(input [3:0] a, output [3:0] y); part p(a, y); endmodule\n",
        "part.sv": b"module part(input [3:0] x, output [3:0] y); assign y = x + 4'd5; endmodule\n",
        "around.sv": b"module around(input [3:0] a, output [3:0] y); top t(~a, y); endmodule\n",
    }
    made = sampled(tmp_path, files, "around", "top", 200, 0, whole=True)
    assert all("part.sv:1" in each.source for each in made.mutants)
    assert {each.module for each in made.mutants} == {"top"}


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("proof", ("--unit", "exp2"), "--unit must be left out without --rtl and -f"),
        ("proof", ("--config", "RowMax_16"), "--config must be left out without --rtl and -f"),
        ("proof", ("--rtl", "my.sv"), "--unit must be given with --rtl"),
        ("proof", ("--rtl", "my.sv", "--claim", "x"), "--claim must be left out with --rtl"),
        ("proof", ("--rtl", "my.sv", "--unit", "row_sum"), "--unit must be one of score_requant"),
        ("mutation", ("--lanes", "2"), "--lanes must be left out without --rtl and -f"),
        ("mutation", ("--rtl", "my.sv"), "--unit must be given with --rtl"),
        ("mutation", ("--rtl", "my.sv", "--keep"), "--keep must be left out with --rtl"),
        ("mutation", ("--rtl", "my.sv", "--module", "exp2"), "--module must be left out with"),
        ("mutation", ("--rtl", "my.sv", "--processes", "1"), "--processes must be left out with"),
    ],
)
def test_own_device_refuses_options(
    command: str, words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch
):
    (tmp_path / "my.sv").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call("golden", command, *words)


@pytest.mark.long
def test_own_device_mutants_are_caught_by_its_vectors_and_left_open_by_few(tmp_path: Path):
    own(tmp_path)
    words = ["golden", "mutation", "--unit", "exp2", "--rtl", tmp_path / "my_exp2.sv"]
    words += ["--top", "my_exp2", "--port", "mask=i_mask", "--port", "d=i_d", "--port", "e=o_e"]
    report = tmp_path / "found.json"
    assert call(*words, "--most", 40, "--json", report) == 0
    emit(tmp_path / "few", units=["exp2"], sources=("random",), random_cases=1)
    found = mutate_device(tmp_path / "few", "exp2", own(tmp_path), most=40)
    assert (found.status, found.modules[0].module) == (1, "my_exp2")
    gaps = [each for each in found.modules[0].survivors if each.verdict == "gap"]
    assert len(gaps) > 2
    assert all(set(each.counterexample) == {"mask", "d"} for each in gaps)
    assert f"my_exp2: {gaps[0].line()}" in found.lines()


@pytest.mark.long
def test_own_device_with_registers_is_mutated(tmp_path: Path):
    emit(tmp_path / "set", units=["row_sum"])
    found = mutate_device(tmp_path / "set", "row_sum", own(tmp_path, MY_SUM, "my_sum"), most=60)
    (tested,) = found.modules
    assert tested.caught + tested.equivalent > 55, found.lines()
    assert not any(each.startswith("no proof") for each in tested.states), tested.states


@pytest.mark.long
def test_own_device_whose_memory_no_proof_takes_leaves_survivors_open(tmp_path: Path):
    """Two e of ones one after another, which never come, would stop the device."""
    memory = (
        "  logic [W-1:0] seen[0:3];\n  logic [1:0] at;\n"
        "  always_ff @(posedge clk) begin\n    at <= at + 2'd1;\n"
        "    if (s_axis_tvalid) seen[at] <= s_axis_tdata;\n  end\n"
    )
    text = MY_SUM.replace("endmodule", f"{memory}endmodule").replace(
        "|| m_axis_tready;", "|| (m_axis_tready && !(&seen[at] && &seen[at + 2'd1]));"
    )
    emit(tmp_path / "few", units=["row_sum"], sources=("random",), random_cases=2)
    found = mutate_device(tmp_path / "few", "row_sum", own(tmp_path, text, "my_sum"), most=60)
    assert found.status == 1
    assert any(
        each.startswith("no proof, as memory dut_seen must") for each in found.modules[0].states
    )


@pytest.mark.long
def test_own_device_that_fails_as_it_is_has_no_mutants(tmp_path: Path):
    emit(tmp_path / "set", units=["exp2"])
    with pytest.raises(ValueError, match="must pass on the original"):
        mutate_device(tmp_path / "set", "exp2", own(tmp_path, MY_EXP2.replace("'0 :", "'1 :")))
