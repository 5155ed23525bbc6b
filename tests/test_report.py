"""The report: one page that needs nothing else, and says what the result says."""

import base64
import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import jsonschema
import msgspec
import numpy as np
import pytest
from support.command import parsed
from support.evaluations import run_once

from bitlog2.flow.derived import SCHEMAS
from bitlog2.models.report import Evidence, figures, render_page
from bitlog2.models.runs import compare
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import CellAnswers, Share, latex_table, read_result
from bitlog2.models.runs.sweep import front, rows_csv, sweep_rows
from bitlog2.models.sealed import digest_of
from bitlog2.scripts.cli import main

REQUEST = EvaluationRequest(
    models=("digits",),
    schemes=("BitLog2_Half_17", "Sqrt2_17"),
    arithmetics=("integer", "float"),
    datapaths=((("fraction_bits", 3),), (("fraction_bits", 5),)),
    seeds=(0, 1),
    limit=16,
    batch_size=8,
    calibration_images=8,
    watermarks=True,
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
#: Writes into the title whether each picture was drawn.
PROBE = """<script>addEventListener("load", () => {
  document.title = "pictures " + [...document.images].map(i => i.naturalWidth > 100).join(" ");
});</script></body>"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_once(tmp_path_factory, "report", REQUEST)


@pytest.fixture(scope="module")
def result(run):
    return read_result(run.path)


@pytest.fixture(scope="module")
def page(result):
    return render_page([result], [Evidence("Mutation", ("module", "gaps"), (("exp2", "0"),))])


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.found, self.headings = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "srcset", "href")]


def test_report_needs_nothing_else(page):
    links = Links()
    links.feed(page)
    assert len(links.found) > 10
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links.found)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)


def test_report_shows_every_cell_and_its_command(page, result):
    for cell in result.cells:
        assert page.count(f"<td>{cell.name}</td>") >= 2
        assert f"{cell.top1.percent:.2f}" in page
    for title in ("Accuracy", "Transfer curves", "Watermarks", "Spread", "Mutation"):
        assert title in page


def test_report_commands_are_accepted(page):
    commands = re.findall(r"<code>bitlog2 (.*?)</code>", page)
    assert len(commands) == len(REQUEST.cells())
    for command in commands:
        assert callable(parsed(*command.split())[0])


def test_report_of_the_same_result_has_the_same_bytes(page, result):
    evidence = [Evidence("Mutation", ("module", "gaps"), (("exp2", "0"),))]
    assert render_page([result], evidence) == page


def test_report_pictures_have_the_colours_of_their_page(page):
    pictures = [base64.b64decode(each).decode() for each in re.findall(r"base64,([\w+/=]+)", page)]
    on_light, on_dark = (
        [theme.ground in each and theme.ink in each for each in pictures]
        for theme in (figures.LIGHT, figures.DARK)
    )
    assert len(pictures) > 10
    assert on_light == [not each for each in on_dark]
    assert sum(on_light) == len(pictures) / 2
    for dark, picture in zip(on_dark, pictures, strict=True):
        other = figures.LIGHT if dark else figures.DARK
        assert not any(colour in picture for colour in other.colours)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_opens_in_a_browser(page, tmp_path, scheme):
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", PROBE), encoding="utf-8")
    dark = ["--force-dark-mode"] if scheme == "dark" else []
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *dark]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run(
        [CHROMIUM, *options, "--virtual-time-budget=5000", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    title = re.search(r"<title>pictures (.*?)</title>", done.stdout)
    assert title is not None
    drawn = title[1].split()
    assert len(drawn) >= 6
    assert set(drawn) == {"true"}
    assert ":CONSOLE" not in done.stderr


def test_result_follows_its_published_schema(run):
    path = next(path for path in SCHEMAS if path.name == "result.schema.json")
    schema = json.loads(SCHEMAS[path]())
    content = json.loads(run.result_file.read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(content)) == []
    content["cells"][0]["top1"]["percent"] = 101.0
    assert len(list(validator.iter_errors(content))) == 1


def test_report_latex_has_a_line_a_cell(result):
    table = latex_table([result])
    assert table.count(r"\\") == len(result.cells) + 1
    assert r"BitLog2\_Half\_17" in table
    seeds = [line.split(" & ")[4] for line in table.splitlines() if line.endswith(r"\\")]
    assert seeds == ["seed", *("--" if c.seed is None else str(c.seed) for c in result.cells)]


def test_report_command_writes_page_and_table(run, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_svg", lambda paint: "")
    page, table = tmp_path / "r.html", tmp_path / "t.tex"
    assert main(["report", str(run.path), "--out", str(page), "--latex", str(table)]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert table.read_text().startswith(r"\begin{tabular}")


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
        assert (int(row["seeds"]), a.shape) == (2, (2, 16))
        assert int(row["only_a"]) == (a & ~b).sum()
        assert int(row["only_b"]) == (b & ~a).sum()
        assert float(row["difference"]) == pytest.approx(100 * (a.mean() - b.mean()), abs=1e-3)


def test_report_without_a_file_is_refused(run, capsys):
    assert main(["report", str(run.path)]) == 2
    assert "--out, --latex, --csv or --pairs FILE must be given" in capsys.readouterr().err


def write(folder, content):
    """Write a result with the digest of what it now holds."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    sealed = {**rest, "sha256": digest_of(rest)}
    (folder / "result.json").write_text(json.dumps(sealed))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("percent", "ninety", "cells[0].top1.percent must be a number from 0 to 100, got 'ninety'"),
        ("hits", 10**12, "cells[0].top1: hits must be from 0 to 16, the total, got 1000000000000"),
        (None, None, "must be as it was written"),
    ],
    ids=["kind", "range", "edited"],
)
def test_report_of_a_damaged_result_is_one_error(run, tmp_path, capsys, name, value, message):
    """Sealed anew; or, edited, under its old seal."""
    content = json.loads(run.result_file.read_bytes())
    if name is None:
        text = run.result_file.read_text().replace('"hits": 1', '"hits": 2', 1)
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
