"""Placed modules: the harness, what Yosys and nextpnr report of it, rates, refusals."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_fields
from support.command import call
from support.quick import quick_where
from support.rtl import rtl_files, write_package

from bitlog2.documents import parse, render
from bitlog2.golden.assurance.cost import DEVICES, PLACED_TABLE, PlaceTable, measure_place
from bitlog2.golden.assurance.cost import place as place_module
from bitlog2.golden.assurance.cost.fpga import (
    Cells,
    Report,
    count_placed,
    first_error,
    harness,
    read_report,
    synthesized,
)
from bitlog2.golden.assurance.modules import MODULES, modules_within
from bitlog2.golden.simulation import Elaborated, ModulePort, ToolError, tools, yosys
from bitlog2.scripts.cli import main
from bitlog2.sim import AttentionConfig

HALF_17, ROW_MAX_16 = "BitLog2_Half_17", "RowMax_16"
REPORT = Path(__file__).parent / "data" / "nextpnr_report.json"
FAMILIES = tuple(DEVICES)
PORTS = (
    ModulePort("clk", "input", 1),
    ModulePort("a", "input", 3),
    ModulePort("b", "input", 1),
    ModulePort("y", "output", 2),
    ModulePort("tap_t", "output", 9),
)
PARITY = """
module parity(input logic clk, input logic [2:0] a, input logic b, output logic [1:0] y,
              output logic [8:0] tap_t);
  logic kept;
  always_ff @(posedge clk) kept <= a[0] & b;
  assign y = {^{a, b}, kept};
  assign tap_t = {a, a, a};
endmodule
"""


def module_of(*ports: ModulePort) -> Elaborated:
    return Elaborated(ports, (), {}, {}, "")


def cells(**counts: int) -> Cells:
    return Cells(**(dict.fromkeys(Cells.__struct_fields__, 0) | counts))


needs_nextpnr = pytest.mark.skipif(
    any(find_spec(f"yowasp_nextpnr_{family}") is None for family in FAMILIES),
    reason="nextpnr is not installed",
)


def test_place_harness_connects_inputs_and_outputs_and_leaves_taps_open():
    text = harness("parity", {"LANES": 4}, module_of(*PORTS))
    assert "parity #(.LANES(4)) dut" in text
    for port in (".clk(clk)", ".a(given[0 +: 3])", ".b(given[3 +: 1])", ".y(made[0 +: 2])"):
        assert port in text
    assert ".tap_t()" in text
    assert "(* keep *) reg [3:0] given;" in text
    assert "(* keep *) reg [1:0] taken, folded;" in text


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ((ModulePort("a", "inout", 1),), r"ports of x must be inputs and outputs .* got a \(inout"),
        ((ModulePort("a", "input", 0),), r"must be inputs and outputs of bits, got a \(input, no"),
        (PORTS[:3], "x must have inputs and outputs, got 4 and 0 bits"),
    ],
)
def test_place_harness_refuses_ports_that_it_cannot_connect(ports, message):
    with pytest.raises(ValueError, match=message):
        harness("x", {}, module_of(*ports))


@pytest.mark.parametrize("family", FAMILIES)
def test_place_cells_of_the_harness_are_told_from_those_of_the_module(family: str, tmp_path: Path):
    text = harness("parity", {}, module_of(*PORTS))
    files = {"parity.sv": PARITY.encode(), "harness.sv": text.encode()}
    inner, around = synthesized(tmp_path, files, family, timeout=300)
    assert (inner.luts, inner.flip_flops) == (2, 1)
    assert (around.luts, around.flip_flops) == (2, 4 + 2 + 2)


def netlist(**changes: Any) -> dict[str, Any]:
    """Return a mapped harness of one bit around a wire, with more cells."""
    flip_flop = {"C": [2]}
    found = {
        "given": {"type": "SB_DFF", "connections": flip_flop | {"D": [3], "Q": [4]}},
        "taken": {"type": "SB_DFF", "connections": flip_flop | {"D": [4], "Q": [5]}},
        "folded": {"type": "SB_DFF", "connections": flip_flop | {"D": [6], "Q": [7]}},
        "xor": {"type": "SB_LUT4", "connections": {"I0": [5], "I1": [4], "O": [6]}},
    }
    names = {name: {"bits": [bit]} for name, bit in (("given", 4), ("taken", 5), ("folded", 7))}
    return {"modules": {"harness": {"cells": found | changes, "netnames": names}}}


def test_place_cells_are_counted_by_kind():
    lut = {"type": "LUT4", "connections": {"A": [5], "Z": [9]}}
    carry = {"type": "CCU2C", "connections": {}}
    memory = {"type": "TRELLIS_DPR16X4", "connections": {}}
    inner, around = count_placed(netlist(lut=lut, carry=carry, memory=memory))
    assert inner == cells(luts=1, carries=2, lut_ram=1)
    assert around == cells(luts=1, flip_flops=3)


def test_place_refuses_a_cell_of_no_known_kind():
    with pytest.raises(ValueError, match=r"cells of the device alone, got a cell \$add"):
        count_placed(netlist(sum={"type": "$add", "connections": {}}))


def test_place_refuses_a_netlist_without_its_harness():
    found = netlist()
    found["modules"]["harness"]["netnames"] = {}
    with pytest.raises(ValueError, match="must have the registers given, taken, folded, got none"):
        count_placed(found)


def test_place_reads_a_report_of_nextpnr():
    found = read_report(REPORT.read_bytes(), DEVICES["ice40"].cells)
    assert found.mhz == 400.16
    assert found.path == "s to b"
    assert found.used == {"ICESTORM_LC": 13, "ICESTORM_RAM": 0}
    assert found.percent == pytest.approx(100 * 13 / 7680)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fmax": None}, "report of nextpnr must have "),
        ({"utilization": {}}, "report of nextpnr must have 'ICESTORM_LC'"),
        (
            {"critical_paths": []},
            "report of nextpnr must be of one clock, got 1 clocks and 0 paths",
        ),
        ({"fmax": {}}, "report of nextpnr must be of one clock, got 0 clocks and 1 paths"),
    ],
)
def test_place_refuses_another_report(change: dict[str, Any], message: str):
    report = json.loads(REPORT.read_text(encoding="utf-8")) | change
    with pytest.raises(ValueError, match=message):
        read_report(json.dumps(report).encode(), DEVICES["ice40"].cells)


def test_place_reason_is_the_first_line_that_says_error():
    assert first_error("a\nERROR: no BELs left\nb") == "ERROR: no BELs left"
    assert first_error("a\nb\n") == "b"
    assert first_error("") == "nothing printed"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules placed without Yosys and nextpnr; the list is of what was placed."""
    seen: list[str] = []

    def synthesize(folder: Path, files: dict[str, bytes], family: str, *, timeout: float):
        text = files["harness.sv"].decode()
        module = re.findall(r"  (\w+) #", text)[0]
        seen.append(f"{module} {family}")
        return cells(luts=100, flip_flops=7), cells(luts=4, flip_flops=9)

    def place(folder: Path, family: str, *, seed: int, timeout: float) -> Report:
        if seen[-1].startswith("row_multiplier"):
            raise ToolError("nextpnr failed with status 1:\nERROR: no BELs left\n")
        return Report(mhz=50.0, path="a to b", used={"CELLS": 25}, available={"CELLS": 100})

    monkeypatch.setattr(place_module, "synthesized", synthesize)
    monkeypatch.setattr(place_module, "placed", place)
    monkeypatch.setattr(place_module, "nextpnr_version", lambda family: "0.11")
    monkeypatch.setattr(place_module, "yosys_version", lambda: "0.70")
    return seen


def test_place_rates_follow_from_clock_and_cycles(built: list[str]):
    (row,) = measure_place(("attention_row",), (HALF_17,), (4,), ("ecp5",)).placed
    rate = row.rate
    assert (row.lanes, row.head_dim) == (4, 64)
    assert rate is not None
    assert rate.rows == round(50e6 / rate.cycles)
    for name, heads in (("DeiT-T", 3), ("DeiT-S", 6), ("DeiT-B", 12)):
        assert rate.images[name] == pytest.approx(50e6 / rate.cycles / (12 * heads * 197))


@pytest.mark.parametrize("module", ["softmax_row", "attention_row"])
def test_place_rows_without_outputs_of_a_head_of_deit_have_no_images(module: str, built: list[str]):
    (row,) = measure_place((module,), (ROW_MAX_16,), (1,), ("ecp5",), head_dim=8).placed
    assert row.rate is not None
    assert row.rate.images == {}


def test_place_builds_what_two_schemes_share_once(built: list[str]):
    table = measure_place(("distance", "exp2"), (HALF_17, "BitLog2_Half_16"), (), ("ice40",))
    assert built == ["distance ice40", "exp2 ice40"]
    assert [each.scheme for each in table.placed] == [HALF_17, HALF_17, *["BitLog2_Half_16"] * 2]


def test_place_leaves_rows_to_the_device_with_memories_in_luts(built: list[str]):
    measure_place((), (ROW_MAX_16,), (1, 2))
    rows = [each for each in built if "_row " in each]
    assert rows == ["softmax_row ecp5", "attention_row ecp5"] * 2
    units = {each.split()[0] for each in built} - {"softmax_row", "attention_row"}
    assert "log2_quantizer_divide" not in units
    assert units >= {"distance_quantizer", "row_multiplier", "leading_one"} & set(
        modules_within(AttentionConfig(ROW_MAX_16))
    )


def test_place_module_that_fails_is_named_with_status_1(built: list[str], capsys):
    assert run("--module", "row_multiplier", "--target", "ice40", "--scheme", ROW_MAX_16) == 1
    seen = capsys.readouterr()
    assert "not placed: row_multiplier RowMax_16 ice40: ERROR: no BELs left" in seen.out
    assert "row_multiplier, RowMax_16, ice40: synthesis\n" in seen.err


def test_place_that_takes_too_long_is_named(built: list[str], monkeypatch: pytest.MonkeyPatch):
    def late(*_: Any, timeout: float, **__: Any) -> None:
        raise place_module.TimeoutExpired("yosys", timeout)

    monkeypatch.setattr(place_module, "synthesized", late)
    (failed,) = measure_place(("exp2",), (HALF_17,), (), ("ice40",), timeout=7).failed
    assert failed.reason == "synthesis took more than 7 seconds"


def run(*arguments: str) -> int:
    return call("golden", "cost", "--place", *arguments)


def refused(*arguments: str) -> int:
    return main(["golden", "cost", *arguments])


def test_place_command_prints_writes_and_keeps(built, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "place.json"
    monkeypatch.setattr("bitlog2.golden.assurance.cost.PLACED_TABLE", kept)
    words = ("--scheme", HALF_17, "--target", "ice40", "--keep")
    assert run("--module", "exp2", *words, "--json", str(tmp_path / "one.json")) == 0
    assert run("--module", "distance", *words, "--markdown") == 0
    assert "| distance | Half_17 |" in capsys.readouterr().out
    table = parse(kept.read_bytes(), PlaceTable, "table")
    assert [each.module for each in table.placed] == ["distance", "exp2"]
    one = parse((tmp_path / "one.json").read_bytes(), PlaceTable, "table")
    assert [each.module for each in one.placed] == ["exp2"]


def test_place_table_takes_nothing_over_from_another_version(built: list[str]):
    old, new = (measure_place((m,), (HALF_17,), (), ("ice40",)) for m in ("exp2", "distance"))
    assert len(new.joined(old).placed) == 2
    assert new.joined(with_fields(old, seed=2)) == new
    assert new.joined(with_fields(old, yosys="0.71")) == new
    assert new.joined(with_fields(old, nextpnr={"ice40": "0.12"})) == new


def test_place_kept_table_is_a_table_of_modules_that_there_are():
    table = parse(PLACED_TABLE.read_bytes(), PlaceTable, PLACED_TABLE.name)
    assert render(table) == PLACED_TABLE.read_bytes()
    assert {each.module for each in table.placed} <= set(MODULES)
    assert table.failed == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--choice", "exp2"), "--choice must be left out with --place"),
        (("--target", "generic"), "target must be one of ice40, ecp5, got 'generic'"),
        (("--module", "x"), "module"),
        (("--lanes", "0"), "lanes"),
        (("--module", "exp2", "--scheme", ROW_MAX_16), "datapath of RowMax_16, got exp2"),
    ],
)
def test_place_command_refuses_in_one_line(words: tuple[str, ...], message: str, capsys):
    assert refused("--place", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--module", "--scheme", "--lanes", "--seed", "--head-dim"])
def test_place_options_need_place(option: str, capsys):
    word = {"--module": "exp2", "--scheme": HALF_17}.get(option, "3")
    assert refused(option, word) == 2
    assert f"{option} must be left out without --place" in capsys.readouterr().err


def test_place_without_nextpnr_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys):
    found = tools.importlib.util.find_spec
    monkeypatch.setattr(
        tools.importlib.util, "find_spec", lambda n: None if "nextpnr" in n else found(n)
    )
    assert refused("--place", "--module", "distance") == 2
    message = "nextpnr needs the extra [place]: pip install 'bitlog2[place]'"
    assert message in capsys.readouterr().err


@pytest.mark.long
@needs_nextpnr
def test_place_of_a_small_unit_is_the_same_twice():
    tables = [measure_place(("code_register",), (HALF_17,), (), ("ice40",)) for _ in range(2)]
    assert tables[0] == tables[1]


@needs_nextpnr
@pytest.mark.parametrize("family", quick_where(lambda family: family == "ecp5", FAMILIES))
def test_place_of_a_small_unit_is_that_of_its_logic(family: str):
    (unit,) = measure_place(("distance",), (HALF_17,), (), (family,)).placed
    assert 50 < unit.report.mhz < 300
    assert unit.cells.carries >= 16
    assert unit.cells.flip_flops == unit.cells.dsp == unit.cells.block_ram == 0
    assert unit.harness.flip_flops == 2 * 18 + 2 * 10
    assert unit.report.path == "given to taken"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("flow", ["synth_xilinx", "synth_gowin", "synth_ecp5"])
@pytest.mark.parametrize(
    ("scheme", "module"),
    [(s, m) for s in (HALF_17, ROW_MAX_16) for m in modules_within(AttentionConfig(scheme=s))],
)
def test_place_module_goes_through_the_flow_of_a_vendor(
    flow: str, scheme: str, module: str, tmp_path: Path
):
    """As the flow comes; rows of four lanes, 64 keys and D = 4."""
    package = write_package(tmp_path, AttentionConfig(scheme=scheme, max_tokens=64), 4)
    for path in rtl_files():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    names = " ".join((package.name, *(path.name for path in rtl_files())))
    yosys(f"read_verilog -sv {names}; {flow} -top {module}; write_json netlist.json", tmp_path)
    assert (tmp_path / "netlist.json").is_file()
