"""The report of runs: sections of tables and figures, and the one page that holds all of them."""

import shlex
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TypeVar

import jinja2

from ..naming import file_name
from ..ptq.quantize import QuantizationSpec
from ..runs.request import SHORT_NAMES
from ..runs.result import CellAnswers, CellResult, Result, by_quantization, significance
from ..runs.sweep import WIDTHS, SweepRow, sweep_rows
from .answers import answer_tables, confusions
from .drawing import COLOURS, Picture, require_format
from .figures import accuracy, errors, full_label, histograms, pareto, ranges, transfer_curves
from .tables import CODE, TEXT, Table, Value

_HERE = Path(__file__).parent
#: What sorts tables, as it was published: ORIGIN.md there.
_SORTING = _HERE / "tablesort"
_SCRIPTS = {
    "sorting": "tablesort.min.js",
    "numbers": "tablesort.number.min.js",
    "licence": "LICENCE",
}
#: Rows from which a table is folded, and from which it can be filtered.
_LONG, _FILTERED = 24, 9


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name, title: its place in the page, and its heading.
        note: what must be known to read it.
        sentences: what it says in words.
        tables, pictures: what it shows.
        shown: so many of its tables and of its pictures are unfolded.
    """

    name: str
    title: str
    note: str = ""
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    shown: int = 2


_Named = TypeVar("_Named", Section, Table, Picture)


@dataclass(frozen=True)
class Report:
    """Tables and figures of some runs.

    Attributes:
        models: names of the models.
        facts: (value, what it is) of the summary.
        warnings: why figures are not to be taken as they stand.
        sections: the parts, in their order.
    """

    models: Sequence[str]
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    sections: Sequence[Section] = field(repr=False)

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [table for section in self.sections for table in section.tables]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [picture for section in self.sections for picture in section.pictures]

    def page(self) -> str:
        """Return the page: HTML that needs nothing else; the same runs give the same bytes."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("page.html.jinja").render(
            report=self,
            colours=COLOURS,
            plain=(TEXT, CODE),
            code=CODE,
            long=_LONG,
            filtered=_FILTERED,
            **{name: (_SORTING / file).read_text("utf-8") for name, file in _SCRIPTS.items()},
        )

    def save_figures(self, folder: Path, kinds: Sequence[str]) -> list[Path]:
        """Write every figure in each form; return the paths.

        Raises:
            ValueError, OSError: as `Picture.save`, or the folder cannot be made.
        """
        for kind in kinds:
            require_format(kind)
        folder.mkdir(parents=True, exist_ok=True)
        return [picture.save(folder, kind) for picture in self.pictures for kind in kinds]

    def save_tables(self, folder: Path) -> list[Path]:
        """Write every table as CSV and as Markdown; return the paths.

        Raises:
            OSError: a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return [path for table in self.tables for path in table.save(folder)]


def make_report(
    results: Sequence[Result],
    evidence: Sequence[Table] = (),
    gates: Mapping[str, int] | None = None,
    answers: Sequence[Sequence[CellAnswers]] = (),
    host: str = "",
    maps: Sequence[Picture] = (),
) -> Report:
    """Return the report of one or more results.

    Args:
        results: results of runs.
        evidence: tables on the vectors (coverage, mutation), where there are any.
        gates: gates by name of the cell, where a sweep counted them.
        answers: those of all cells of each run, where its journals are there.
        host: the machine that draws it, in words.
        maps: figures of attention maps, as `attention_maps` returns them.
    """
    cells = [cell for result in results for cell in result.cells]
    models = list(dict.fromkeys(cell.model for cell in cells))
    sections = (
        _accuracy(cells, models),
        _pairs(results),
        Section(
            "answers",
            "Agreement and confusion",
            tables=[table for each in answers for table in answer_tables(each)],
            pictures=[picture for each in answers for picture in confusions(each)],
            shown=1,
        ),
        _maps(cells, models, maps),
        *_sweeps(results, gates),
        _ranges(cells),
        Section("evidence", "Vectors and reference RTL", tables=evidence),
        _origin(results, host),
    )
    return Report(
        models=models,
        facts=_facts(results, cells, models),
        warnings=[each for result in results for each in result.warnings],
        sections=_apart(
            each for each in sections if each.tables or each.pictures or each.sentences
        ),
    )


def _apart(sections: Iterable[Section]) -> list[Section]:
    """Return sections that hold something, each part under a name of its own."""
    seen: Counter[str] = Counter()

    def named(each: _Named) -> _Named:
        seen[each.name] += 1
        again = seen[each.name] > 1
        return replace(each, name=f"{each.name}-{seen[each.name]}") if again else each

    found = []
    for each in sections:
        if each.tables or each.pictures or each.sentences:
            tables, pictures = [*map(named, each.tables)], [*map(named, each.pictures)]
            found.append(replace(named(each), tables=tables, pictures=pictures))
    return found


def _about(result: Result) -> str:
    """Return what a run was, and the versions that it began with."""
    request, versions = result.request, result.versions
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    images = f"{result.cells[0].images:,} images, {request.calibration_images} to calibrate"
    return f"{', '.join(request.models)}: {images}; check {request.check}; {named}."


def _facts(
    results: Sequence[Result], cells: Sequence[CellResult], models: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the figures of the summary."""
    found = []
    groups = by_quantization(cells)
    for model in models:
        known = {how: members for (name, how), members in groups.items() if name == model}
        means = {how: fmean(x.top1.percent for x in members) for how, members in known.items()}
        if None in means:
            found.append((f"{means[None]:.2f} %", f"top-1 of {model}, unquantized"))
        quantized = {how: mean for how, mean in means.items() if how is not None}
        if quantized:
            best = max(quantized, key=lambda how: quantized[how])
            seeds = f", mean of {len(known[best])} seeds" * (len(known[best]) > 1)
            label = full_label(known[best][0])
            found.append((f"{quantized[best]:.2f} %", f"best quantized: {label}{seeds}"))
    checks = [cell.check for cell in cells if cell.check is not None]
    if checks:
        wrong = sum(check.total_mismatched for check in checks)
        compared = sum(check.total_compared for check in checks)
        found.append((f"{wrong:,}", f"mismatches in {compared:,} values of registers compared"))
    pairs = [pair for result in results for pair in result.comparisons]
    if pairs:
        differing = sum(pair.significant for pair in pairs)
        found.append((f"{differing} of {len(pairs)}", "pairs that differ significantly"))
    return [*found, (f"{len(cells)}", "cells: models, quantizations and seeds")]


def _accuracy(cells: Sequence[CellResult], models: Sequence[str]) -> Section:
    return Section(
        "accuracy",
        "Accuracy",
        tables=(_quantizations(cells), _cells(cells)),
        pictures=[accuracy(cells, model) for model in models],
        shown=1,
    )


def _quantizations(cells: Sequence[CellResult]) -> Table:
    """Return a row per quantization, over its seeds."""
    columns = {
        **dict.fromkeys(("model", "quantization"), TEXT),
        **{"seeds": ".0f", "top-1 %": ".2f", "least": ".2f", "most": ".2f"},
        **{"standard deviation": ".2f", "agrees %": ".2f", "map bits": ".0f"},
    }
    published = any(cell.published_top1 is not None for cell in cells)
    columns |= {"published": ".2f"} if published else {}
    rows = []
    for members in by_quantization(cells).values():
        first, top1 = members[0], [cell.top1.percent for cell in members]
        agreeing = [x.agreement_with_unquantized for x in members]
        shares = [share.percent for share in agreeing if share is not None]
        spread = (min(top1), max(top1), stdev(top1)) if len(top1) > 1 else (None,) * 3
        rows.append(
            (
                *(first.model, full_label(first)),
                None if first.seed is None else len(members),
                fmean(top1),
                *spread,
                fmean(shares) if shares else None,
                first.map_bits,
                *([first.published_top1] if published else []),
            )
        )
    note = (
        "Agrees: images on which quantized and unquantized model give the same class. Map bits: "
        "storage of one attention value, a zero flag counted."
    )
    if published:
        note += " Published: figures of published tables, one calibration seed, not measured here."
    return Table("quantizations", "Quantizations, over their seeds", columns, tuple(rows), note)


def _cells(cells: Sequence[CellResult]) -> Table:
    """Return a row per cell."""
    columns = {
        "cell": TEXT,
        **{"top-1 %": ".2f", "from": ".2f", "to": ".2f", "top-5 %": ".2f", "agrees %": ".2f"},
        **{"values compared": ",.0f", "mismatches": ",.0f"},
    }
    rows, bad = [], []
    for number, cell in enumerate(cells):
        agreeing, check = cell.agreement_with_unquantized, cell.check
        rows.append(
            (
                *(cell.name, cell.top1.percent, *cell.top1.wilson95, cell.top5.percent),
                None if agreeing is None else agreeing.percent,
                None if check is None else check.total_compared,
                None if check is None else check.total_mismatched,
            )
        )
        if check is not None and not check.passed:
            bad.append((number, len(columns) - 1))
    note = "From, to: Wilson 95 % interval of the images."
    return Table("cells", "Cells", columns, tuple(rows), note, bad)


def _pairs(results: Sequence[Result]) -> Section:
    note = (
        "On the same images, over all seeds: images that one of two quantizations alone gets "
        "right. McNemar's exact test, with several seeds clustered by image, two-sided, p after "
        "Holm's correction for all pairs of one arithmetic and bits. The table has the pairs whose "
        "top-1 or agreement differs with p below 5 %."
    )
    measures = [f"{m}: {x}" for m in ("top-1", "agreement") for x in ("only a", "only b")]
    forms = dict.fromkeys(("model", "arithmetic", "a", "b"), TEXT)
    for place, measure in enumerate(("top-1", "agreement")):
        forms |= dict.fromkeys(measures[2 * place : 2 * place + 2], ".0f")
        forms |= {f"{measure}: points": "+.2f", f"{measure}: p": ".2g"}
    rows = []
    for pair in (x for result in results for x in result.comparisons if x.significant):
        how = f"{pair.b.arithmetic}, {pair.b.form}"
        row: list[Value] = [pair.model, how, pair.scheme_a, pair.b.scheme]
        for paired in (pair.top1, pair.agreement):
            if paired is None:
                row += [None] * 4
            else:
                row += [paired.only_a, paired.only_b, paired.difference, paired.holm]
        rows.append(tuple(row))
    table = Table("pairs", "Pairs that differ", forms, tuple(rows))
    sentences = [each for result in results for each in significance(result.comparisons)]
    tables = (table,) if rows else ()
    return Section("comparisons", "Paired comparisons", note * bool(sentences), sentences, tables)


def _maps(cells: Sequence[CellResult], models: Sequence[str], maps: Sequence[Picture]) -> Section:
    """Return what codes make of attention maps; histograms once for all arithmetics."""
    distinct = _first_of(cells, lambda how: (how.scheme, how.form))
    drawn = [picture for cell in distinct if (picture := histograms(cell))]
    by_layer = [picture for model in models for picture in errors(cells, model)]
    note = "Maps and histograms: of each scheme and bits, of the first cell that has them."
    return Section(
        "maps",
        "Attention maps before and after coding",
        note,
        pictures=[*maps, *by_layer, transfer_curves(), *drawn],
        shown=len(maps) + len(by_layer),
    )


def _sweeps(results: Sequence[Result], gates: Mapping[str, int] | None) -> list[Section]:
    note = (
        "Levels changed: those that an exact softmax of the same scores gives otherwise; output "
        "error: what this does to the accumulators. Register bits: of one key's lane; map bits: "
        "storage of one attention value, the zero flag counted; gates: of one key's lane and an "
        "output channel, where they were counted."
    )
    found = []
    for result in results:
        rows = sweep_rows(result, gates)
        if len(rows) > 1 and _varies(rows):
            name = file_name(f"sweep-{rows[0].model}")
            tables, title = (_sweep(name, rows),), f"Sweep of {rows[0].model}"
            found.append(Section(name, title, note, tables=tables, pictures=(pareto(rows),)))
    return found


#: Heads of a sweep -> field of its rows, and format.
_SWEEP = {
    "scheme": ("scheme", TEXT),
    **{"F": ("fraction_bits", ".0f"), "P": ("table_bits", ".0f"), "t bits": ("t_bits", ".0f")},
    **{"seed": ("seed", ".0f"), "top-1 %": ("top1", ".2f")},
    **{"levels changed %": ("changed_levels", ".3f"), "output error %": ("output_error", ".3f")},
    **{"map error %": ("map_error", ".2f"), "attention error %": ("attention_error", ".2f")},
    **{"register bits": ("register_bits", ".0f"), "map bits": ("storage_bits", ".0f")},
    "gates": ("gates", ",.0f"),
}


def _sweep(name: str, rows: Sequence[SweepRow]) -> Table:
    columns = {head: form for head, (_, form) in _SWEEP.items()}
    values = (tuple(getattr(row, each) for each, _ in _SWEEP.values()) for row in rows)
    return Table(f"{name}-rows", "Datapaths", columns, tuple(values))


def _varies(rows: Sequence[SweepRow]) -> bool:
    """Whether the datapaths differ in more than scheme and seed."""
    return len({tuple(getattr(row, name) for name in WIDTHS) for row in rows}) > 1


def _ranges(cells: Sequence[CellResult]) -> Section:
    """Return ranges of registers: a table per quantization, a figure per scheme and bits."""
    columns = {
        "register": TEXT,
        **dict.fromkeys(("smallest", "largest"), ",.0f"),
        **{"bits used": ".0f", "bits provided": ".0f", "saturated": ",.0f"},
    }
    tables = []
    for cell in _first_of(cells, lambda how: how):
        rows = [
            (name, m.smallest, m.largest, m.bits_used, m.bits_provided, m.saturated)
            for name, m in cell.overall_marks().items()
        ]
        if rows:
            title = f"Watermarks over all layers, {cell.name}"
            tables.append(Table(file_name(f"watermarks-{cell.name}"), title, columns, tuple(rows)))
    marked = [cell for cell in cells if cell.watermarks]
    distinct = _first_of(marked, lambda how: (how.scheme, how.form))
    pictures = [picture for cell in distinct if (picture := ranges(cell))]
    title = "Ranges of registers against their widths"
    note = "Figures: of each scheme and bits, of the first cell that has watermarks."
    return Section("ranges", title, note, tables=tables, pictures=pictures, shown=1)


def _origin(results: Sequence[Result], host: str) -> Section:
    note = (
        "Digests: SHA-256 of the pixels as the models get them, of the attention registers (levels "
        "and output codes, or all: as the run was asked) and of the int32 logits of a whole "
        "network in integers, as bitlog2 run gives it. Two runs of one cell with the same digests "
        "computed the same."
    )
    commands = tuple((x.name, _command(result, x)) for result in results for x in result.cells)
    tables = (
        Table(
            "commands", "Commands that repeat each cell", {"cell": TEXT, "command": CODE}, commands
        ),
        Table("digests", "Digests", {"of": TEXT, "SHA-256": CODE}, tuple(_digests(results))),
    )
    drawn = [f"Drawn on {host}."] if host else []
    sentences = [*map(_about, results), *drawn]
    return Section("origin", "Runs, digests and commands", note, sentences, tables, shown=0)


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
    cells: Sequence[CellResult], kind: Callable[[QuantizationSpec], Hashable]
) -> list[CellResult]:
    """Return the first cell of each model and kind of quantization."""
    found: dict[tuple[str, Hashable], CellResult] = {}
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
