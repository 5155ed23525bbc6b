"""What the models answered, image by image: classes taken for others, and where models agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import fmean
from typing import TypeAlias

from scipy.sparse import coo_array

from bitlog2.sim.scheme import scheme_label

from ..naming import file_name
from ..ptq.quantize import QuantizationSpec
from ..runs.result import CellAnswers
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
    models: dict[str, _Seeds] = {}
    for each in answers:
        seeds = models.setdefault(each.cell.model, {})
        seeds.setdefault(each.cell.spec, []).append(each)
    for model, seeds in models.items():
        if len(seeds) > 1:
            yield _agreement(model, seeds)
        for number, (spec, members) in enumerate(seeds.items()):
            yield _confusions(model, number, name_of(spec), members)


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
    """Return how often each class was taken for which, all seeds together."""
    counts: Counter[tuple[int, int]] = Counter()
    for each in members:
        counts.update(zip(each.labels.tolist(), each.top1.tolist(), strict=True))
    name, title = file_name(f"confusion-{model}-{number}"), f"Confusion, {model}, {how}"
    classes = 1 + max(map(max, counts))
    if classes <= _CLASSES:
        columns = {"label": ".0f"} | {str(each): ".0f" for each in range(classes)}
        square = coo_array(
            (list(counts.values()), tuple(zip(*counts, strict=True))), (classes, classes)
        ).toarray()
        rows = tuple((label, *line) for label, line in enumerate(square.tolist()))
        return Table(name, title, columns, rows, "Images of each label, by the class they got.")
    wrong = Counter({pair: count for pair, count in counts.items() if pair[0] != pair[1]})
    rows = tuple((*pair, count) for pair, count in wrong.most_common(_PAIRS))
    columns = {"label": ".0f", "class": ".0f", "images": ",.0f"}
    return Table(name, title, columns, rows, f"The {_PAIRS} most frequent confusions.")
