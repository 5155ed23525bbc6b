"""A user's RTL: its files, its ports held to the contract before anything is compiled."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.devices import NEVER_STALLED, ROW_SUM
from support.rtl import BUILT, FAST, ROW_MAX_16, with_row_max
from test_golden_helpers import SMALL

import bitlog2.golden
from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES, CosimOptions, Rtl, cosim, devices_within
from bitlog2.golden.cosim.design import Design
from bitlog2.golden.package.reading import open_set
from bitlog2.golden.simulation import FileList
from bitlog2.golden.testbench import reference_files
from bitlog2.scripts.cli import main
from bitlog2.sim import exp2_table

EXP2 = """\
module my_exp2 (
    input logic mask,
    input logic [bitlog2_pkg::D_WIDTH-1:0] d,
    output logic [bitlog2_pkg::E_WIDTH-1:0] e
);
  exp2 inner (.*);
endmodule
"""
#: A row sum as Chisel, Amaranth and lowRISC write it: old name -> new name.
STYLES: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "chisel": (
        {
            r"\bclk\b": "clock",
            r"!rst_n\b": "reset",
            r"\brst_n\b": "reset",
            r"([sm]_axis)_t(valid|ready)\b": r"io_\1_\2",
            r"([sm]_axis)_t(data|last)\b": r"io_\1_bits_\2",
        },
        [("clk", "clock"), ("rst_n", "~reset"), ("s_axis_t*", "io_s_axis_*"),
         ("s_axis_t*", "io_s_axis_bits_*"), ("m_axis_t*", "io_m_axis_*"),
         ("m_axis_t*", "io_m_axis_bits_*")],
    ),
    "lowrisc": (
        {
            r"\bclk\b": "clk_i",
            r"\brst_n\b": "rst_ni",
            r"\b(s_axis_t(valid|data|last)|m_axis_tready)\b": r"\1_i",
            r"\b(m_axis_t(valid|data)|s_axis_tready)\b": r"\1_o",
        },
        [("rst_n", "rst_ni"), ("*", "*_i"), ("*", "*_o")],
    ),
    "axi": (
        {r"\bclk\b": "ACLK", r"\brst_n\b": "ARESETN", r"([sm])_axis_t(\w+)": r"\1_AXIS_T\2"},
        [("clk", "ACLK"), ("rst_n", "ARESETN")],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ports") / "set"
    units = ["exp2", "row_sum", "attention_row"]
    emit(out, SMALL, head_dim=2, units=units, sources=("random",), random_cases=12)
    return out


def written(folder: Path, text: str) -> Path:
    path = folder / "my.sv"
    path.write_text(text)
    return path


def restyled(style: str) -> str:
    text = ROW_SUM
    for old, new in STYLES[style][0].items():
        text = re.sub(old, new, text)
    return text


def held(folder: Path, scratch: Path, unit: str, text: str, **given: object) -> Design:
    """Return the design of a module in the place of a unit; nothing is compiled."""
    top = re.search(r"module (my\w*)", text)
    assert top is not None
    files = [written(scratch, text), *reference_files()]
    return Design.of(folder, DEVICES[unit], Rtl(files, top[1], **given))  # type: ignore[arg-type]


def refused(folder: Path, scratch: Path, unit: str, text: str, **given: object) -> str:
    """Return the message."""
    with pytest.raises(ValueError, match=r".") as caught:
        held(folder, scratch, unit, text, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def row_max_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("row_max_ports") / "set"
    emit(out, with_row_max(SMALL), head_dim=2, units=["weight_sum"], sources=("corners",))
    return out


@pytest.mark.parametrize(("name", "scheme"), BUILT)
def test_ports_of_the_reference_are_those_of_the_contract(
    folder: Path, row_max_folder: Path, name: str, scheme: str
):
    vectors = row_max_folder if scheme == ROW_MAX_16 else folder
    device = devices_within(open_set(vectors).config)[name]
    wrapper = Design.of(vectors, device, None).wrapper
    assert wrapper.clocked != device.contract.plain
    assert len(wrapper.lanes) == (len(device.contract.channels) if wrapper.clocked else 0)


ROW = next(path for path in reference_files() if path.stem == "attention_row").read_text()
MASK = "input logic mask,"


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.replace("module attention_row", "module my_row")


def with_ports(*ports: str) -> str:
    return changed(EXP2, (MASK, f"{MASK} {', '.join(ports)},"))


ENABLED = with_ports("input logic [3:0] en")
CLOCKED = with_ports("input logic clk", "input logic rst")
NO_READY = changed(
    ROW_SUM,
    ("    output logic s_axis_tready,\n", ""),
    ("  assign s_axis_tready", "  wire s_axis_tready;\n  assign s_axis_tready"),
)
INSIDE = ("  exp2 inner (.*);", "  logic mask;\n  assign e = 0;")
WIDE = ("LANES*HEAD_DIM*V_WIDTH-1:0] s_axis_v", "2*LANES*HEAD_DIM*V_WIDTH-1:0] s_axis_v")
#: Unit, a module in its place, what is declared of it, and the end of the refusal.
MISFITS: dict[str, tuple[str, str, dict[str, object], str]] = {
    "a signal inside is no port": (
        "exp2", changed(EXP2, (MASK, "input logic mask_i,"), INSIDE), {},
        "my_exp2, held to exp2, must have mask (input, 1 bit); "
        "must have a tie for mask_i (input, 1 bit)",
    ),
    "direction": (
        "exp2", changed(EXP2, (MASK, "output logic mask,")), {},
        "mask (input, 1 bit) and not mask (output, 1 bit)",
    ),
    "an input more": (
        "exp2", ENABLED, {}, "my_exp2, held to exp2, must have a tie for en (input, 4 bits)",
    ),
    "a tie too large": (
        "exp2", ENABLED, {"ties": {"en": "16"}},
        "ties must fit inputs, got en=16 for en (input, 4 bits)",
    ),
    "a tie of no input": (
        "exp2", ENABLED, {"ties": {"enable": "1"}},
        "ties must be inputs that the contract has not (en), got enable",
    ),
    "a clock without a stream": (
        "exp2", CLOCKED, {}, "exp2, must have a tie for clk (input, 1 bit), rst (input, 1 bit)",
    ),
    "no vector of bits": (
        "exp2", with_ports("inout wire pad", "input logic u[2]"), {},
        "must not have pad (inout, 1 bit), u (input, no vector of bits)",
    ),
    "no tready": (
        "row_sum", NO_READY, {},
        "my_sum, held to row_sum, must have s_axis_tready (output, 1 bit) "
        "or no back-pressure declared",
    ),
    "values twice as wide": (
        "attention_row", changed(ROW, WIDE), {},
        "s_axis_v_tdata (input, 32 bits) (4 x (v 8), by s_axis_v_tkeep) "
        "and not s_axis_v_tdata (input, 64 bits)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISFITS)
def test_ports_that_do_not_fit_are_named(folder: Path, tmp_path: Path, what: str):
    unit, text, given, message = MISFITS[what]
    assert refused(folder, tmp_path, unit, text, **given).endswith(message)


def test_ports_that_are_missing_are_named_in_one_message(folder: Path, tmp_path: Path):
    message = refused(folder, tmp_path, "row_sum", "module my (input clk);\nendmodule\n")
    for name in ("rst_n", "s_axis_tvalid", "s_axis_tlast", "s_axis_tready", "m_axis_tready"):
        assert f", {name} (" in message.replace("have ", ", ")
    assert "m_axis_tdata (output, 9 bits) (s 9)" in message
    assert message.startswith("my, held to row_sum, must have rst_n (input, 1 bit), ")


def test_ports_of_inputs_are_tied(folder: Path, tmp_path: Path):
    """Also those of a clock that a device does not use."""
    wrapper = held(folder, tmp_path, "exp2", ENABLED, ties={"en": "4'b1010"}).wrapper
    assert ".en(4'ha)" in wrapper.text
    ties = {"clk": "0", "rst": "0"}
    assert not held(folder, tmp_path, "exp2", CLOCKED, ties=ties).wrapper.clocked


def test_ports_of_extra_outputs_are_left_open(folder: Path, tmp_path: Path):
    text = EXP2.replace("input logic mask,", "input logic mask, output logic busy,")
    assert ".busy()" in held(folder, tmp_path, "exp2", text).wrapper.text


def test_ports_without_tready_are_those_of_a_device_without_back_pressure(
    folder: Path, tmp_path: Path
):
    wrapper = held(folder, tmp_path, "row_sum", NO_READY, back_pressure=False).wrapper
    assert "assign s_axis_tready = 1'b1;" in wrapper.text
    assert ".m_axis_tready(1'b1)" in wrapper.text


def test_ports_of_a_tap_are_all_there_or_none(folder: Path, tmp_path: Path):
    message = refused(
        folder, tmp_path, "attention_row", changed(ROW, ("tap_rows_tvalid", "tap_rows_valid"))
    )
    assert "must have tap_rows_tvalid (output, 1 bit)" in message


def test_ports_of_another_number_of_lanes_are_read_from_the_parameter(folder: Path, tmp_path: Path):
    files = [written(tmp_path, changed(ROW)), *reference_files()]
    rtl = Rtl(files, "my_row", parameters={"LANES": "3"})
    assert Design.of(folder, DEVICES["attention_row"], rtl).wrapper.lanes["s_axis_v"] == 3


def test_ports_show_what_slang_says_of_a_width_that_cannot_be_read(folder: Path, tmp_path: Path):
    message = refused(folder, tmp_path, "exp2", EXP2.replace("D_WIDTH", "NOT_THERE"))
    assert "must have d (input, 9 bits) and not d (input, no vector of bits)" in message
    assert "my.sv:3:" in message
    assert "NOT_THERE" in message


@pytest.mark.parametrize("style", STYLES)
def test_ports_are_mapped_by_name_and_pattern(folder: Path, tmp_path: Path, style: str):
    wrapper = held(folder, tmp_path, "row_sum", restyled(style), ports=STYLES[style][1]).wrapper
    assert f"({'~' if style == 'chisel' else ''}rst_n)" in wrapper.text
    assert wrapper.text.count("      .") == 9


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ([("clk", "aclk")], r"must have clk \(input, 1 bit\) named aclk"),
        ([("klc", "clk")], "ports must name ports of the contract and of the module, got klc=clk"),
        ([("s_axis_*", "in")], r"ports must be NAME=PORT or with a \* in both, got s_axis_\*=in"),
        ([("clk", "~clk")], "ports must be inverted .* at rst_n alone, got clk=~clk"),
        ([("rst_n", "clk")], "ports must be joined once, got clk for rst_n too"),
    ],
    ids=range(5),
)
def test_ports_refuse_a_map_that_does_not_fit(
    folder: Path, tmp_path: Path, ports: list[tuple[str, str]], message: str
):
    with pytest.raises(ValueError, match=message):
        held(folder, tmp_path, "row_sum", ROW_SUM, ports=ports)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sources": []}, "rtl must name at least one file"),
        ({"sources": ["nowhere.sv"]}, r"rtl must be files, got .*nowhere\.sv"),
        ({"sources": [__file__]}, r"rtl must end with one of \.sv"),
        ({"sources": [reference_files()[0]] * 2}, "rtl must name each file once, got .* twice"),
        ({"includes": [__file__]}, "includes must be folders, got "),
        ({"top": "my top"}, "top must be a name, got 'my top'"),
        (
            {"parameters": {"MODE": "fast"}},
            "values of parameters must be numbers, or text in quotes, got 'fast'",
        ),
        ({"parameters": {"P;": "1"}}, "parameters must be named by letters"),
        ({"defines": {"": "1"}}, "defines must be named by letters"),
        ({"ties": {"en": "x"}}, "values of ties must be numbers such as 1 or 4'hf, got 'x'"),
    ],
    ids=range(10),
)
def test_rtl_refuses(given: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Rtl(**{"sources": reference_files(), **given})  # type: ignore[arg-type]


def test_rtl_without_the_module_or_the_parameter_names_those_that_are_there(
    folder: Path, tmp_path: Path
):
    exp2 = DEVICES["exp2"]
    with pytest.raises(ValueError, match=r"top must be a module of the files \(my_exp2\), got e"):
        Design.of(folder, exp2, Rtl([written(tmp_path, EXP2)], "e"))
    message = r"parameters must be those of exp2 \(D_WIDTH, E_WIDTH, FRACTION_BITS, TABLE\), got P"
    with pytest.raises(ValueError, match=message):
        Design.of(folder, exp2, Rtl(reference_files(), parameters={"P": "1"}))


def test_file_list_is_read_as_simulators_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "ip").mkdir()
    (tmp_path / "ip" / "ip.f").write_text("core.sv\n+incdir+inc\n-f other.f // from here\n")
    (tmp_path / "ip" / "other.f").write_text("top.sv")
    (tmp_path / "my.f").write_text(
        "# files\n$IP//a.sv /* not\nthis.sv */\n-F ip/ip.f\n+define+A=1+B\n-DC=x -D D\n"
        "+incdir+h1+h2 -I h3\n-v 'lib cells.v'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IP", "ip")
    found = FileList()
    found.read("my.f")
    assert [str(each) for each in found.sources] == [
        "ip/a.sv",
        "ip/core.sv",
        "top.sv",
        "lib cells.v",
    ]
    assert [str(each) for each in found.includes] == ["ip/inc", "h1", "h2", "h3"]
    assert found.defines == {"A": "1", "B": "1", "C": "x", "D": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-y lib", r"my\.f: a file list must hold files, .*, got -y"),
        ("-f my.f", r"my\.f: a file list must not name itself"),
        ("-I", r"my\.f: -I must be followed by a value"),
        ("$NOT_SET/a.sv", r"my\.f: \$NOT_SET must be set in the environment"),
        ("'a.sv", r"my\.f must be a file list: No closing quotation"),
    ],
    ids=range(5),
)
def test_file_list_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOT_SET", raising=False)
    Path("my.f").write_text(text)
    with pytest.raises(ValueError, match=message):
        FileList().read("my.f")


#: A Chisel-like row sum with a delay, a header, a macro, a parameter, and an input to be tied.
CONFIGURED = (
    restyled("chisel")
    .replace("my_sum (", "my_sum #(parameter ADD = 1) (input en,")
    .replace("module", '`include "width.svh"\nmodule', 1)
    .replace("[bitlog2_pkg::E_WIDTH-1:0]", "[`WIDTH-1:0]")
    .replace("<= sum + io_s_axis_bits_data;", "<= #1 sum + io_s_axis_bits_data + ADD + `MORE;")
    .replace("io_m_axis_valid <= 1;", "io_m_axis_valid <= #1 en;")
)


def test_cosim_cli_compiles_a_file_list_with_macros_headers_parameters_ties_and_other_names(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    written(tmp_path, CONFIGURED)
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "width.svh").write_text("`define WIDTH bitlog2_pkg::E_WIDTH\n")
    (tmp_path / "my.f").write_text("+incdir+inc\nmy.sv\n")
    clock, reset, *rules = STYLES["chisel"][1]
    (tmp_path / "my.ports").write_text("\n".join(f"{a}={b}  # renamed" for a, b in rules))
    words = [folder, "--unit", "row_sum", "-F", tmp_path / "my.f", "--top", "my_sum", "--sim", FAST]
    words += ["--stall", 0, "--define", "MORE=0", "--tie", "en=1", "--ports", tmp_path / "my.ports"]
    words += ["--clock", clock[1], "--reset", f"{reset[1][1:]}:high"]
    assert main(["golden", "cosim", *map(str, words), "--param", "ADD=0"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "agrees"


def test_cosim_waits_for_the_delays_of_a_device_without_a_clock(folder: Path, tmp_path: Path):
    text = EXP2.replace(
        "exp2 inner (.*);", "wire [bitlog2_pkg::E_WIDTH-1:0] x;\n  assign #1 e = x;"
    )
    text = text.replace("assign #1", "exp2 inner (.e(x), .*);\n  assign #1")
    rtl = Rtl([written(tmp_path, text), *reference_files()], "my_exp2")
    assert cosim(folder, "exp2", CosimOptions(simulator=FAST), rtl=rtl).ok


def test_cosim_stalls_no_output_of_a_device_without_back_pressure(folder: Path, tmp_path: Path):
    rtl = Rtl([written(tmp_path, NEVER_STALLED)], "my_sum", back_pressure=False)
    run = cosim(folder, "row_sum", CosimOptions(simulator=FAST), rtl=rtl).units[0]
    assert run.ok, "\n".join(run.lines())
    assert [each.name for each in run.profiles] == ["none", "source", "reset"]
    assert "no back-pressure" in run.lines()[0]


VHDL = """\
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
entity My_Exp2 is
  port (Mask : in std_logic; D : in unsigned(8 downto 0); E : out unsigned(6 downto 0));
end entity;
architecture rtl of My_Exp2 is
  type entries is array (0 to 31) of natural;
  constant TABLE : entries := (@TABLE@);
begin
  process (all)
    variable shifted : unsigned(7 downto 0);
  begin
    shifted := to_unsigned(TABLE(to_integer(D(4 downto 0))), 7) & '0';
    shifted := shift_right(shifted, to_integer(D(8 downto 5)));
    if Mask = '1' then
      E <= (others => '0');
    elsif shifted(0) = '1' then
      E <= shifted(7 downto 1) + 1;
    else
      E <= shifted(7 downto 1);
    end if;
  end process;
end architecture;
"""


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not found")
def test_cosim_plays_vhdl_by_the_command_of_the_page(folder: Path, tmp_path: Path):
    table = ", ".join(map(str, exp2_table(SMALL.fraction_bits, SMALL.table_bits)))
    (tmp_path / "my_exp2.vhd").write_text(VHDL.replace("@TABLE@", table))
    page = (Path(bitlog2.golden.__file__).parent / "README.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("ghdl --synth"))
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    rtl = Rtl([tmp_path / "my_exp2.v"], "My_Exp2")
    result = cosim(folder, "exp2", CosimOptions(simulator=FAST), rtl=rtl)
    assert result.ok, "\n".join(result.lines())
