"""`bitlog2 sweep`: rows, gates that are counted once, and what the report draws of them."""

import csv
from types import SimpleNamespace

import msgspec
import pytest

from bitlog2.flow import sweep
from bitlog2.golden.assurance import cost
from bitlog2.golden.simulation import ToolError
from bitlog2.models.runs.result import read_result
from bitlog2.models.runs.sweep import read_gates, write_gates
from bitlog2.scripts.cli import main

WORDS = ["--vary", "F=4,5", "--limit", "4", "--batch-size", "4"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two datapaths, gates not counted."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    assert main(["sweep", "--run", str(folder), *WORDS, "--no-gates"]) == 0
    return folder


@pytest.fixture
def counted(monkeypatch):
    """Notes the calls of a synthesis that counts 100 gates a unit."""
    from bitlog2.golden.assurance.cost import measure as synthesis
    from bitlog2.golden.assurance.cost.measure import Counts

    calls = []

    def synthesize(target, top, parameters, technology):
        calls.append((target.config.fraction_bits, top))
        return Counts(100, 0, 0, 0, 0, 0, {})

    monkeypatch.setattr(synthesis, "synthesize", synthesize)
    return calls


def result_of(folder):
    return read_result(folder)


def gates_of(folder):
    return read_gates(folder, result_of(folder))


def test_sweep_gates_are_counted_once_and_kept(swept, counted, tmp_path, capsys):
    write_gates(swept, result_of(swept), {}, "Yosys")
    table = tmp_path / "sweep.csv"
    assert main(["sweep", "--run", str(swept), *WORDS, "--csv", str(table)]) == 0
    assert len(counted) == len(set(counted)) == 12  # six units of two datapaths, each once
    assert set(gates_of(swept).values()) == {600}
    assert main(["sweep", "--run", str(swept), *WORDS]) == 0
    assert len(counted) == 12
    assert capsys.readouterr().out.count(" 600\n") == 4
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["fraction_bits"], row["gates"]) for row in rows] == [("4", "600"), ("5", "600")]


def test_sweep_goes_on_with_the_gates_that_are_missing(swept, counted, monkeypatch):
    result = result_of(swept)
    monkeypatch.setattr(cost, "yosys_version", lambda: "0.1")
    name = result.cells[1].name
    write_gates(swept, result, {name: 7}, f"Yosys 0.1, generic gates of {', '.join(sweep.UNITS)}")
    assert main(["sweep", "--run", str(swept), *WORDS]) == 0
    assert len(counted) == 6
    assert sorted(gates_of(swept).values()) == [7, 600]


def test_sweep_gates_of_another_yosys_are_counted_again(swept, counted):
    result = result_of(swept)
    write_gates(swept, result, {cell.name: 7 for cell in result.cells[1:]}, "Yosys 0.0")
    assert main(["sweep", "--run", str(swept), *WORDS]) == 0
    assert set(gates_of(swept).values()) == {600}


def test_sweep_report_has_table_and_plot(swept, tmp_path):
    result = result_of(swept)
    gates = {cell.name: 1234 + i for i, cell in enumerate(result.cells[1:])}
    write_gates(swept, result, gates, "Yosys")
    page = tmp_path / "report.html"
    assert main(["report", str(swept), "--out", str(page)]) == 0
    text = page.read_text()
    assert "What a choice costs and brings, digits" in text
    for count in gates.values():
        assert f"<td>{count:,}</td>" in text


def test_sweep_without_yosys_leaves_gates_out_unless_they_are_asked_for(swept, monkeypatch, capsys):
    def missing(run_folder, result, progress):
        raise ToolError("Yosys must be installed: pip install 'bitlog2[rtl]'")

    monkeypatch.setattr(sweep, "_count_gates", missing)
    assert main(["sweep", "--run", str(swept), *WORDS]) == 0
    assert "gates not counted: Yosys must be installed" in capsys.readouterr().out
    assert main(["sweep", "--run", str(swept), *WORDS, "--gates"]) == 2
    assert "Yosys must be installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("units", "least", "most"),
    [(("exp2",), 200, 500), pytest.param(sweep.UNITS, 3000, 15000, marks=pytest.mark.long)],
    ids=["exp2", "all"],
)
def test_sweep_counts_what_yosys_counts(tmp_path, swept, monkeypatch, units, least, most):
    monkeypatch.setattr(sweep, "UNITS", units)
    result = result_of(swept)
    few = SimpleNamespace(
        cells=[cell for cell in result.cells if "F4" in cell.name], run_digest=result.run_digest
    )
    (count,) = sweep._count_gates(tmp_path, few, lambda items, *_: items).values()
    assert least < count < most
    assert read_gates(tmp_path, few) == {few.cells[0].name: count}
    assert "Yosys 0." in (tmp_path / "gates.json").read_text()


@pytest.mark.parametrize("content", ["[]", '{"gates": {"a": 0}}', '{"gates": {"a": true}}', "{"])
def test_sweep_damaged_gates_are_refused(swept, tmp_path, content):
    (tmp_path / "gates.json").write_text(content)
    with pytest.raises(ValueError, match=r"gates\.json must"):
        read_gates(tmp_path, result_of(swept))


def test_sweep_gates_of_another_run_or_edited_are_refused(swept, tmp_path):
    result = result_of(swept)
    write_gates(tmp_path, result, {"digits-a": 600}, "Yosys")
    with pytest.raises(ValueError, match="must be of the run in its folder"):
        read_gates(
            tmp_path, msgspec.structs.replace(result, versions=result.versions | {"torch": "0"})
        )
    file = tmp_path / "gates.json"
    file.write_text(file.read_text().replace("600", "500"))
    with pytest.raises(ValueError, match="must be as it was written"):
        read_gates(tmp_path, result)
