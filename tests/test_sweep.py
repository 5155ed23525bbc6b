"""`bitlog2 sweep`: rows, gates that are counted once, and what the report draws of them."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from support.models import digits_task

from bitlog2 import extras
from bitlog2.flow import sweep
from bitlog2.golden.assurance import cost
from bitlog2.golden.simulation import ToolError
from bitlog2.models.network.network import Part
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.result import read_result
from bitlog2.models.runs.sweep import read_gates, write_gates
from bitlog2.models.zoo.checkpoint import load_quantized, save_quantized
from bitlog2.models.zoo.task import pixels_of
from bitlog2.scripts.cli import main
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.simulator import infer

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


def test_sweep_refuses_gates_before_it_evaluates(tmp_path, monkeypatch, capsys):
    words = ["sweep", "--run", str(tmp_path / "run"), "--gates", "--vary"]
    assert main([*words, "W_r=12"]) == 2
    assert "--gates must be left out where widths around attention" in capsys.readouterr().err
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert main([*words, "F=4"]) == 2
    assert "needs the extra [rtl]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


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


# -- Widths of a whole network ---------------------------------------------------------------------

WIDTHS = ["--alone", "--vary", "W_r=8,16", "--vary", "u_bits=6", "--limit", "8"]


@pytest.fixture(scope="module")
def widths(tmp_path_factory):
    """A sweep of a narrow stream and of a narrow table; its folder and its rows."""
    folder = tmp_path_factory.mktemp("widths")
    words = ["--run", str(folder / "run"), *WIDTHS, "--csv", str(folder / "rows.csv")]
    assert main(["sweep", *words]) == 0
    return folder / "run", list(csv.DictReader((folder / "rows.csv").read_text().splitlines()))


def test_sweep_alone_varies_one_name_after_the_other():
    lists = {"W_r": (8, 16), "Z": (8,)}
    alone = ((), (("stream_bits", 8),), (("z_fraction_bits", 8),))
    assert sweep.datapaths(lists, alone=True) == alone
    both = [(("stream_bits", bits), ("z_fraction_bits", 8)) for bits in (8, 16)]
    assert list(sweep.datapaths(lists)) == both


def test_sweep_of_widths_has_a_row_for_each_network(widths):
    _, rows = widths
    named = [(row["stream_bits"], row["u_bits"]) for row in rows]
    assert named == [("16", "10"), ("8", "10"), ("16", "6")]
    assert rows[0]["same"] == "100"
    bits = [int(row["register_bits"]) for row in rows]
    assert bits == [
        sum(register.bits for register in NetworkConfig(**fields).registers.values())
        for fields in ({}, {"stream_bits": 8}, {"u_bits": 6})
    ]


def saturations(folder, cell):
    """Of a cell's eight images: saturated values of the stream by the simulator, and of u."""
    program = RunFolder.open(folder).load_model(cell)[0].program
    counts = {"u": 0}

    def trace(part, unit, registers):
        if part.endswith("fc1") and unit == "linear_accumulator":
            params = program.steps[int(part.split(".")[1])].fc1.params
            m, n = params.activation_multiplier, np.array(params.activation_shift)
            u = registers["linear_acc"] * np.array(m, np.int64) + ((1 << n) >> 1) >> n
            top = 1 << (program.network.u_bits - 1)
            counts["u"] += int(((u < -top) | (u >= top)).sum())

    images = pixels_of("digits").of(digits_task().data.test.tensors[0][:8]).numpy().astype("u2")
    return sum(infer(program, images, trace=trace).saturated.values()), counts["u"]


def counted_saturations(row):
    return int(row["residual_saturated"]), int(row["u_saturated"])


def test_sweep_of_widths_counts_the_values_that_saturate(widths):
    folder, rows = widths
    cells = RunFolder.open(folder).request.cells()[1:]
    expected = [saturations(folder, cell) for cell in cells]
    assert [counted_saturations(row) for row in rows] == expected
    assert expected[2][1] > 0


def test_sweep_of_widths_planted_error_in_a_count_is_seen(widths, tmp_path, monkeypatch):
    """What stands at an end of its range counts as limited."""
    folder, _ = widths

    def places(self, register, values, low, high):
        if self.limit is not None:
            self.limit(self.name, register, values.floor().add_(low), low + 1, high - 1)
        return values.clamp_(0, high - low).int()

    monkeypatch.setattr(Part, "places", places)
    words = ["--run", str(tmp_path / "run"), "--vary", "u_bits=6", "--limit", "8"]
    assert main(["sweep", *words, "--csv", str(tmp_path / "rows.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())
    assert counted_saturations(row) != saturations(
        folder, RunFolder.open(folder).request.cells()[3]
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["W_r=20"], "register square_product must need at most 62 bits"),
        (["root_bits=8"], "z_fraction_bits must be at most root_bits = 8"),
        (["u_bits=14"], "u_bits must be from 4 to 12, got 14"),
        (["Z=8", "--arithmetic", "attention"], "must be without z_fraction_bits in attention arit"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_sweep_of_widths_refuses_what_no_hardware_has(tmp_path, capsys, words, error):
    assert main(["sweep", "--run", str(tmp_path / "run"), "--vary", *words]) == 2
    assert error in capsys.readouterr().err


def test_sweep_model_of_another_width_is_refused(widths, tmp_path):
    folder, _ = widths
    saved = RunFolder.open(folder)
    model = saved.load_model(saved.request.cells()[2])[0]
    other = msgspec.structs.replace(model.spec, datapath=())
    file = tmp_path / "model.safetensors"
    save_quantized(file, replace(model, spec=other))
    with pytest.raises(ValueError, match="program must be of stream_bits = 16, got one of 8"):
        load_quantized(file)
