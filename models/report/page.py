"""The page: tables and figures of runs in one HTML file that needs nothing else."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import msgspec

from ..ptq.quantize import QuantizationSpec
from ..runs.request import SHORT_NAMES
from ..runs.result import CellResult, Result, significance
from ..runs.sweep import WIDTHS, SweepRow, sweep_rows
from .figures import accuracy, errors, histograms, pareto, transfer_curves


@dataclass(frozen=True)
class Evidence:
    """A table on the vectors or the RTL.

    Attributes:
        title: title of the table.
        columns: heads.
        rows: texts, as many as heads.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def render_page(
    results: Sequence[Result],
    evidence: Sequence[Evidence] = (),
    gates: Mapping[str, int] | None = None,
) -> str:
    """Return the HTML of one or more results.

    Args:
        results: results of runs.
        evidence: tables on the vectors (coverage, mutation), where there are any.
        gates: gates by name of the cell, where a sweep counted them.

    The same results give the same bytes.
    """
    cells = [cell for result in results for cell in result.cells]
    models = list(dict.fromkeys(cell.model for cell in cells))
    pictures = [accuracy(cells, model) for model in models]
    pictures.append(transfer_curves())
    pictures += [picture for model in models for picture in errors(cells, model)]
    sweeps = [
        rows for result in results if len(rows := sweep_rows(result, gates)) > 1 and _varies(rows)
    ]
    pictures += [pareto(rows) for rows in sweeps]
    first_seeds = _first_of(cells, lambda how: how)
    distinct = _first_of(cells, lambda how: msgspec.structs.replace(how, datapath=()))
    pictures += [found for cell in distinct if (found := histograms(cell))]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        results=results,
        models=models,
        cells=cells,
        published=any(cell.published_top1 is not None for cell in cells),
        warnings=[each for result in results for each in result.warnings],
        pairs=[each for result in results for each in result.comparisons if each.significant],
        sentences=[each for result in results for each in significance(result.comparisons)],
        pictures=pictures,
        watermarks=[(c.name, marks) for c in first_seeds if (marks := c.overall_marks())],
        sweeps=sweeps,
        digests=_digests(results),
        commands=[
            (cell.name, _command(result, cell)) for result in results for cell in result.cells
        ],
        evidence=evidence,
    )


def _varies(rows: Sequence[SweepRow]) -> bool:
    """Whether the datapaths differ in more than scheme and seed."""
    return len({tuple(getattr(row, name) for name in WIDTHS) for row in rows}) > 1


def _digests(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return the name of each digest and the digest, pixels of each model first."""
    found: dict[tuple[str, str], None] = {}
    for result in results:
        for cell in result.cells:
            found[f"pixels, {cell.model}", cell.digests.pixels] = None
        for cell in result.cells:
            if cell.digests.registers:
                found[f"attention registers, {cell.name}", cell.digests.registers] = None
            if cell.digests.logits:
                found[f"logits, {cell.name}", cell.digests.logits] = None
    return list(found)


def _first_of(
    cells: list[CellResult], kind: Callable[[QuantizationSpec], QuantizationSpec]
) -> list[CellResult]:
    """Return the first cell of each model and kind of quantization."""
    found: dict[tuple[str, QuantizationSpec], CellResult] = {}
    for cell in cells:
        if (how := cell.quantization) is not None:
            found.setdefault((cell.model, kind(how)), cell)
    return list(found.values())


def _command(result: Result, cell: CellResult) -> str:
    """Return the command that evaluates a cell again."""
    request, how = result.request, cell.quantization
    if how is not None and how.datapath:
        words = ["bitlog2 sweep --run NEW_FOLDER", f"--model {shlex.quote(cell.model)}"]
        words.append(f"--arithmetic {how.arithmetic} --vary scheme={how.scheme}")
        words += [f"--vary {SHORT_NAMES.get(name, name)}={value}" for name, value in how.datapath]
        if (how.w_bits, how.a_bits) != (4, 4):
            words.append(f"--bits {how.w_bits}/{how.a_bits}")
        words.append(f"--calibration {how.calibration} --seed {cell.seed}")
    else:
        words = ["bitlog2 evaluate --run NEW_FOLDER", f"--models {shlex.quote(cell.model)}"]
        scheme, arithmetic = ("none", "float") if how is None else (how.scheme, how.arithmetic)
        words += [f"--schemes {scheme}", f"--arithmetic {arithmetic}"]
        if how is not None:
            words += [f"--bits {how.w_bits}/{how.a_bits}", f"--calibration {how.calibration}"]
            words.append(f"--seeds {cell.seed}")
    if cell.check is not None:
        words.append(f"--check {cell.check.mode}")
    words += [f"--batch-size {request.batch_size}", f"--threads {request.threads}"]
    if request.limit is not None:
        words.append(f"--limit {request.limit}")
    if request.data is not None:
        words.append(f"--data {request.data}")
    return " ".join(words)
