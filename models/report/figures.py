"""Figures of the report."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from typing import Any
from zlib import crc32

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bitlog2.names import MODEL_SCHEMES
from bitlog2.sim import SCHEMES, Scheme
from bitlog2.sim.scheme import scheme_label

from ..ptq.quantizers import Sqrt2Map
from ..runs.request import SHORT_NAMES
from ..runs.result import CellResult
from ..runs.sweep import SweepRow, front
from ..watch.layer_statistics import OCTAVES, LayerStatistics


@dataclass(frozen=True)
class Theme:
    """Colours of one kind of page.

    Attributes:
        ink: text and axes.
        faint: grid lines.
        ground: the page's background.
        series: colours of the schemes, in the order of `MODEL_SCHEMES`.
    """

    ink: str
    faint: str
    ground: str
    series: tuple[str, ...]

    @property
    def colours(self) -> tuple[str, ...]:
        """All of them, in this order."""
        return self.ink, self.faint, self.ground, *self.series


#: Okabe and Ito's palette, which people who see colours differently tell apart.
LIGHT = Theme(
    "#1b1f24",
    "#d8dee4",
    "#ffffff",
    ("#999999", "#666666", "#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#cc79a7", "#009e73"),
)
DARK = Theme(
    "#e6edf3",
    "#30363d",
    "#0d1117",
    ("#8b949e", "#b1bac4", "#3d9bd9", "#8ad0f5", "#f0803c", "#f2bb4a", "#e39cc4", "#33c79b"),
)
#: A colour of the light page.
_ON_LIGHT = re.compile("|".join(LIGHT.colours))


def colour_of(scheme: str) -> str:
    """Return the colour of a scheme on light; the unquantized model has that of the text."""
    if scheme == "unquantized":
        return LIGHT.ink
    known = scheme in MODEL_SCHEMES
    place = MODEL_SCHEMES.index(scheme) if known else crc32(scheme.encode())
    return LIGHT.series[place % len(LIGHT.series)]


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    Attributes:
        title, caption: texts above and below it.
        light, dark: data URIs of SVG files.
    """

    title: str
    caption: str
    light: str
    dark: str


def draw(title: str, caption: str, paint: Callable[[Figure], None]) -> Picture:
    """Return the picture that `paint` makes of an empty figure in the colours of `LIGHT`.

    It is drawn once; on dark it has the other colours. The same data gives the same bytes.
    """
    light = _svg(paint)
    dark = _ON_LIGHT.sub(lambda colour: DARK.colours[LIGHT.colours.index(colour[0])], light)
    return Picture(title, caption, _uri(light), _uri(dark))


def _uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _svg(paint: Callable[[Figure], None]) -> str:
    style: dict[Any, Any] = {
        "svg.hashsalt": "bitlog2",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": LIGHT.ink,
        "axes.edgecolor": LIGHT.ink,
        "axes.labelcolor": LIGHT.ink,
        "xtick.color": LIGHT.ink,
        "ytick.color": LIGHT.ink,
        "axes.facecolor": LIGHT.ground,
        "figure.facecolor": LIGHT.ground,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LIGHT.faint,
        "grid.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.labelcolor": LIGHT.ink,
    }
    with mpl.rc_context(style):
        figure = Figure(layout="constrained")
        paint(figure)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


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
    return draw(f"What a choice costs and brings, {rows[0].model}", caption, paint)


def _points(
    panel: Axes, rows: Sequence[SweepRow], cost: Sequence[int], error: Sequence[float]
) -> None:
    points = [(float(x), y) for x, y in zip(cost, error, strict=True)]
    best = set(front(points))
    line = sorted(points[i] for i in best)
    panel.plot(*zip(*line, strict=True), color=LIGHT.ink, linewidth=0.8, linestyle="--")
    seen: set[str] = set()
    for i, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
        label = "_nolegend_" if row.scheme in seen else scheme_label(row.scheme)
        seen.add(row.scheme)
        panel.plot(x, y, "o", color=colour_of(row.scheme), markersize=5, label=label)
        if i not in best:
            continue
        panel.annotate(
            f"F{row.fraction_bits} P{row.table_bits}",
            (x, y),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7,
        )
    panel.margins(x=0.12, y=0.12)


#: Layers whose histograms are drawn: the first, the last and some between.
_HISTOGRAMS = 6


def _label(cell: CellResult) -> str:
    how = cell.quantization
    if how is None:
        return "unquantized"
    return f"{scheme_label(how.scheme)}, {how.arithmetic} {how.form}".removesuffix(" W4A4")


def _full_label(cell: CellResult) -> str:
    """Return the label with what the datapath is built with, where that was varied."""
    datapath = () if cell.quantization is None else cell.quantization.datapath
    return _label(cell) + "".join(f" {SHORT_NAMES.get(name, name)}{n}" for name, n in datapath)


def accuracy(cells: list[CellResult], model: str) -> Picture:
    """Return top-1 of a model's cells with intervals, and the published figures."""
    chosen = [cell for cell in cells if cell.model == model]
    labels = list(dict.fromkeys(_full_label(cell) for cell in chosen))

    def paint(figure: Figure) -> None:
        figure.set_size_inches(8, 0.9 + 0.3 * len(labels))
        axes = figure.subplots()
        for cell in chosen:
            y = labels.index(_full_label(cell))
            top1, colour = cell.top1, colour_of(cell.scheme)
            low, high = top1.wilson95
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot(top1.percent, y, "o", color=colour, markersize=5)
            if cell.published_top1 is not None:
                axes.plot(cell.published_top1, y, "D", markersize=6, mfc="none", mec=LIGHT.ink)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("top-1, %")

    caption = (
        "Dot: measured, one per seed; line: Wilson 95 % interval of the images. Hollow diamond: "
        "published, where there is one."
    )
    return draw(f"Accuracy of {model}", caption, paint)


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
            yield f"Sqrt2_{levels}", shares.tolist(), code(shares).tolist()


def transfer_curves() -> Picture:
    """Return what each scheme makes of a probability."""

    def paint(figure: Figure) -> None:
        figure.set_size_inches(8, 3.4)
        panels = figure.subplots(1, 3, sharey=True)
        for family, panel in zip(("Single", "Half", "Sqrt2"), panels, strict=True):
            for name, x, y in _curves(family):
                dashed = "--" if name.endswith("17") else "-"
                panel.plot(x, y, dashed, color=colour_of(name), label=name, linewidth=1.3)
            _octaves(panel)
            panel.legend(loc="upper left", fontsize=7)
        figure.supxlabel("probability", fontsize=9)
        figure.supylabel("decoded, delta = 1", fontsize=9)

    caption = (
        "Axes in powers of two; delta, the largest value, at 1. Dotted: the identity. The BitLog2 "
        "codes cut off, so that their curves lie below it, and the Sqrt2 codes round."
    )
    return draw("Transfer curves", caption, paint)


def _octaves(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(2**-16, 1)
    axes.set_ylim(2**-16, 1)
    axes.plot([2**-16, 1], [2**-16, 1], linestyle=":", color=LIGHT.ink, linewidth=0.7)


#: Fields of a layer's statistics -> what they are errors of, in a title, on the axis, in a caption.
_ERRORS = {
    "attention_error": (
        "attention output",
        "the attention output against that of the softmax of the same scores and codes of v",
    ),
    "error": ("attention map", "the decoded map against the softmax of the same scores"),
}


def errors(cells: list[CellResult], model: str) -> list[Picture]:
    """Return the relative errors of the coded map and of the attention output by layer.

    A line per scheme; no picture where no statistics were collected.
    """
    chosen = [
        cell
        for cell in cells
        if cell.model == model and cell.attention_map and cell.scheme != "none"
    ]
    return [_error(chosen, model, field) for field in _ERRORS if chosen]


def _error(chosen: list[CellResult], model: str, field: str) -> Picture:
    name, of_what = _ERRORS[field]
    seen: set[str] = set()

    def paint(figure: Figure) -> None:
        figure.set_size_inches(8, 3.6)
        axes = figure.subplots()
        seen.clear()
        for cell in chosen:
            label = _label(cell)
            error = [100 * getattr(each, field) ** 0.5 for each in _in_order(cell)]
            dashed = (
                "--"
                if cell.quantization is not None and cell.quantization.arithmetic == "float"
                else "-"
            )
            colour = colour_of(cell.scheme)
            shown = "_nolegend_" if label in seen else label
            axes.plot(error, dashed, color=colour, marker=".", linewidth=1.2, label=shown)
            seen.add(label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("attention layer")
        axes.set_ylabel(f"relative error of the {name.removeprefix('attention ')}, %")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))

    caption = (
        f"Root of squared error over power of {of_what}, on the calibration images; dashed: float "
        "arithmetic."
    )
    return draw(f"Error of the {name} by layer, {model}", caption, paint)


def _in_order(cell: CellResult) -> list[LayerStatistics]:
    """Return the statistics of a cell's layers, numbers within names compared as numbers."""
    layers = cell.attention_map
    return [layers[name] for name in sorted(layers, key=_number_key)]


def _number_key(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def histograms(cell: CellResult) -> Picture | None:
    """Return the map of a cell before and after coding, some layers; None without any."""
    layers = cell.attention_map
    if not layers:
        return None
    names = sorted(layers, key=_number_key)
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
                ("before", LIGHT.ink, False),
                ("after", colour_of(cell.scheme), True),
            ):
                counts = np.maximum(getattr(layers[name], key), 0.5)
                panel.stairs(counts, edges, color=colour, fill=fill, label=key)
            panel.set_yscale("log")
            panel.set_title(name, fontsize=8)
        axes.flat[0].legend(loc="upper left", fontsize=7)
        figure.supxlabel("log2 of the value (leftmost: zero, or below)", fontsize=9)
        figure.supylabel("values", fontsize=9)

    caption = "Line: softmax before its code; filled: decoded values. Counts on a log axis."
    return draw(f"Attention map of {cell.name}", caption, paint)
