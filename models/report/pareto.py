"""What accuracy costs: the choices of a sweep, and those that no other one beats."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..grid.sweep import SweepRow, front
from .drawing import Picture, draw
from .theme import Theme, colour_of

__all__ = ["pareto"]


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

    def paint(figure: Figure, theme: Theme) -> None:
        figure.set_size_inches(8, 3.1 * len(costs))
        panels = figure.subplots(len(costs), 2, squeeze=False)
        for line, (cost, cost_name) in zip(panels, costs, strict=True):
            for panel, (error, error_name) in zip(line, errors, strict=True):
                _points(panel, rows, cost, error, theme)
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
    panel: Axes, rows: Sequence[SweepRow], cost: Sequence[int], error: Sequence[float], theme: Theme
) -> None:
    points = [(float(x), y) for x, y in zip(cost, error, strict=True)]
    best = set(front(points))
    line = sorted(points[i] for i in best)
    panel.plot(*zip(*line, strict=True), color=theme.ink, linewidth=0.8, linestyle="--")
    seen: set[str] = set()
    for i, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
        label = "_nolegend_" if row.scheme in seen else row.scheme
        seen.add(row.scheme)
        panel.plot(x, y, "o", color=colour_of(row.scheme, theme), markersize=5, label=label)
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
