"""What the report draws."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bitlog2.sim import SCHEMES, Scheme

from ..grid.cell import SHORT_NAMES
from ..grid.statistics import OCTAVES
from ..sqrt2_map import Sqrt2Map
from .drawing import Picture, draw
from .theme import Theme, colour_of

__all__ = ["accuracy", "errors", "histograms", "transfer_curves"]

#: Layers whose histograms are drawn: the first, the last and some between.
_HISTOGRAMS = 6


def _label(cell: dict[str, Any]) -> str:
    how = cell["quantization"]
    if how is None:
        return "unquantized"
    bits = "" if (how["w_bits"], how["a_bits"]) == (4, 4) else f" W{how['w_bits']}A{how['a_bits']}"
    return f"{how['scheme']}, {how['arithmetic']}{bits}"


def _full_label(cell: dict[str, Any]) -> str:
    """Return the label with what the datapath is built with, where that was varied."""
    datapath = [] if cell["quantization"] is None else cell["quantization"]["datapath"]
    return _label(cell) + "".join(f" {SHORT_NAMES.get(name, name)}{n}" for name, n in datapath)


def _scheme(cell: dict[str, Any]) -> str:
    return "unquantized" if cell["quantization"] is None else cell["quantization"]["scheme"]


def accuracy(cells: list[dict[str, Any]], model: str) -> Picture:
    """Return top-1 of a model's cells with intervals, and the published figures."""
    chosen = [cell for cell in cells if cell["model"] == model]
    labels = list(dict.fromkeys(_full_label(cell) for cell in chosen))

    def paint(figure: Figure, theme: Theme) -> None:
        figure.set_size_inches(8, 0.9 + 0.3 * len(labels))
        axes = figure.subplots()
        for cell in chosen:
            y = labels.index(_full_label(cell))
            top1, colour = cell["top1"], colour_of(_scheme(cell), theme)
            low, high = top1["wilson95"]
            axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot(top1["percent"], y, "o", color=colour, markersize=5)
            if cell["published_top1"] is not None:
                axes.plot(cell["published_top1"], y, "D", markersize=6, mfc="none", mec=theme.ink)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("top-1, %")

    caption = (
        "Dot: measured, a seed each; line: Wilson 95 % interval of the images. Hollow diamond: "
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

    def paint(figure: Figure, theme: Theme) -> None:
        figure.set_size_inches(8, 3.4)
        panels = figure.subplots(1, 3, sharey=True)
        for family, panel in zip(("Single", "Half", "Sqrt2"), panels, strict=True):
            for name, x, y in _curves(family):
                dashed = "--" if name.endswith("17") else "-"
                panel.plot(x, y, dashed, color=colour_of(name, theme), label=name, linewidth=1.3)
            _octaves(panel, theme)
            panel.legend(loc="upper left", fontsize=7)
        figure.supxlabel("probability", fontsize=9)
        figure.supylabel("decoded, delta = 1", fontsize=9)

    caption = (
        "Axes in powers of two; delta, the largest value, at 1. Dotted: the identity. The BitLog2 "
        "codes cut off, so that their curves lie below it, and the Sqrt2 codes round."
    )
    return draw("Transfer curves", caption, paint)


def _octaves(axes: Axes, theme: Theme) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(2**-16, 1)
    axes.set_ylim(2**-16, 1)
    axes.plot([2**-16, 1], [2**-16, 1], linestyle=":", color=theme.ink, linewidth=0.7)


def errors(cells: list[dict[str, Any]], model: str) -> Picture | None:
    """Return the relative error of the coded map by layer, a line a scheme; None without any."""
    chosen = [
        cell
        for cell in cells
        if cell["model"] == model and cell["attention_map"] and _scheme(cell) != "none"
    ]
    if not chosen:
        return None
    seen: set[str] = set()

    def paint(figure: Figure, theme: Theme) -> None:
        figure.set_size_inches(8, 3.6)
        axes = figure.subplots()
        seen.clear()
        for cell in chosen:
            label = _label(cell)
            error = [100 * each["error"] ** 0.5 for each in _in_order(cell)]
            dashed = "--" if cell["quantization"]["arithmetic"] == "float" else "-"
            colour = colour_of(_scheme(cell), theme)
            shown = "_nolegend_" if label in seen else label
            axes.plot(error, dashed, color=colour, marker=".", linewidth=1.2, label=shown)
            seen.add(label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("attention layer")
        axes.set_ylabel("relative error of the map, %")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))

    caption = (
        "Root of squared error over power of the decoded map against the softmax of the same "
        "scores, on the calibration images; dashed: float arithmetic."
    )
    return draw(f"Error of the attention map by layer, {model}", caption, paint)


def _in_order(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statistics of a cell's layers, numbers within names compared as numbers."""
    layers = cell["attention_map"]
    return [layers[name] for name in sorted(layers, key=_number_key)]


def _number_key(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def histograms(cell: dict[str, Any]) -> Picture | None:
    """Return the map of a cell before and after coding, some layers; None without any."""
    layers = cell["attention_map"]
    if not layers:
        return None
    names = sorted(layers, key=_number_key)
    steps = np.linspace(0, len(names) - 1, min(_HISTOGRAMS, len(names))).round().astype(int)
    chosen = [names[i] for i in dict.fromkeys(steps.tolist())]
    edges = np.arange(-2 * OCTAVES - 1, 1) / 2

    def paint(figure: Figure, theme: Theme) -> None:
        rows = -(-len(chosen) // 3)
        figure.set_size_inches(8, 2.2 * rows)
        axes = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
        for panel in axes.flat[len(chosen) :]:
            panel.set_visible(False)
        for name, panel in zip(chosen, axes.flat, strict=False):
            for key, colour, fill in (
                ("before", theme.ink, False),
                ("after", colour_of(_scheme(cell), theme), True),
            ):
                counts = np.maximum(layers[name][key], 0.5)
                panel.stairs(counts, edges, color=colour, fill=fill, label=key)
            panel.set_yscale("log")
            panel.set_title(name, fontsize=8)
        axes.flat[0].legend(loc="upper left", fontsize=7)
        figure.supxlabel("log2 of the value (leftmost: zero, or below)", fontsize=9)
        figure.supylabel("values", fontsize=9)

    caption = "Line: softmax before its code; filled: decoded values. Counts on a log axis."
    return draw(f"Attention map of {cell['name']}", caption, paint)
