"""The report: one page that needs nothing else, and says what the result says."""

import csv
import hashlib
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from support.browser import broken_rules, needs_axe, needs_chromium, probed
from support.command import parsed
from support.evaluations import run_once

from bitlog2.flow.derived import SCHEMAS
from bitlog2.flow.report import report_of
from bitlog2.models import report as package
from bitlog2.models.report import TEXT, Table, attention_maps, make_report
from bitlog2.models.report.answers import name_of
from bitlog2.models.report.drawing import COLOURS, Picture
from bitlog2.models.runs import compare
from bitlog2.models.runs.latex import escaped, latex_table
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import CellAnswers, Share, read_result
from bitlog2.models.runs.sweep import front, rows_csv, sweep_rows
from bitlog2.models.sealed import digest_of
from bitlog2.models.watch.recorder import Recorder
from bitlog2.models.watch.watching import watch
from bitlog2.models.zoo.task import load_task
from bitlog2.scripts.cli import main

REQUEST = EvaluationRequest(
    models=("digits",),
    schemes=("BitLog2_Half_17", "Sqrt2_17"),
    arithmetics=("integer", "float"),
    datapaths=((("fraction_bits", 3),), (("fraction_bits", 5),)),
    seeds=(0, 1),
    limit=8,
    batch_size=8,
    calibration_images=8,
    check="sample",
    watermarks=True,
)
#: Unfolds everything, sorts and filters, and writes into the title what came of it.
PROBE = """addEventListener("load", () => {
  document.querySelectorAll("details").forEach(each => { each.open = true; });
  const drawn = [...document.querySelectorAll("svg")].map(i => i.getBBox().width > 100);
  const table = document.getElementById("cells"), head = table.tHead.rows[0].cells[1];
  const seen = () => [...table.tBodies[0].rows].filter(row => !row.hidden);
  const column = () => seen().map(row => row.cells[1].textContent);
  head.click();
  const up = column();
  head.click();
  const down = column(), input = table.closest("details").querySelector("input");
  input.value = "Sqrt2 seed1";
  input.dispatchEvent(new Event("input"));
  const left = column().length;
  document.title = "probe " + JSON.stringify({drawn, up, down, left});
});"""
MUTATION = Table("mutation", "Mutation", {"module": TEXT, "gaps": ",.0f"}, (("exp2", 0),))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_once(tmp_path_factory, "report", REQUEST)


@pytest.fixture(scope="module")
def result(run):
    return read_result(run.path)


@pytest.fixture(scope="module")
def answers(run):
    return [CellAnswers(run, cell) for cell in run.request.cells()]


@pytest.fixture(scope="module")
def maps(run, answers):
    """Of image 5, layer 1, head 2."""
    return attention_maps(run, answers, "digits", (5, 1, 2))


@pytest.fixture(scope="module")
def report(result, answers, maps):
    return make_report([result], [MUTATION], answers=[answers], host="a machine", maps=[maps])


@pytest.fixture(scope="module")
def page(report):
    return report.page()


class Links(HTMLParser):
    """Collects what a page refers to, and the ids that it has."""

    def __init__(self):
        super().__init__()
        self.found, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "srcset", "href")]
        self.found += [value[4:-1] for _, value in attrs if (value or "").startswith("url(")]
        self.ids += [value for name, value in attrs if name == "id"]


def test_report_needs_nothing_else(page):
    links = Links()
    links.feed(page)
    assert len(links.found) > 100
    assert len(set(links.ids)) == len(links.ids)
    led = {link for link in links.found if not link.startswith("data:image/png;base64,")}
    assert {link.removeprefix("#") for link in led} <= set(links.ids)
    assert "http" not in re.sub(r"/\*!.*?\*/", "", page, flags=re.DOTALL)


def test_report_shows_every_cell_and_its_command(page, result):
    for cell in result.cells:
        assert page.count(f">{cell.name}<") >= 2
        assert f"{cell.top1.percent:.2f}" in page
    for title in ("Accuracy", "Transfer curves", "Ranges", "Agreement", "Confusion", "Mutation"):
        assert title in page
    assert "Drawn on a machine." in page
    assert f"torch {result.versions['torch']}" in page


def test_report_commands_are_accepted(page):
    commands = re.findall(r"<code>bitlog2 (.*?)</code>", page)
    assert len(commands) == len(REQUEST.cells())
    for command in commands:
        assert callable(parsed(*command.split())[0])


def test_report_pictures_are_drawn_once_and_take_the_colours_of_their_page(report, page):
    pictures = re.findall("<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) == len(report.pictures) > 7
    for picture in pictures:
        assert "var(--ink)" in picture
        assert not re.search("#[0-9a-f]{6}", picture)
    for light, dark in COLOURS.values():
        assert page.count(f": {light};") == page.count(f": {dark};") == 1


def test_report_of_the_same_runs_has_the_same_pictures(report):
    for picture in report.pictures[:2]:
        assert picture.svg() == picture.svg()


def test_report_values_are_shown_where_the_pointer_is(page, result):
    """As titles of SVG, which need no script and are read aloud."""
    cell = next(cell for cell in result.cells if cell.watermarks and cell.seed == 0)
    mark = cell.watermarks["steps.1"]["t"]
    held = f"{mark.smallest:,} to {mark.largest:,}, {mark.bits_used} of {mark.bits_provided} bits"
    assert f"<title>t, steps.1: {held}</title>" in page
    low, high = cell.top1.wilson95
    top1 = f"{cell.top1.percent:.2f} % [{low:.2f}, {high:.2f}]"
    assert re.search(rf"<title>[^<]*, seed 0: {re.escape(top1)}</title>", page)


def test_report_agreement_and_confusion_are_those_of_the_answers(report, answers):
    agreement = next(each for each in report.tables if each.name == "agreement-digits")
    half, sqrt2 = (
        [x.top1 for x in answers if x.cell.name.startswith(f"digits-{name}-float")]
        for name in ("BitLog2_Half_17", "Sqrt2_17")
    )
    rows = {row[1]: row for row in agreement.rows}
    line, other = rows["BitLog2_Half_17, float W4A4"], rows["Sqrt2_17, float W4A4"]
    shares = [100 * np.mean(a == b) for a, b in zip(half, sqrt2, strict=True)]
    assert line[1 + other[0]] == other[1 + line[0]] == pytest.approx(np.mean(shares))
    assert line[1 + line[0]] == pytest.approx(100 * np.mean(half[0] == half[1]))
    assert rows["unquantized"][2] is None
    confusion = next(each for each in report.tables if each.name == "confusion-digits-0")
    first = answers[0]
    for label, *counts in confusion.rows:
        wanted = np.bincount(first.top1[first.labels == label], minlength=len(counts))
        assert counts == wanted.tolist()


def test_report_draws_the_confusions_that_there_are(page, answers):
    how = answers[1].cell.spec
    both = [each for each in answers if each.cell.spec == how]
    assert len(both) == 2  # seeds
    pairs = [pair for each in both for pair in zip(each.labels, each.top1, strict=True)]
    for label, got in set(pairs):
        of_label = sum(each == label for each, _ in pairs)
        count = f"{pairs.count((label, got))} of {of_label}"
        assert f"<title>{name_of(how)}: label {label}, class {got}: {count}</title>" in page
    assert page.count(f"<title>{name_of(how)}: label ") == len(set(pairs))


def test_report_maps_are_those_of_the_run(run, answers, maps):
    """Held to the registers of the same image, of the first cell: integer, F = 3."""
    figure = Figure()
    maps.paint(figure)
    before, after, *others = (each.images[0].get_array() for each in figure.axes if each.images)
    assert len(others) == 2  # of Sqrt2_17
    batch, recorder = next(iter(load_task("digits").data.batches(8, 8, [0]))), Recorder()
    with watch(run.load_model(answers[1].cell)[0].model, recorder) as watched:
        watched.run(batch.images[5:6])
    seen = list(recorder.layers.values())[1]
    level, score = (seen.registers[name][0, 2] for name in ("level", "score"))
    values = torch.tensor(seen.config.code.values)[level.long()] / seen.delta
    assert np.array_equal(after.mask, level == 0)
    assert np.array_equal(after.filled(0), values)
    exact = torch.exp2(score.double() * seen.params.m / 2.0 ** (seen.params.n + 3))
    assert np.allclose(before, exact / exact.sum(dim=-1, keepdim=True), rtol=1e-9)
    assert f"layer {seen.layer}, head 2" in maps.title


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("8,0,0", "image must be one that digits-BitLog2_Half_17-integer-w4a4-F3-seed0 was run on"),
        ("0,4,0", "layer must be from 0 to 3, got 4"),
        ("0,0,9", "head must be from 0 to 2, got 9"),
        ("0,0", "map must be IMAGE,LAYER,HEAD as 0,3,1, got '0,0'"),
    ],
)
def test_report_map_that_is_not_there_is_refused(run, tmp_path, capsys, place, message):
    assert main(["report", str(run.path), "--out", str(tmp_path / "r"), "--map", place]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_report_map_of_a_result_without_its_folder_is_refused(run):
    with pytest.raises(ValueError, match="run must be its folder for attention maps, got "):
        report_of({run.result_file: read_result(run.path)}, place=(0, 0, 0))


def test_report_map_of_another_image_is_refused(run, answers, monkeypatch):
    monkeypatch.setattr(compare, "pixel_digests", lambda image: ("00",))
    with pytest.raises(ValueError, match=r"images must be those that .* got another as image 0"):
        attention_maps(run, answers, "digits")


def test_report_has_the_pairs_that_differ_alone(result):
    first, *rest = result.comparisons
    differing = msgspec.structs.replace(
        first, top1=msgspec.structs.replace(first.top1, holm=0.01), agreement=None
    )
    found = make_report([msgspec.structs.replace(result, comparisons=(differing, *rest))])
    (pairs,) = (each for each in found.tables if each.name == "pairs")
    wanted = [differing, *(each for each in rest if each.significant)]
    assert [row[2:4] for row in pairs.rows] == [(x.scheme_a, x.b.scheme) for x in wanted]
    assert pairs.rows[0][4:] == (
        *(first.top1.only_a, first.top1.only_b, first.top1.difference, 0.01),
        *(None,) * 4,
    )


def test_report_of_two_runs_has_a_name_for_each_part(result, answers):
    found = make_report([result, result], answers=[answers, answers])
    names = [each.name for each in (*found.sections, *found.tables, *found.pictures)]
    assert len(set(names)) == len(names)
    assert {"agreement-digits", "agreement-digits-2"} <= set(names)


def test_report_tables_are_csv_and_markdown_too():
    columns = {"name": TEXT, "points": "+.2f", "values": ",.0f"}
    table = Table("t", "T", columns, (("a|b", 0.126, 1234), ("c", None, 0)))
    assert table.csv() == "name,points,values\na|b,+0.13,1234\nc,,0\n"
    assert table.markdown() == (
        "| name | points | values |\n|---|--:|--:|\n| a\\|b | +0.13 | 1,234 |\n| c | \u2013 | 0 |\n"
    )


def test_report_pictures_are_files_for_a_paper(report, tmp_path):
    accuracy = report.pictures[0]
    for kind, first in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        content = accuracy.save(tmp_path, kind).read_bytes()
        assert content.startswith(first)
        assert b"CreationDate" not in content
        assert content == accuracy.save(tmp_path, kind).read_bytes()


def test_report_pgf_without_latex_is_refused_before_anything_is_written(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("shutil.which", lambda name: None)
    words = ["report", str(run.path), "--out", str(tmp_path / "page.html"), "--format", "svg,pgf"]
    assert main([*words, "--figures", str(tmp_path / "figures")]) == 2
    assert "format must be svg or pdf without pdflatex" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


#: Answers what matplotlib asks LaTeX: sizes of texts, and whether there is `includegraphics`.
LATEX = """#!{python}
import sys
for line in sys.stdin:
    if "pgf_backend_query_start" in line:
        print("\\n*pgf_backend_query_start", end="\\n*", flush=True)
    elif "includegraphics" in line or "typeout" in line:
        print("30.0pt,6.0pt,1.0pt", end="\\n\\n*", flush=True)
"""


def test_report_pgf_has_its_images_beside_it(tmp_path, monkeypatch):
    """With a stand-in for LaTeX."""
    latex = tmp_path / "bin" / "pdflatex"
    latex.parent.mkdir()
    latex.write_text(LATEX.format(python=sys.executable))
    latex.chmod(0o755)
    monkeypatch.setenv("PATH", str(latex.parent), prepend=os.pathsep)
    picture = Picture("map", "Map", "", "", lambda figure: figure.subplots().imshow([[0.0, 1.0]]))
    (tmp_path / "figures").mkdir()
    file = picture.save(tmp_path / "figures", "pgf")
    assert {each.name for each in file.parent.iterdir()} == {"map.pgf", "map-img0.png"}
    assert "{map-img0.png}" in file.read_text()


def test_report_sorts_with_the_script_that_was_published():
    folder = Path(package.__file__).parent / "tablesort"
    sums = re.findall(r"^(\w{64})  (\S+)$", (folder / "ORIGIN.md").read_text(), re.MULTILINE)
    assert {name for _, name in sums} == {each.name for each in folder.iterdir()} - {"ORIGIN.md"}
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.long
@needs_chromium
def test_report_draws_sorts_and_filters_in_a_browser(page, report, result, tmp_path):
    found = probed(tmp_path / "report.html", page, PROBE)
    assert found["drawn"] == [True] * len(report.pictures)
    top1 = sorted(f"{cell.top1.percent:.2f}" for cell in result.cells)
    assert found["up"] == sorted(top1, key=float)
    assert found["down"] == found["up"][::-1]
    assert found["left"] == 1


@pytest.mark.long
@needs_axe
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", [(), ("--force-dark-mode",), ("--window-size=390,844",)])
def test_report_is_accessible(page, tmp_path, options):
    assert broken_rules(tmp_path / "report.html", page, *options) == []
    spoilt = page.replace("<main>", '<main><img src="#"><p style="color: #bbb">pale</p>', 1)
    found = broken_rules(tmp_path / "spoilt.html", spoilt, *options)
    assert "image-alt" in {rule for rule, _ in found}


def test_result_follows_its_published_schema(run):
    path = next(path for path in SCHEMAS if path.name == "result.schema.json")
    schema = json.loads(SCHEMAS[path]())
    content = json.loads(run.result_file.read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(content)) == []
    content["cells"][0]["top1"]["percent"] = 101.0
    assert len(list(validator.iter_errors(content))) == 1


def with_top1(cell, hits, published=None):
    return msgspec.structs.replace(cell, top1=Share.of(hits, cell.images), published_top1=published)


def test_report_latex_has_models_as_columns_and_the_best_in_bold(result):
    """Hits of eight images by cell: means and sample deviations by hand."""
    hits = {"unquantized": (8,), "integer-F3": (4, 6), "integer-F5": (7, 7)}
    hits |= {"Sqrt2_17-float": (5, 5), "BitLog2_Half_17-float": (5, 5)}
    left = {name: list(each) for name, each in hits.items()}
    cells = []
    for cell in result.cells:
        coarse = dict(cell.quantization.datapath if cell.quantization else ()).get("fraction_bits")
        how = cell.quantization
        name = "unquantized" if how is None else f"{how.scheme}-{how.arithmetic}"
        name = f"integer-F{coarse}" if coarse else name
        cells.append(with_top1(cell, left[name].pop(0), 99.5 if how is None else None))
    table = latex_table([msgspec.structs.replace(result, cells=tuple(cells))])
    assert table.splitlines() == [
        r"\begin{tabular}{lllrrr}",
        r"\toprule",
        r"scheme & arithmetic & bits & digits & published & seeds \\",
        r"\midrule",
        r"unquantized & float32 &  & $100.00$ & 99.50 & -- \\",
        r"\midrule",
        r"BitLog2\_Half\_17 F3 & integer & W4A4 & $62.50 \pm 17.68$ & -- & 2 \\",
        r"BitLog2\_Half\_17 F5 & integer & W4A4 & $\mathbf{87.50} \pm 0.00$ & -- & 2 \\",
        r"\midrule",
        r"BitLog2\_Half\_17 & float & W4A4 & $\mathbf{62.50} \pm 0.00$ & -- & 2 \\",
        r"Sqrt2\_17 & float & W4A4 & $\mathbf{62.50} \pm 0.00$ & -- & 2 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_report_latex_escapes_names():
    assert escaped(r"timm:a_b,c=50%\x") == r"timm:a\_b,c=50\%\textbackslash{}x"


def test_report_command_writes_page_figures_and_tables(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Picture, "svg", lambda picture: "")
    monkeypatch.setattr(
        Picture, "_drawn", lambda picture, kind: {f"{picture.name}.{kind}": kind.encode()}
    )
    page, table = tmp_path / "r.html", tmp_path / "t.tex"
    words = ["report", str(run.path), "--out", str(page), "--latex", str(table)]
    words += ["--figures", str(tmp_path / "figures"), "--format", "pdf,svg"]
    assert main([*words, "--tables", str(tmp_path / "tables")]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "Mutation of the reference RTL" not in page.read_text()
    assert table.read_text().startswith(r"\begin{tabular}")
    found = report_of({run.path: read_result(run.path)}, mutation=True)
    names = {f"{each.name}.{kind}" for each in found.pictures for kind in ("pdf", "svg")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    tables = [each for each in found.tables if each.name != "mutation"]
    assert len(tables) == len(found.tables) - 1
    names = {f"{each.name}.{kind}" for each in tables for kind in ("csv", "md")}
    assert {path.name for path in (tmp_path / "tables").iterdir()} == names


def test_report_csv_holds_the_agreement_with_attention(tmp_path_factory, tmp_path):
    """Sqrt2 has a float form alone; predictions are those of the journals."""
    request = msgspec.structs.replace(
        REQUEST,
        arithmetics=("float", "attention", "integer"),
        datapaths=((),),
        seeds=(0,),
        limit=8,
        check="none",
        watermarks=False,
        statistics=False,
    )
    folder, table = run_once(tmp_path_factory, "report_csv", request), tmp_path / "table.csv"
    assert main(["report", str(folder.path), "--csv", str(table)]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    named = [(row["scheme"], row["arithmetic"]) for row in rows]
    schemes = [("BitLog2_Half_17", each) for each in ("float", "attention", "integer")]
    assert named == [schemes[0], ("Sqrt2_17", "float"), *schemes[1:]]
    cells = folder.request.cells()
    top1 = {cell: CellAnswers(folder, cell).top1 for cell in cells}
    for cell, row in zip(cells[1:], rows, strict=True):
        agrees = 100 * (top1[cell] == top1[cells[0]]).mean()
        assert float(row["agrees_unquantized"]) == pytest.approx(agrees, abs=0.01)
        if cell.scheme == "Sqrt2_17":
            assert row["agrees_attention"] == ""
        else:
            agrees = 100 * (top1[cell] == top1[cells[3]]).mean()
            assert float(row["agrees_attention"]) == pytest.approx(agrees, abs=0.01)


def test_report_pairs_are_of_the_answers_over_all_seeds(run, tmp_path):
    table = tmp_path / "pairs.csv"
    assert main(["report", str(run.path), "--pairs", str(table)]) == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    answers = {}
    for cell in run.request.cells():
        if cell.spec is None or cell.spec.arithmetic == "float":
            answers.setdefault(cell.scheme, []).append(CellAnswers(run, cell))
    labels, first = answers["unquantized"][0].labels, answers["unquantized"][0].top1
    for measure, wanted in (("top-1", labels), ("agreement", first)):
        (row,) = (
            each
            for each in rows
            if (each["a"], each["b"], each["arithmetic"], each["measure"])
            == ("BitLog2_Half_17", "Sqrt2_17", "float", measure)
        )
        a, b = (np.stack([x.top1 for x in answers[row[n]]]) == wanted for n in "ab")
        assert (int(row["seeds"]), a.shape) == (2, (2, 8))
        assert int(row["only_a"]) == (a & ~b).sum()
        assert int(row["only_b"]) == (b & ~a).sum()
        assert float(row["difference"]) == pytest.approx(100 * (a.mean() - b.mean()), abs=1e-3)


def test_report_without_a_file_is_refused(run, capsys):
    assert main(["report", str(run.path)]) == 2
    assert "--out, --figures, --tables, --latex, --csv or --pairs" in capsys.readouterr().err
    assert main(["report", str(run.path), "--latex", "t.tex", "--format", "pdf"]) == 2
    assert "--format must be left out without --figures" in capsys.readouterr().err
    assert main(["report", str(run.path), "--latex", "t.tex", "--map", "0,0,0"]) == 2
    assert "--map must be left out without --out or --figures" in capsys.readouterr().err


def write(folder, content):
    """Write a result with the digest of what it now holds."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    sealed = {**rest, "sha256": digest_of(rest)}
    (folder / "result.json").write_text(json.dumps(sealed))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("percent", "ninety", "cells[0].top1.percent must be a number from 0 to 100, got 'ninety'"),
        ("hits", 10**12, "cells[0].top1: hits must be from 0 to 8, the total, got 1000000000000"),
        (None, None, "must be as it was written"),
    ],
    ids=["kind", "range", "edited"],
)
def test_report_of_a_damaged_result_is_one_error(run, tmp_path, capsys, name, value, message):
    """Sealed anew; or, edited, under its old seal."""
    content = json.loads(run.result_file.read_bytes())
    if name is None:
        text = run.result_file.read_text().replace('"seed": 0', '"seed": 3', 1)
        (tmp_path / "result.json").write_text(text)
    else:
        content["cells"][0]["top1"][name] = value
        write(tmp_path, content)
    (tmp_path / "out.html").write_text("old")
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out.html")]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "out.html").read_text() == "old"


def test_compare_of_a_run_with_itself_finds_nothing(run, capsys):
    assert main(["compare", str(run.path), str(run.path)]) == 0
    assert "0 predictions changed" in capsys.readouterr().out


@pytest.fixture(scope="module")
def two_cells(run):
    """The command that compares two cells whose datapaths differ."""
    coarse = next(cell.name for cell in run.request.cells() if "-F3" in cell.name)
    words = ["compare", str(run.path), str(run.path)]
    return [*words, "--cell", coarse, coarse.replace("-F3", "-F5")]


def test_compare_names_where_two_datapaths_part(two_cells, capsys):
    assert main(two_cells) == 1
    out = capsys.readouterr().out
    assert "attention registers DIFFERENT" in out
    place = r"layer steps\.1\.attention attention_row, t group 0 row 0 key or channel \d+"
    assert re.search(rf"image 0 parts first at {place}: -?\d+ and -?\d+", out)


def test_compare_on_another_image_is_refused(two_cells, capsys, monkeypatch):
    monkeypatch.setattr(compare, "pixel_digests", lambda image: ("00",))
    assert main(two_cells) == 2
    assert "got another as image" in capsys.readouterr().err


def test_sweep_rows_say_what_each_datapath_costs(result):
    rows = sweep_rows(result)
    assert {row.fraction_bits for row in rows} == {3, 5}
    assert len(rows) == 4
    coarse, fine = (
        next(row for row in rows if row.fraction_bits == bits and row.seed == 0) for bits in (3, 5)
    )
    assert coarse.changed_levels > fine.changed_levels > 0
    assert coarse.output_error > fine.output_error > 0
    assert coarse.register_bits < fine.register_bits
    assert rows_csv(rows).count("\n") == 5


def test_sweep_front_holds_what_nothing_beats():
    assert front([(1, 5), (2, 3), (3, 3), (3, 1), (4, 4)]) == [0, 1, 3]


def test_result_wilson_interval_is_the_textbook_one():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    low, high = Share.of(81, 263).wilson95
    assert (round(low / 100, 4), round(high / 100, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(0, 20, 0.0, 16.11), (20, 20, 83.89, 100.0)]
)
def test_result_wilson_interval_at_the_ends(hits, total, low, high):
    share = Share.of(hits, total)
    assert share.wilson95 == pytest.approx((low, high), abs=0.005)
    assert share.percent == 100 * hits / total
