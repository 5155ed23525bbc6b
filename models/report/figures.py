"""Figures of the report."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from bitlog2.sim import SCHEMES, Scheme
from bitlog2.sim.scheme import scheme_label

from ..naming import file_name
from ..ptq.quantizers import Sqrt2Map
from ..runs.request import SHORT_NAMES
from ..runs.result import CellResult, by_quantization
from ..runs.sweep import SweepRow, front
from ..watch.layer_statistics import OCTAVES, LayerStatistics
from .drawing import FAINT, INK, NARROW, SERIES, Picture, colour_of, shows


def pareto(rows: Sequence[SweepRow]) -> Picture:
    """Return error against cost of a sweep's rows, the front joined by a line.

    Costs are register bits and, where every row has them, gates.
    """
    costs = [([row.register_bits for row in rows], "register bits of a lane")]
    gates = [row.gates for row in rows if row.gates is not None]
    if len(gates) == len(rows):
        costs.append((gates, "gates of a lane"))

    errors = (
        ([row.output_error for row in rows], "error of the attention output, %"),
        ([100.0 - row.top1 for row in rows], "top-1 error, %"),
    )

    def paint(figure: Figure) -> None:
        figure.set_size_inches(8, 3.1 * len(costs))
        panels = figure.subplots(len(costs), 2, squeeze=False)
        for line, (cost, cost_name) in zip(panels, costs, strict=True):
            for panel, (error, error_name) in zip(line, errors, strict=True):
                _points(panel, rows, cost, error)
                panel.set_xlabel(cost_name)
                panel.set_ylabel(error_name)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)

    caption = (
        "Down and to the left is better; the line joins, by name, what no other choice beats in "
        "both. Error of the attention output: what the hardware's softmax changes in the "
        "accumulators against an exact one of the same scores and code, on the calibration images. "
        "Top-1: on the images of the run, without its interval."
    )
    model = rows[0].model
    alt = f"{len(rows)} datapaths, errors against costs; the table of the sweep has the values."
    title = f"What a choice costs and brings, {model}"
    return Picture(file_name(f"pareto-{model}"), title, caption, alt, paint)


def _points(
    panel: Axes, rows: Sequence[SweepRow], cost: Sequence[int], error: Sequence[float]
) -> None:
    points = [(float(x), y) for x, y in zip(cost, error, strict=True)]
    best = set(front(points))
    line = sorted(points[i] for i in best)
    panel.plot(*zip(*line, strict=True), color=INK, linewidth=0.8, linestyle="--")
    seen: set[str] = set()
    for i, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
        name = scheme_label(row.scheme)
        label = "_nolegend_" if row.scheme in seen else name
        seen.add(row.scheme)
        widths = f"F{row.fraction_bits} P{row.table_bits}"
        (dot,) = panel.plot(x, y, "o", color=colour_of(row.scheme), markersize=5, label=label)
        shows(dot, f"{name} {widths}, seed {row.seed}: {x:,.0f}, {y:.3f} %")
        if i not in best:
            continue
        panel.annotate(widths, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    panel.margins(x=0.12, y=0.12)


#: Layers whose histograms are drawn: the first, the last and some between.
_HISTOGRAMS = 6
#: Marks of seeds, in their order.
_MARKS = "os^vDPX*"


def label_of(cell: CellResult) -> str:
    """Return scheme, arithmetic and bits of a cell in a few words."""
    how = cell.quantization
    if how is None:
        return "unquantized"
    return f"{scheme_label(how.scheme)}, {how.arithmetic} {how.form}".removesuffix(" W4A4")


def full_label(cell: CellResult) -> str:
    """Return the label with what the datapath is built with, where that was varied."""
    datapath = () if cell.quantization is None else cell.quantization.datapath
    return label_of(cell) + "".join(f" {SHORT_NAMES.get(name, name)}{n}" for name, n in datapath)


def accuracy(cells: Sequence[CellResult], model: str) -> Picture:
    """Return top-1 of a model's cells, a mark per seed, with intervals and published figures."""
    groups = [members for members in by_quantization(cells).values() if members[0].model == model]
    labels = [full_label(members[0]) for members in groups]
    seeds = sorted({cell.seed for members in groups for cell in members if cell.seed is not None})

    def paint(figure: Figure) -> None:
        figure.set_size_inches(NARROW, 0.9 + 0.3 * len(labels))
        axes = figure.subplots()
        for line, members in enumerate(groups):
            for place, cell in enumerate(members):
                y = line + 0.6 * ((place + 0.5) / len(members) - 0.5)
                _interval(axes, cell, y, seeds)
            if (published := members[0].published_top1) is not None:
                axes.plot(published, line, "D", markersize=8, mfc="none", mec=INK)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("top-1, %")
        if len(seeds) > 1:
            for number, seed in enumerate(seeds):
                axes.plot([], [], _mark(number), color=INK, markersize=4, label=f"seed {seed}")
            figure.legend(loc="outside lower center", ncols=len(seeds))

    caption = (
        "Mark: measured, a form per seed; line: Wilson 95 % interval of the images. Hollow "
        "diamond: published, where there is one."
    )
    means = {
        label: fmean(x.top1.percent for x in g) for label, g in zip(labels, groups, strict=True)
    }
    alt = f"Means: {', '.join(f'{label} {mean:.2f} %' for label, mean in means.items())}."
    return Picture(file_name(f"accuracy-{model}"), f"Accuracy of {model}", caption, alt, paint)


def _mark(number: int) -> str:
    return _MARKS[number % len(_MARKS)]


def _interval(axes: Axes, cell: CellResult, y: float, seeds: Sequence[int]) -> None:
    """Draw a cell's interval and its mark, which shows both."""
    (low, high), colour = cell.top1.wilson95, colour_of(cell.scheme)
    axes.plot([low, high], [y, y], color=colour, linewidth=1.2)
    mark = _mark(0 if cell.seed is None else seeds.index(cell.seed))
    (dot,) = axes.plot(cell.top1.percent, y, mark, color=colour, markersize=4)
    seed = "" if cell.seed is None else f", seed {cell.seed}"
    top1 = f"{cell.top1.percent:.2f} % [{low:.2f}, {high:.2f}]"
    shows(dot, f"{full_label(cell)}{seed}: {top1}")


def _staircase(scheme: Scheme) -> Iterator[tuple[float, float]]:
    """Yield the corners of a scheme's staircase: share before, and after at delta = A."""
    values = [*scheme.values, scheme.int_max]
    for value, following in pairwise(values):
        yield value / scheme.int_max, value / scheme.int_max
        yield following / scheme.int_max, value / scheme.int_max


def _curves(family: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each scheme of a family, and its curve: x and y."""
    for name, scheme in SCHEMES.items():
        if family in name:
            x, y = zip(*_staircase(scheme), strict=True)
            yield name, x, y
    if family == "Sqrt2":
        shares = torch.logspace(-16, 0, 4097, 2, dtype=torch.float64).float()
        for levels in (16, 17):
            code = Sqrt2Map(4, seventeen=levels == 17)
            code.delta.fill_(1.0)
            decoded = code(shares)
            corners = (decoded.diff() != 0).nonzero().flatten()
            kept = sorted({0, len(shares) - 1, *corners.tolist(), *(corners + 1).tolist()})
            yield f"Sqrt2_{levels}", shares[kept].tolist(), decoded[kept].tolist()


def transfer_curves() -> Picture:
    """Return what each scheme makes of a probability."""

    def paint(figure: Figure) -> None:
        figure.set_size_inches(8, 3.4)
        panels = figure.subplots(1, 3, sharey=True)
        for family, panel in zip(("Single", "Half", "Sqrt2"), panels, strict=True):
            for name, x, y in _curves(family):
                dashed = "--" if name.endswith("17") else "-"
                (line,) = panel.plot(x, y, dashed, color=colour_of(name), label=name, linewidth=1.3)
                shows(line, name)
            _octaves(panel)
            panel.legend(loc="upper left", fontsize=7)
        figure.supxlabel("probability", fontsize=9)
        figure.supylabel("decoded, delta = 1", fontsize=9)

    caption = (
        "Axes in powers of two; delta, the largest value, at 1. Dotted: the identity. The BitLog2 "
        "codes cut off, so that their curves lie below it, and the Sqrt2 codes round."
    )
    alt = "Staircases of the Single, Half and Sqrt2 codes along the identity."
    return Picture("transfer-curves", "Transfer curves", caption, alt, paint)


def _octaves(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(2**-16, 1)
    axes.set_ylim(2**-16, 1)
    axes.plot([2**-16, 1], [2**-16, 1], linestyle=":", color=INK, linewidth=0.7)


#: Fields of a layer's statistics -> what they are errors of, in a title, on the axis, in a caption.
_ERRORS = {
    "attention_error": (
        "attention output",
        "the attention output against that of the softmax of the same scores and codes of v",
    ),
    "error": ("attention map", "the decoded map against the softmax of the same scores"),
}


def errors(cells: Sequence[CellResult], model: str) -> list[Picture]:
    """Return the relative errors of the coded map and of the attention output by layer.

    A line per quantization, the mean of its seeds; no picture where no statistics were collected.
    """
    chosen = [
        cell
        for cell in cells
        if cell.model == model and cell.attention_map and cell.scheme != "none"
    ]
    return [_error(chosen, model, field) for field in _ERRORS if chosen]


def _error(chosen: list[CellResult], model: str, field: str) -> Picture:
    name, of_what = _ERRORS[field]
    lines = {
        full_label(members[0]): (
            members,
            np.array([[100 * getattr(x, field) ** 0.5 for x in in_order(c)] for c in members]),
        )
        for members in by_quantization(chosen).values()
    }

    def paint(figure: Figure) -> None:
        figure.set_size_inches(NARROW, 2.8 + 0.17 * -(-len(lines) // 2))
        axes = figure.subplots()
        for label, (members, error) in lines.items():
            how, colour = members[0].quantization, colour_of(members[0].scheme)
            dashed = "--" if how is not None and how.arithmetic == "float" else "-"
            mean, layers = error.mean(axis=0), range(error.shape[1])
            if len(members) > 1:
                axes.fill_between(
                    layers, error.min(axis=0), error.max(axis=0), color=colour, alpha=0.15
                )
            (line,) = axes.plot(
                layers, mean, dashed, color=colour, marker=".", linewidth=1.2, label=label
            )
            shows(line, f"{label}: {', '.join(f'{x:.1f}' for x in mean)} %")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("attention layer")
        axes.set_ylabel(f"relative error of the {name.removeprefix('attention ')}, %")
        figure.legend(loc="outside lower center", ncols=2, fontsize=7)

    caption = (
        f"Root of squared error over power of {of_what}, on the calibration images; mean of the "
        "seeds, between the least and the most of them; dashed: float arithmetic."
    )
    means = ", ".join(f"{label} {error.mean():.1f} %" for label, (_, error) in lines.items())
    title = f"Error of the {name} by layer, {model}"
    return Picture(
        file_name(f"{field}-{model}"), title, caption, f"Means over layers: {means}.", paint
    )


def in_order(cell: CellResult) -> list[LayerStatistics]:
    """Return the statistics of a cell's layers, numbers within names compared as numbers."""
    layers = cell.attention_map
    return [layers[name] for name in sorted(layers, key=number_key)]


def number_key(name: str) -> list[tuple[int, str]]:
    """Return what names of layers are sorted by: numbers as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def histograms(cell: CellResult) -> Picture | None:
    """Return the map of a cell before and after coding, some layers; None without any."""
    layers = cell.attention_map
    if not layers:
        return None
    names = sorted(layers, key=number_key)
    steps = np.linspace(0, len(names) - 1, min(_HISTOGRAMS, len(names))).round().astype(int)
    chosen = [names[i] for i in dict.fromkeys(steps.tolist())]
    edges = np.arange(-2 * OCTAVES - 1, 1) / 2

    def paint(figure: Figure) -> None:
        rows = -(-len(chosen) // 3)
        figure.set_size_inches(8, 2.2 * rows)
        axes = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
        for panel in axes.flat[len(chosen) :]:
            panel.set_visible(False)
        for name, panel in zip(chosen, axes.flat, strict=False):
            for key, colour, fill in (
                ("before", INK, False),
                ("after", colour_of(cell.scheme), True),
            ):
                counts = np.maximum(getattr(layers[name], key), 0.5)
                panel.stairs(counts, edges, color=colour, fill=fill, label=key)
            panel.set_yscale("log")
            panel.yaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_formatter("{x:.0e}")
            panel.set_title(name, fontsize=8)
        axes.flat[0].legend(loc="upper left", fontsize=7)
        figure.supxlabel("log2 of the value (leftmost: zero, or below)", fontsize=9)
        figure.supylabel("values", fontsize=9)

    caption = "Line: softmax before its code; filled: decoded values. Counts on a log axis."
    zeros, of_all = (sum(each.zeros[n] for each in layers.values()) for n in (0, 1))
    alt = f"{100 * zeros / of_all:.1f} % of the values are 0 after the code."
    return Picture(
        file_name(f"map-{cell.name}"), f"Attention map of {cell.name}", caption, alt, paint
    )


def ranges(cell: CellResult) -> Picture | None:
    """Return the range of every register by layer against its width; None without watermarks."""
    marks = cell.watermarks
    if not marks:
        return None
    layers = sorted(marks, key=number_key)
    overall = cell.overall_marks()
    names = list(overall)

    def paint(figure: Figure) -> None:
        figure.set_size_inches(NARROW, 0.9 + 0.28 * len(names))
        axes = figure.subplots()
        for line, name in enumerate(names):
            bits = overall[name].bits_provided
            low, high = (1 - bits, bits - 1) if cell.is_signed(name) else (0, bits)
            axes.barh(line, high - low, 0.86, low, color=FAINT)
            held = [layer for layer in layers if name in marks[layer]]
            for place, layer in enumerate(held):
                y = line + 0.8 * ((place + 0.5) / len(held) - 0.5)
                _range(axes, cell, layer, name, y)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("magnitude in bits, log2(1 + |x|); to the left of 0: negative values")

    caption = (
        "Grey: what the register provides; a line per layer, the first one highest: what it held "
        "between its smallest and its largest value. Orange: some of them saturated."
    )
    spare = min(names, key=lambda name: overall[name].bits_provided - overall[name].bits_used)
    tight = overall[spare]
    alt = f"The fullest is {spare}: {tight.bits_used} of {tight.bits_provided} bits."
    return Picture(
        f"ranges-{cell.name}", f"Ranges against widths, {cell.name}", caption, alt, paint
    )


def _range(axes: Axes, cell: CellResult, layer: str, name: str, y: float) -> None:
    """Draw what a register of a layer held."""
    assert cell.watermarks is not None
    mark = cell.watermarks[layer][name]
    ends = [math.copysign(math.log2(1 + abs(x)), x) for x in (mark.smallest, mark.largest)]
    colour = SERIES[4] if mark.saturated else SERIES[2]
    (line,) = axes.plot(ends, [y, y], color=colour, linewidth=1.6, marker="|", markersize=3)
    saturated = f", {mark.saturated:,} saturated" if mark.saturated else ""
    held = f"{mark.smallest:,} to {mark.largest:,}"
    bits = f"{mark.bits_used} of {mark.bits_provided} bits"
    shows(line, f"{name}, {layer}: {held}, {bits}{saturated}")
