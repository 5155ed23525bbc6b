"""The cost table: counts that are known by hand, the order of the alternatives, refusals."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_fields
from support.command import call

from bitlog2.documents import parse, render
from bitlog2.golden.assurance.cost import (
    CHOICES,
    CHOICES_TABLE,
    TECHNOLOGIES,
    Alternative,
    AlternativeGroup,
    Choice,
    CostTable,
    Counts,
    code_lines,
    count_cells,
    longest_path,
    measure_cost,
    measure_device,
    synthesize,
    yosys_version,
)
from bitlog2.golden.assurance.cost import measure as table_module
from bitlog2.golden.assurance.cost.cycles import cycles_of_row, stated_cycles
from bitlog2.golden.assurance.cost.measure import design_files, elaborated
from bitlog2.golden.simulation import Rtl, ToolError, tools, yosys
from bitlog2.golden.stimulus.unit import Target
from bitlog2.scripts.cli import main
from bitlog2.sim import AttentionConfig

TARGET = Target.of(AttentionConfig())
SMALL = Target.of(AttentionConfig(scheme="BitLog2_Half_16", table_bits=6, max_tokens=4))
REGISTER = """
module register(input logic clk, input logic [7:0] d, output logic [7:0] q);
  always_ff @(posedge clk) q <= d;
endmodule
"""
PARITY = """
module parity(input logic [7:0] x, output logic y);
  assign y = ^x;
endmodule
"""
ADDER = """
module adder(input logic [7:0] a, b, output logic [7:0] y);
  assign y = a + b;
endmodule
"""
MEMORY = """
module memory(input logic clk, write, input logic [3:0] at, input logic [7:0] d,
              output logic [7:0] q);
  logic [7:0] words[0:15];
  always_ff @(posedge clk) if (write) words[at] <= d;
  assign q = ~words[at];
endmodule
"""
LATCHED = """
module latched(input logic on, d, output logic q);
  always_latch if (on) q = d;
endmodule
"""


def made(text: str, technology: str) -> Counts:
    name = re.findall(r"module (\w+)", text)[0]
    return synthesize(TARGET, name, {}, technology, sources={f"{name}.sv": text.encode()})


def gate(kind: str, inputs: list[int], output: int) -> dict[str, object]:
    ports = {"A": inputs[:1], "B": inputs[1:], "Y": [output]}
    directions = {"A": "input", "B": "input", "Y": "output"}
    return {"type": kind, "connections": ports, "port_directions": directions}


@pytest.mark.parametrize(
    ("text", "technology", "known"),
    [
        (REGISTER, "generic", {"flip_flops": 8, "cells": 0, "levels": 0, "memory_bits": 0}),
        (REGISTER, "ice40", {"flip_flops": 8, "cells": 0, "levels": 0, "memory_bits": 0}),
        (PARITY, "generic", {"cells": 7, "levels": 3, "flip_flops": 0}),
        (PARITY, "ice40", {"cells": 3, "levels": 2, "carries": 0}),
        (ADDER, "ice40", {"cells": 8, "levels": 1}),
        (MEMORY, "generic", {"memory_bits": 128, "flip_flops": 0, "cells": 8, "levels": 1}),
        (MEMORY, "ice40", {"memory_bits": 128, "flip_flops": 0, "cells": 8, "levels": 1}),
    ],
    ids=[
        "register",
        "register_luts",
        "parity",
        "parity_luts",
        "adder_luts",
        "memory",
        "memory_luts",
    ],
)
def test_cost_of_a_small_module_is_known(text: str, technology: str, known: dict[str, int]):
    counts = made(text, technology)
    assert {name: getattr(counts, name) for name in known} == known
    if text == ADDER:  # the first sum needs no carry in, and the last one's carry goes nowhere
        assert counts.carries == counts.path_carries
        assert counts.carries in (6, 7)


def test_cost_of_a_latch_is_refused_in_gates():
    with pytest.raises(ValueError, match=r"must be mapped, got a cell \$_DLATCH_"):
        made(LATCHED, "generic")


def test_cost_longest_path_ends_at_flip_flops_and_counts_carries_apart():
    chain = {f"g{i}": gate("$_AND_", [i, 100 + i], i + 1) for i in range(9)}
    chain["late"] = gate("$_XOR_", [9, 4], 50)
    assert longest_path(chain) == (10, 0)
    cells = {"g": gate("$_AND_", [1, 2], 3), "after": gate("$_OR_", [4, 5], 6)}
    cells["register"] = {
        "type": "$_DFF_P_",
        "connections": {"C": [9], "D": [3], "Q": [4]},
        "port_directions": {"C": "input", "D": "input", "Q": "output"},
    }
    assert longest_path(cells) == (1, 0)
    cells["between"] = gate("$_NOT_", [3], 5)
    assert longest_path(cells) == (3, 0)
    carries = {f"c{i}": gate("SB_CARRY", [i, 100 + i], i + 1) for i in range(5)}
    carries["lut"] = gate("SB_LUT4", [5, 60], 70)
    assert longest_path(carries) == (1, 5)


def test_cost_refuses_a_loop():
    cells = {"a": gate("$_AND_", [1, 2], 3), "b": gate("$_OR_", [3, 5], 1)}
    with pytest.raises(ValueError, match="no combinational loop, got 2 cells"):
        longest_path(cells)


def test_cost_refuses_an_unmapped_cell():
    with pytest.raises(ValueError, match=r"must be mapped, got a cell \$add"):
        count_cells({"modules": {"x": {"cells": {"a": gate("$add", [1, 2], 3)}}}}, "x")


def test_cost_levels_are_those_of_yosys(tmp_path: Path):
    (tmp_path / "adder.sv").write_text(ADDER)
    script = "read_verilog -sv adder.sv; synth -flatten -noabc -top adder; abc -g gates; "
    yosys(f"{script} clean; tee -o ltp.txt ltp -noff; write_json net.json", tmp_path)
    found = re.search(r"length=(\d+)", (tmp_path / "ltp.txt").read_text())
    counts = count_cells(json.loads((tmp_path / "net.json").read_text()), "adder")
    assert found is not None
    assert counts.levels == int(found[1]) > 0


@pytest.mark.long
def test_cost_comparing_form_is_smaller_and_shorter_than_the_dividing_one():
    for technology in TECHNOLOGIES:
        comparing = synthesize(SMALL, "log2_quantizer", {}, technology)
        for form in ("log2_quantizer_restoring", "log2_quantizer_divide"):
            dividing = synthesize(SMALL, form, {}, technology)
            assert comparing.cells < dividing.cells, form
            assert comparing.levels < dividing.levels, form


@pytest.mark.long
def test_cost_is_the_same_twice():
    assert synthesize(SMALL, "exp2", {}, "generic") == synthesize(SMALL, "exp2", {}, "generic")


def test_cost_takes_parameters():
    lanes = [synthesize(SMALL, "shift_add", {"HEAD_DIM": d}, "generic") for d in (1, 2)]
    width = SMALL.config.width("acc")
    assert [each.flip_flops for each in lanes] == [width + 2, 2 * width + 2]


@pytest.mark.long
def test_cost_of_a_row_is_that_of_its_own_name():
    found = synthesize(SMALL, "attention_row", {"LANES": 1, "HEAD_DIM": 1}, "ice40")
    assert found.memory_bits > 0


def test_cost_of_a_broken_module_is_a_tool_error():
    with pytest.raises(ToolError, match="syntax error"):
        made("module broken(input logic a; endmodule", "generic")


def test_cost_names_the_version_of_yosys():
    assert re.fullmatch(r"0\.\d+\S* \(git sha1 [0-9a-f]+\)", yosys_version())


def test_cost_choices_are_the_ones_that_can_be_built():
    files = design_files()
    for name, choice in CHOICES.items():
        assert name == choice.name
        for group in choice.groups:
            assert len(group.alternatives) > 1
            assert all(each.top in files for each in group.alternatives)


def test_cost_claims_of_one_function_name_a_test():
    tests = Path(__file__).parent
    claims = {g.same_function for choice in CHOICES.values() for g in choice.groups} - {None}
    assert claims
    for claim in claims:
        path, test = claim.split(": ")
        assert f"def {test}(" in (tests / Path(path).name).read_text(encoding="utf-8")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts without Yosys; the list is of what was synthesized."""
    seen: list[str] = []

    def count(target: Target, top: str, parameters: dict[str, int], technology: str) -> Counts:
        seen.append(f"{top} {technology}")
        cells = 100 * target.config.fraction_bits if top == "exp2" else 250
        return Counts(cells, 7, 3, 0, 9, 5, {"$_AND_": cells})

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(table_module, "synthesize", count)
    return seen


def test_tool_that_fails_shows_its_last_lines_and_keeps_all(tmp_path: Path):
    printing = [sys.executable, "-c", "print(*range(30), sep='\\n'); raise SystemExit(3)"]
    with pytest.raises(ToolError, match=r"^python\S* failed with status 3:\n10\n") as raised:
        tools.run_tool(printing, tmp_path)
    log = Path(str(raised.value).rsplit("all of it: ", 1)[1])
    assert log.read_text().split() == list(map(str, range(30)))
    log.unlink()


def test_cost_table_has_a_row_for_each_alternative_with_its_ratio(counted: list[str]):
    table = measure_cost(["exp2"])
    lines = [line.split() for line in table.lines()]
    rows = [line for line in lines if "entries" in line]
    assert [row[row.index("entries") + 1 :][:3] for row in rows] == [
        ["500", "1.00", "9"], ["400", "0.80", "9"], ["600", "1.20", "9"],
    ]  # fmt: skip
    assert len(counted) == 8


def test_cost_table_synthesizes_what_returns_once(counted: list[str]):
    measure_cost(["float32"], ["ice40"])
    assert sorted(counted) == sorted(set(counted))


def test_cost_markdown_is_one_table_a_choice(counted: list[str]):
    lines = measure_cost(["exp2", "log2"], ["generic"]).markdown()
    assert sum(line.startswith("|---") for line in lines) == 2
    columns = {line.count("|") for line in lines if line.startswith("|")}
    assert len(columns) == 1
    assert sum(line.startswith("| BitLog2_") for line in lines) == 4


def test_cost_json_holds_raw_counts_and_the_version(counted: list[str]):
    found = json.loads(render(measure_cost(["log2"])))
    assert found["yosys"] == yosys_version()
    group = found["choices"][0]["groups"][3]
    assert group["same_function"].startswith("tests/test_cost_functions.py: ")
    assert group["alternatives"][2]["counts"]["ice40"]["by_type"] == {"$_AND_": 250}
    assert group["alternatives"][2]["configuration"] == {"scheme": "BitLog2_Half_17"}


def test_cost_table_of_nothing_to_divide_by_has_no_ratio():
    counts = Counts(0, 0, 0, 0, 0, 0, {})
    wire = Alternative("a", "exp2", counts={"generic": counts})
    choice = Choice("wires", "Wires", "", (AlternativeGroup("wires", (wire, wire)),))
    table = CostTable(
        specification_version=1, yosys="0", technologies={"generic": ""}, choices=(choice,)
    )
    assert "1.00" not in "".join(table.lines())


def test_cost_of_rows_has_the_cycles_that_their_headers_state(counted: list[str]):
    (choice,) = measure_cost(["row_max"], ["generic"]).choices
    each = {
        (a.name, a.top, a.parameters.get("LANES")): a for g in choice.groups for a in g.alternatives
    }
    for scheme in ("BitLog2_Half_17", "RowMax_16", "RowMax_8"):
        row = each[scheme, "attention_row", 1]
        names = elaborated(row.target, row.top, row.parameters).values
        formula = stated_cycles(
            design_files()["attention_row"].read_text(), "attention_row", row.config.code.family
        )
        assert row.cycles == float(cycles_of_row(formula, names, keys=197, lanes=1))
    assert each["online", "online_accumulator", None].cycles == 197
    assert each["log2_quantizer", "log2_quantizer", None].cycles is None


@pytest.mark.long
def test_cost_of_three_bits_is_that_of_its_own_levels():
    small, large = (
        Alternative("", "", {"scheme": name}).target for name in ("RowMax_8", "RowMax_16")
    )
    parameters = [elaborated(each, "distance_quantizer", {}).values for each in (small, large)]
    assert [each["TOP_LEVEL"] for each in parameters] == [7, 15]
    cells = [synthesize(each, "lane_accumulator", {}, "ice40") for each in (small, large)]
    assert cells[0].flip_flops == small.config.width("acc") < cells[1].flip_flops


def test_cost_table_of_codes_adds_what_a_code_needs_beside_its_row(counted: list[str]):
    rows = [line.split(" | ") for line in code_lines(measure_cost(["row_max"]))[2:]]
    by_name = {row[0].strip("| `"): row for row in rows}
    assert len(by_name) == len(rows) == 11
    half, divided = by_name["BitLog2_Half_17"], by_name["BitLog2_Half_17_normalized"]
    assert (half[6], divided[6]) == ("250", "750")
    assert by_name["RowMax_16_online"][6:] == ["250", "250", "9", "197", rows[-1][-1]]
    assert by_name["RowMax_8"][1] == "3"


def test_cost_kept_table_has_every_choice_as_it_is_measured():
    table = parse(CHOICES_TABLE.read_bytes(), CostTable, CHOICES_TABLE.name)
    assert render(table) == CHOICES_TABLE.read_bytes()
    assert table.technologies == TECHNOLOGIES
    unmeasured = [
        with_fields(each, groups=tuple(map(unmeasured_group, each.groups)))
        for each in table.choices
    ]
    assert unmeasured == list(CHOICES.values())


def unmeasured_group(group: AlternativeGroup) -> AlternativeGroup:
    """The group as the catalogue has it."""
    bare = (with_fields(each, counts={}, cycles=None) for each in group.alternatives)
    return with_fields(group, alternatives=tuple(bare))


def test_cost_table_takes_nothing_over_from_another_version(counted: list[str]):
    old, new = (measure_cost([name], ["ice40"]) for name in ("log2", "exp2"))
    assert [each.name for each in new.joined(old).choices] == ["log2", "exp2"]
    assert new.joined(with_fields(old, yosys="0.71")) == new
    assert new.joined(measure_cost(["log2"], ["generic"])) == new


def test_cost_refuses_unknown_names():
    with pytest.raises(ValueError, match=r"choice must be one of log2, exp2, .*, got 'x'"):
        measure_cost(["x"])
    with pytest.raises(ValueError, match="target must be one of generic, ice40, got 'asic'"):
        measure_cost(["log2"], ["asic"])
    with pytest.raises(ValueError, match=r"module must be one of .*, got 'x'"):
        synthesize(TARGET, "x", {}, "generic")


def run(*arguments: str) -> int:
    return call("golden", "cost", *arguments)


def test_cost_command_prints_and_writes(
    counted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("--choice", "log2", "--target", "generic", "--json", str(tmp_path / "c.json")) == 0
    assert "BitLog2_Half_17" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["choices"][0]["name"] == "log2"
    assert run("--choice", "log2", "--markdown") == 0
    assert capsys.readouterr().out.startswith("**A quotient that is compared, or divided.**")


def test_cost_command_keeps_what_it_measures(
    counted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bitlog2.golden.assurance.cost.CHOICES_TABLE", tmp_path / "c.json")
    for choice in ("exp2", "log2"):
        assert run("--choice", choice, "--keep") == 0
    kept = parse((tmp_path / "c.json").read_bytes(), CostTable, "table")
    assert [each.name for each in kept.choices] == ["log2", "exp2"]


def test_cost_command_refuses_a_choice_that_is_none(capsys: pytest.CaptureFixture[str]):
    assert main(["golden", "cost", "--choice", "everything"]) == 2
    assert "table_bits" in capsys.readouterr().err


def test_cost_yosys_of_a_user_without_a_home_compiles_itself_elsewhere(monkeypatch, tmp_path):
    seen: dict[str, str] = {}
    monkeypatch.setattr(tools, "user_cache", lambda name: None)
    monkeypatch.setattr(tools, "run_tool", lambda *_, environment, **__: seen.update(environment))
    tools._compiled_cache.cache_clear()
    yosys("stat", tmp_path)
    tools._compiled_cache.cache_clear()
    assert Path(seen["XDG_CACHE_HOME"]).is_dir()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A device beside exp2 that gives the mask alone."""
    path = tmp_path / "my.sv"
    path.write_text(
        "module my #(parameter W = 1) (input mask, input [9:0] d, output [16:0] e);\n"
        "  assign e = {17{mask & d[`BIT]}};\nendmodule\n"
    )
    return path


def test_cost_of_a_device_stands_beside_the_reference(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seen = []

    def count(target: Target, top: str, parameters: dict, technology: str, **given: Any) -> Counts:
        seen.append((top, dict(parameters), given.get("options", "").split()[:1]))
        return Counts(300 if top == "exp2" else 150, 7, 3, 0, 9, 5, {})

    monkeypatch.setattr(table_module, "synthesize", count)
    words = ["golden", "cost", "--unit", "exp2", "--rtl", str(own), "--top", "my"]
    assert main([*words, "--define", "BIT=3", "--param", "W=2", "--target", "generic"]) == 0
    assert seen == [("exp2", {}, []), ("my", {"W": "2"}, ["-DBIT=3"])]
    line = next(each for each in capsys.readouterr().out.splitlines() if "your my" in each)
    assert line.split()[2:4] == ["150", "0.50"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--unit must be given with --rtl"),
        (("--unit", "exp2", "--choice", "exp2"), "--choice must be left out with --rtl"),
        (("--unit", "exp2", "--place"), "--place must be left out with --rtl"),
        (("--unit", "exp2", "--clock", "c"), "--clock must be left out by cost, which looks at no"),
    ],
    ids=lambda each: each[-1] if isinstance(each, tuple) and each else "",
)
def test_cost_of_a_device_refuses(own: Path, words: tuple[str, ...], message: str, capsys):
    assert main(["golden", "cost", "--rtl", str(own), "--top", "my", *words]) == 2
    assert message in capsys.readouterr().err


def test_cost_without_a_device_refuses_its_options(capsys: pytest.CaptureFixture[str]):
    assert main(["golden", "cost", "--unit", "exp2"]) == 2
    assert "--unit must be left out without --rtl and -f" in capsys.readouterr().err


@pytest.mark.long
def test_cost_of_a_device_is_that_of_its_own_source(own: Path):
    rtl = Rtl([own], "my", defines={"BIT": "3"}, parameters={"W": "2"})
    (choice,) = measure_device("exp2", rtl, ["generic"]).choices
    reference, mine = (each.counts["generic"].cells for each in choice.groups[0].alternatives)
    assert (reference, mine) == (387, 1)
