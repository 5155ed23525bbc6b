"""What the models answered, image by image: classes taken for others, and where models agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import fmean
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.sparse import coo_array

from bitlog2.sim.scheme import scheme_label

from ..naming import file_name
from ..ptq.quantize import QuantizationSpec
from ..runs.result import CellAnswers
from .drawing import SERIES, Picture, shows
from .tables import TEXT, Table

#: Most classes whose counts are shown as a square, and pairs that are shown of more.
_CLASSES, _PAIRS = 20, 20
#: The answers of the seeds of each quantization of a model.
_Seeds: TypeAlias = dict[QuantizationSpec | None, list[CellAnswers]]


def answer_tables(answers: Sequence[CellAnswers]) -> Iterator[Table]:
    """Yield the agreement of a run's quantizations, and the confusions of each, model by model.

    Args:
        answers: those of every cell of a run.
    """
    for model, seeds in _by_model(answers).items():
        if len(seeds) > 1:
            yield _agreement(model, seeds)
        for number, (spec, members) in enumerate(seeds.items()):
            yield _confusions(model, number, name_of(spec), members)


def confusions(answers: Sequence[CellAnswers]) -> Iterator[Picture]:
    """Yield the confusions of each model whose classes are few enough to be shown as squares.

    Args:
        answers: those of every cell of a run.
    """
    for model, seeds in _by_model(answers).items():
        counts = [(name_of(spec), _counts(members)) for spec, members in seeds.items()]
        classes = 1 + max(max(pair) for _, each in counts for pair in each)
        if classes <= _CLASSES:
            yield _squares(model, classes, counts)


def _by_model(answers: Sequence[CellAnswers]) -> dict[str, _Seeds]:
    models: dict[str, _Seeds] = {}
    for each in answers:
        seeds = models.setdefault(each.cell.model, {})
        seeds.setdefault(each.cell.spec, []).append(each)
    return models


def _counts(members: Sequence[CellAnswers]) -> Counter[tuple[int, int]]:
    """Return how often each label got which class, all seeds together."""
    counts: Counter[tuple[int, int]] = Counter()
    for each in members:
        counts.update(zip(each.labels.tolist(), each.top1.tolist(), strict=True))
    return counts


def _squares(
    model: str, classes: int, counts: Sequence[tuple[str, Counter[tuple[int, int]]]]
) -> Picture:
    def paint(figure: Figure) -> None:
        columns = min(3, len(counts))
        lines = -(-len(counts) // columns)
        figure.set_size_inches(8, 0.3 + 2.6 * lines)
        panels = figure.subplots(lines, columns, squeeze=False)
        for panel in panels.flat[len(counts) :]:
            panel.set_visible(False)
        for panel, (name, each) in zip(panels.flat, counts, strict=False):
            _square(panel, classes, name, each)
        figure.supxlabel("class", fontsize=9)
        figure.supylabel("label", fontsize=9)

    caption = (
        "Images of each label by the class they got, all seeds together; the darker, the greater "
        "the share of the label. Orange: confusions."
    )
    alt = f"Confused: {', '.join(f'{name} {_wrong(x).total():,} times' for name, x in counts)}."
    return Picture(file_name(f"confusions-{model}"), f"Confusion, {model}", caption, alt, paint)


def _square(panel: Axes, classes: int, name: str, counts: Counter[tuple[int, int]]) -> None:
    """Draw the counts of a quantization that are not 0."""
    for (label, got), count in counts.items():
        of_label = sum(counts[label, other] for other in range(classes))
        colour = SERIES[2] if label == got else SERIES[4]
        place, strength = (got - 0.5, label - 0.5), 0.1 + 0.5 * count / of_label
        shown = panel.add_patch(Rectangle(place, 1, 1, color=colour, alpha=strength, linewidth=0))
        shows(shown, f"{name}: label {label}, class {got}: {count:,} of {of_label:,}")
        number = panel.text(got, label, f"{count}", ha="center", va="center", fontsize=6)
        number.set_in_layout(False)
    panel.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
    panel.set_xticks(range(classes))
    panel.set_yticks(range(classes))
    panel.tick_params(labelsize=6)
    panel.grid(visible=False)
    panel.set_title(name, fontsize=7)


def _wrong(counts: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
    return Counter({pair: count for pair, count in counts.items() if pair[0] != pair[1]})


def name_of(spec: QuantizationSpec | None) -> str:
    """Return a quantization in a few words."""
    if spec is None:
        return "unquantized"
    hardware = "".join(f" {name}={value}" for name, value in spec.datapath)
    return f"{scheme_label(spec.scheme)}, {spec.arithmetic} {spec.form}{hardware}"


def _agreement(model: str, seeds: _Seeds) -> Table:
    """Return the images that two quantizations give the same class, percent."""
    columns = {"": ".0f", "quantization": TEXT} | {str(n): ".1f" for n in range(1, len(seeds) + 1)}
    rows = [
        (n, name_of(spec), *(_agreeing(members, other) for other in seeds.values()))
        for n, (spec, members) in enumerate(seeds.items(), 1)
    ]
    note = (
        "Images that get the same class from both, percent, seed by seed; on the diagonal between "
        "the seeds of one."
    )
    name = file_name(f"agreement-{model}")
    return Table(name, f"Agreement, {model}", columns, tuple(rows), note)


def _agreeing(a: list[CellAnswers], b: list[CellAnswers]) -> float | None:
    """Return the mean agreement of two quantizations; None of one with one seed and itself."""
    if a is b:
        pairs = list(combinations(a, 2))
    elif len(a) == len(b):
        pairs = list(zip(a, b, strict=True))
    else:  # the unquantized model has no seeds
        pairs = [(x, y) for x in a for y in b]
    return fmean(100 * float((x.top1 == y.top1).mean()) for x, y in pairs) if pairs else None


def _confusions(model: str, number: int, how: str, members: list[CellAnswers]) -> Table:
    """Return how often each class was taken for which."""
    counts = _counts(members)
    name, title = file_name(f"confusion-{model}-{number}"), f"Confusion, {model}, {how}"
    classes = 1 + max(map(max, counts))
    if classes <= _CLASSES:
        columns = {"label": ".0f"} | {str(each): ".0f" for each in range(classes)}
        square = coo_array(
            (list(counts.values()), tuple(zip(*counts, strict=True))), (classes, classes)
        ).toarray()
        rows = tuple((label, *line) for label, line in enumerate(square.tolist()))
        return Table(name, title, columns, rows, "Images of each label, by the class they got.")
    rows = tuple((*pair, count) for pair, count in _wrong(counts).most_common(_PAIRS))
    columns = {"label": ".0f", "class": ".0f", "images": ",.0f"}
    return Table(name, title, columns, rows, f"The {_PAIRS} most frequent confusions.")
