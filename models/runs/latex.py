"""The table of some runs for a paper, in LaTeX with booktabs."""

import re
import statistics
from collections.abc import Iterable, Sequence

from ..ptq.quantize import QuantizationSpec
from .request import SHORT_NAMES
from .result import CellResult, Result, by_quantization

#: Quantizations between two rules: all that have one arithmetic and form.
_Row = tuple[QuantizationSpec | None, dict[str, list[CellResult]]]
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {each: rf"\{each}" for each in "_&%#${}"}


def latex_table(results: Sequence[Result]) -> str:
    """Return a LaTeX tabular: a column per model, a line per quantization; needs booktabs.

    Top-1 in percent: the mean of the seeds and, of several, their sample standard deviation; of
    each model the best mean of one arithmetic and bits in bold, where there are several. Published
    figures have a column of their own behind the model's. The number of seeds stands on the right.
    """
    cells = [cell for result in results for cell in result.cells]
    models = list(dict.fromkeys(cell.model for cell in cells))
    published = [m for m in models if any(c.published_top1 is not None for c in _of(cells, m))]
    rows: dict[QuantizationSpec | None, dict[str, list[CellResult]]] = {}
    for (model, how), members in by_quantization(cells).items():
        rows.setdefault(how, {}).setdefault(model, []).extend(members)
    groups: dict[tuple[str, str], list[_Row]] = {}
    for how, row in rows.items():
        groups.setdefault(("", "") if how is None else (how.arithmetic, how.form), []).append(
            (how, row)
        )
    heads = ["scheme", "arithmetic", "bits"]
    for model in models:
        heads += [escaped(model), *(["published"] if model in published else [])]
    lines = [
        rf"\begin{{tabular}}{{lll{'r' * (len(heads) - 2)}}}",
        r"\toprule",
        " & ".join([*heads, "seeds"]) + r" \\",
    ]
    for group in groups.values():
        lines.append(r"\midrule")
        lines += [_line(how, row, group, models, published) for how, row in group]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def escaped(text: str) -> str:
    """Return text with the signs that LaTeX reads itself escaped."""
    return re.sub(r"[\\~^_&%#${}]", lambda sign: _SPECIAL[sign[0]], text)


def _of(cells: Iterable[CellResult], model: str) -> list[CellResult]:
    return [cell for cell in cells if cell.model == model]


def _line(
    how: QuantizationSpec | None,
    row: dict[str, list[CellResult]],
    group: Sequence[_Row],
    models: Sequence[str],
    published: Sequence[str],
) -> str:
    """Return a line, its best means of the group in bold."""
    arithmetic, form = ("float32", "") if how is None else (how.arithmetic, how.form)
    columns = [escaped(_name(how)), arithmetic, escaped(form)]
    for model in models:
        members = row.get(model, [])
        best = max((_mean(other[model]) for _, other in group if model in other), default=0.0)
        bold = len(group) > 1 and bool(members) and _rounded(members) == f"{best:.2f}"
        columns.append(_value(members, bold=bold))
        if model in published:
            known = next((c.published_top1 for c in members if c.published_top1 is not None), None)
            columns.append("--" if known is None else f"{known:.2f}")
    counts = sorted({len(members) for members in row.values()})
    seeds = "--" if how is None else ", ".join(map(str, counts))
    return " & ".join([*columns, seeds]) + r" \\"


def _name(how: QuantizationSpec | None) -> str:
    if how is None:
        return "unquantized"
    widths = (f" {SHORT_NAMES.get(name, name)}{value}" for name, value in how.datapath)
    return how.scheme + "".join(widths)


def _mean(members: Sequence[CellResult]) -> float:
    return statistics.fmean(cell.top1.percent for cell in members)


def _rounded(members: Sequence[CellResult]) -> str:
    return f"{_mean(members):.2f}"


def _value(members: Sequence[CellResult], *, bold: bool) -> str:
    """Return mean and spread of a quantization's seeds; a dash of none."""
    if not members:
        return "--"
    mean = rf"\mathbf{{{_rounded(members)}}}" if bold else _rounded(members)
    if len(members) == 1:
        return f"${mean}$"
    return rf"${mean} \pm {statistics.stdev(cell.top1.percent for cell in members):.2f}$"
