"""JUnit XML of every report."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_golden_helpers import SMALL

from bitlog2.golden import emit, verify
from bitlog2.golden.assurance.coverage.measure import StructureReport
from bitlog2.golden.assurance.mutation.campaign import Campaign, Findings
from bitlog2.golden.junit import JunitCase, JunitSuite, Report, render, reporting

WRONG = JunitCase("a.b", "wrong", 1.5, True, ("first \0", "second"))
SUITE = JunitSuite("s", [JunitCase("a.b", "right"), WRONG], 2.0, {"seed": 3}, [Path("w.vcd")])


def parsed(found: Report) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(render("x", found.suites())))


def failed(suite: ElementTree.Element) -> list[str]:
    return [case.get("name", "") for case in suite if case.find("failure") is not None]


def test_junit_suite_has_counts_properties_cases_and_attachments():
    suite = ElementTree.fromstring(render("bitlog2 x", [SUITE]))[0]
    assert suite.attrib == {
        **{"name": "s", "tests": "2", "failures": "1", "errors": "0", "time": "2.000"},
    }
    assert suite.findtext("system-out") == "[[ATTACHMENT|w.vcd]]"
    failure = suite.find("testcase[@name='wrong']/failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("first ?", "first ?\nsecond")
    assert failed(suite) == ["wrong"]


def test_junit_of_an_earlier_run_does_not_stay(tmp_path: Path):
    path = tmp_path / "x.xml"
    path.write_text("<testsuites/>")
    with reporting(path, "bitlog2 golden verify"):
        assert "has not ended" in path.read_text()
    with pytest.raises(ValueError, match="folder"), reporting(path, "bitlog2 golden verify"):
        verify(tmp_path / "nowhere")
    error = ElementTree.parse(path).find("testsuite/testcase/error")
    assert error is not None
    assert "must be a folder" in error.get("message", "")


def test_junit_of_verify_has_a_case_per_unit_and_a_planted_error(tmp_path: Path):
    emit(tmp_path / "set", SMALL, units=["exp2", "code_register"], head_dim=2)
    words = (tmp_path / "set" / "exp2.expected.mem").read_text().split()
    (tmp_path / "e.mem").write_text("\n".join(["0" * len(words[0]), *words[1:]]))
    found = verify(tmp_path / "set", {"exp2": tmp_path / "e.mem"})
    files, inside, device = parsed(found)
    assert (failed(files), failed(inside), failed(device)) == ([], [], ["exp2"])
    assert [case.get("name") for case in inside] == ["exp2", "code_register"]
    assert float(inside.get("time", 0)) > 0


def test_junit_of_mutation_and_coverage_fail_where_something_is_open():
    def findings(gaps: int) -> Findings:
        counts = {"caught": 9 - gaps, "equivalent": 0, "gaps": gaps, "undetermined": 0}
        names = {"module": f"m{gaps}", "vectors": "exp2", "device": "exp2", "compared_at": "exp2"}
        return Findings(mutants=9, seconds=4, states=(), survivors=(), **counts, **names)

    modules = (findings(0), findings(1))
    (suite,) = parsed(Campaign(scheme="BitLog2_Half_17", seed=0, most=9, modules=modules))
    assert (failed(suite), suite.get("time")) == (["m1"], "8.000")
    (suite,) = parsed(StructureReport({("exp2", "line"): (1, 1)}, (), (), "Verilator", seconds=2.0))
    assert (failed(suite), suite.get("time")) == ([], "2.000")
