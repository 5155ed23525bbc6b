"""Structural coverage: the reader, the reasons, and a bench with a line that nothing reaches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.command import call
from support.devices import NEVER_STALLED, PIPELINED

from bitlog2.golden import emit
from bitlog2.golden.assurance.coverage import (
    CodePoint,
    Reason,
    judge,
    load_reasons,
    measure_structure,
    pages,
    read_points,
    read_reasons,
)
from bitlog2.golden.assurance.coverage.measure import judged_modules
from bitlog2.golden.assurance.coverage.points import collapse, text_of
from bitlog2.golden.assurance.modules import modules_within
from bitlog2.golden.simulation import Rtl
from bitlog2.golden.simulation.contract import devices_within
from bitlog2.golden.testbench import reference_files
from bitlog2.sim import SCHEMES, AttentionConfig

HEAD = "# SystemC::Coverage-3\n"
BIT = CodePoint("exp2", "toggle", 18, 31, "d[3]:0->1")
LINE = CodePoint("exp2", "line", 2, 5, "else")
SOURCES = {"exp2": ["module exp2;", "  if (x) y = 1;", "endmodule"]}
WHY = Reason(
    module="exp2",
    kind="toggle",
    pattern=r"d\[\d\]:0->1",
    reason="never",
    requirement="BL2-EXP2-03",
)


def entry(page: str, line: int, column: int, name: str, hits: int) -> str:
    fields = {"f": "x.sv", "l": line, "n": column, "page": page, "o": name, "h": "tb.dut"}
    return "C '" + "".join(f"\x01{k}\x02{v}" for k, v in fields.items()) + f"' {hits}\n"


def test_structure_reads_points_and_hits():
    text = (
        HEAD
        + entry("v_toggle/exp2", 18, 31, "d[3]:0->1", 7)
        + entry("v_line/exp2", 2, 5, "else", 0)
    )
    assert read_points(text, "coverage.dat") == {BIT: 7, LINE: 0}


def test_structure_adds_sizes_and_instances_of_a_module_up():
    pages = ("v_branch/leading_one__W12", "v_branch/leading_one__W1b", "v_branch/leading_one")
    text = HEAD + "".join(entry(page, 23, 7, "if", 2) for page in pages)
    assert read_points(text, "x") == {CodePoint("leading_one", "line", 23, 7, "if"): 6}


@pytest.mark.parametrize(
    "text",
    ["", "nothing", HEAD + "C 'x' 1", HEAD + entry("v_user/exp2", 1, 1, "x", 1), HEAD + "C broken"],
)
def test_structure_refuses_what_is_no_coverage_file(text: str):
    with pytest.raises(ValueError, match=r"seen\.dat"):
        read_points(text, "seen.dat")


def test_structure_text_of_a_line_is_its_source():
    assert text_of(LINE, SOURCES) == "else: if (x) y = 1;"
    assert text_of(BIT, SOURCES) == "d[3]:0->1"


def test_structure_of_everything_reached_has_status_0():
    report = judge({BIT: 1, LINE: 2}, SOURCES, (), "Verilator 5")
    assert (report.status, report.missed) == (0, ())
    assert report.counts == {("exp2", "toggle"): (1, 1), ("exp2", "line"): (1, 1)}


def test_structure_point_without_a_reason_has_status_1():
    report = judge({BIT: 0, LINE: 0}, SOURCES, (WHY,), "Verilator 5")
    assert report.status == 1
    assert [each.point for each in report.unexplained] == [LINE]
    assert "no reason: exp2.sv:2 line else: if (x) y = 1;" in report.lines()


def test_structure_point_with_a_reason_is_listed_with_it():
    report = judge({BIT: 0, LINE: 1}, SOURCES, (WHY,), "Verilator 5")
    assert report.status == 0
    lines = report.lines()
    at = lines.index("exp2, 1 x toggle: never (BL2-EXP2-03)")
    assert lines[at + 1].strip() == "d[3]:0->1"


def test_structure_reason_that_fits_nothing_has_status_1():
    report = judge({BIT: 1}, SOURCES, (WHY,), "Verilator 5")
    assert report.status == 1
    assert any(line.startswith("reason without a point: exp2 toggle") for line in report.lines())


def test_structure_reason_of_a_module_that_was_not_judged_is_left_alone():
    other = msgspec.structs.replace(WHY, module="row_sum", pattern=".*")
    assert judge({BIT: 1}, SOURCES, (other,), "Verilator 5").status == 0


def test_structure_json_holds_counts_and_points():
    found = json.loads(json.dumps(judge({BIT: 0}, SOURCES, (WHY,), "Verilator 5").as_dict()))
    assert found["counts"] == [{"module": "exp2", "kind": "toggle", "reached": 0, "points": 1}]
    assert found["missed"][0]["reason"] == "never"
    assert found["missed"][0]["requirement"] == "BL2-EXP2-03"


#: A bit of the first line of `SOURCES`.
FIRST = CodePoint("exp2", "toggle", 1, 31, "d[3]:0->1")


def test_structure_lcov_has_hits_by_line_and_a_branch_per_point():
    found = judge({FIRST: 0, LINE: 3, BIT: 5}, SOURCES, (), "Verilator 5")
    found = replace(found, paths={"exp2": Path("/rtl/exp2.sv")})
    assert pages.lcov(found).splitlines() == [
        *("TN:exp2", "SF:/rtl/exp2.sv", "BRDA:1,0,0,0", "DA:1,0", "BRDA:2,0,0,3", "DA:2,3"),
        *("BRDA:18,0,0,5", "DA:18,5", "end_of_record"),
    ]


@pytest.mark.parametrize(("reasons", "kind"), [((), "open"), ((WHY,), "reason")], ids=str)
def test_structure_page_marks_lines_by_what_is_reached(reasons, kind):
    page = pages.html(judge({FIRST: 0, LINE: 3}, SOURCES, reasons, "Verilator 5"))
    assert page.count('<tr class="hit"') == page.count(f'<tr class="{kind}"') == 1
    why = "never" if reasons else "no reason"
    assert f'<tr class="{kind}" title="d[3]:0-&gt;1: {why}"><td>1</td>' in page


def test_structure_bits_that_are_missed_alike_are_one_range():
    both = [f"d[{bit}]:{way}" for bit in (9, 10, 11, 3) for way in ("0->1", "1->0")]
    assert collapse([*both, "d[12]:1->0", "else: x"]) == [
        "d[3]", "d[9-11]", "d[12]:1->0", "else: x",
    ]  # fmt: skip
    assert collapse(["flag:0->1"]) == ["flag:0->1"]


GOOD = {"module": "m", "kind": "line", "pattern": "x", "reason": "y", "requirement": ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON"),
        ("{}", "must be a list"),
        ("[1]", "reason 0: must be an object, got 1"),
        (json.dumps([{**GOOD, "more": "x"}]), "must have the fields"),
        (
            json.dumps([{**GOOD, "kind": "branch"}]),
            "kind must be one of line, toggle, got",
        ),
        (json.dumps([{**GOOD, "pattern": "["}]), "must be a regular expression"),
        (json.dumps([{**GOOD, "reason": ""}]), "reason must be text that is not empty"),
        (json.dumps([{**GOOD, "requirement": None}]), "requirement must be text, got None"),
    ],
)
def test_structure_refuses_malformed_reasons(content: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_reasons(content.encode(), "reasons.json")


def judged_of(config: AttentionConfig) -> list[str]:
    """Every module that a bench of the scheme's datapath judges."""
    return [each for bench in devices_within(config) for each in judged_modules(bench, config)]


def test_structure_reasons_of_the_reference_are_read_and_of_modules_that_are_judged():
    reasons = load_reasons()
    assert {reason.module for reason in reasons} <= set(judged_of(AttentionConfig()))
    text = "".join(path.read_text(encoding="utf-8") for path in reference_files())
    assert len(reasons) == text.count("// not reached") > 0


def test_structure_judges_every_module_of_the_reference_once_with_each_scheme():
    modules = {path.stem for path in reference_files()} - {"checks"}
    judged = {scheme: judged_of(AttentionConfig(scheme)) for scheme in SCHEMES}
    assert {name for each in judged.values() for name in each} == modules
    for scheme, names in judged.items():
        assert sorted(names) == sorted(modules_within(AttentionConfig(scheme))), scheme


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("structure") / "set"
    emit(folder, AttentionConfig(table_bits=8, fraction_bits=2), units=["exp2", "row_sum"])
    return folder


@pytest.mark.long
def test_structure_of_a_unit_is_measured_and_a_planted_line_is_reported(
    vectors: Path, tmp_path: Path
):
    """The planted copy is the RTL of a user: in files of other names, under ports of the unit's."""
    planted = []
    old = "  assign e = mask"
    new = "  logic never;\n  always_comb begin\n    never = 1'b0;\n"
    new += "    if (d == '1 && !mask && e != '0) never = 1'b1;\n  end\n  assign e = mask"
    for path in reference_files():
        planted.append(tmp_path / f"my_{path.name}")
        text = path.read_text(encoding="utf-8")
        assert path.stem != "exp2" or text.count(old) == 1
        planted[-1].write_text(text.replace(old, new) if path.stem == "exp2" else text)
    report = measure_structure(vectors, ["exp2"], rtl=Rtl(planted))
    lines = [each.text for each in report.unexplained if each.point.kind == "line"]
    assert lines == ["if: if (d == '1 && !mask && e != '0) never = 1'b1;"]
    assert report.status == 1
    assert {each.text for each in report.unexplained if each.point.kind == "toggle"} <= {
        "never:0->1", "never:1->0",
    }  # fmt: skip
    reached, points = report.counts["exp2", "toggle"]
    assert reached >= points - 2 > 40
    assert {module for module, _ in report.counts} == {"exp2"}
    assert any(line.startswith("no reason: my_exp2.sv:") for line in report.lines())


def test_structure_adds_sizes_of_a_module_with_two_underscores_up():
    text = HEAD + entry("v_line/my__sum__W8", 2, 5, "else", 3) + entry("v_line/my", 2, 5, "else", 1)
    found = read_points(text, "x", ("my__sum", "my"))
    assert found == {
        CodePoint("my__sum", "line", 2, 5, "else"): 3,
        CodePoint("my", "line", 2, 5, "else"): 1,
    }


def test_structure_refuses_a_device_that_its_testbench_cannot_play(vectors: Path, tmp_path: Path):
    path = tmp_path / "my_exp2.sv"
    path.write_text(PIPELINED)
    with pytest.raises(
        ValueError, match="the testbench plays exp2 without a clock, got my_exp2 with"
    ):
        measure_structure(vectors, ["exp2"], rtl=Rtl([path, *reference_files()], "my_exp2"))
    with pytest.raises(ValueError, match="unit must be a single one with rtl, got None"):
        measure_structure(vectors, rtl=Rtl([path]))


@pytest.mark.long
def test_structure_of_a_device_without_back_pressure_is_measured(vectors: Path, tmp_path: Path):
    path = tmp_path / "my.sv"
    path.write_text(NEVER_STALLED)
    report = measure_structure(vectors, ["row_sum"], rtl=Rtl([path], "my_sum", back_pressure=False))
    assert report.counts["my_sum", "line"][0] > 5


def test_structure_refuses_a_unit_that_the_set_has_not(vectors: Path):
    with pytest.raises(ValueError, match="unit must be one of exp2, row_sum, got 'row_max'"):
        measure_structure(vectors, ["row_max"])


def test_structure_refuses_a_folder_without_a_set(tmp_path: Path):
    with pytest.raises(ValueError, match=r"must hold manifest\.json"):
        measure_structure(tmp_path)


def test_structure_command_prints_writes_and_has_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    report = judge({BIT: 0}, SOURCES, (), "Verilator 5")
    monkeypatch.setattr(
        "bitlog2.golden.assurance.coverage.measure_structure", lambda *_, **__: report
    )
    words = ("set", "--unit", "exp2", "--json", tmp_path / "c.json")
    assert call("golden", "coverage", *words) == 1
    assert "no reason: exp2.sv:18 toggle d[3]:0->1" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["simulator"] == "Verilator 5"
