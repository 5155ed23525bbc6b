"""The report of some runs, with tables on the vectors and on the reference RTL."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bitlog2.documents import parse
from bitlog2.golden.assurance.mutation import Campaign, kept_table
from bitlog2.golden.package.reading import open_set
from bitlog2.models.report import TEXT, Picture, Report, Table, attention_maps, make_report
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.result import CellAnswers, Result
from bitlog2.models.runs.sweep import read_gates
from bitlog2.names import EMBEDDED
from bitlog2.sim import AttentionConfig

from .bench import machine


def report_of(
    runs: Mapping[Path, Result],
    vectors: Path | None = None,
    place: tuple[int, int, int] | None = None,
    *,
    mutation: bool = False,
) -> Report:
    """Return the report of some runs: the result of each, by its folder.

    What the models answered image by image is shown of runs whose folders are there.

    Args:
        runs: result by folder, or by file of the result.
        vectors: a vector set, whose coverage is shown too.
        place: image, layer and head of the attention maps that are drawn, of every model whose
            run is there; None for the first ones of embedded models, where these are kept.
        mutation: show what mutation of the reference RTL found, too.

    Raises:
        ValueError, OSError: as `read_gates`, `attention_maps` and `evidence`, or a journal is
            damaged, or a result without its folder was to show maps.
    """
    gates: dict[str, int] = {}
    answers: list[list[CellAnswers]] = []
    maps: list[Picture] = []
    for path, result in runs.items():
        gates |= read_gates(path, result)
        if path.is_dir() and RunFolder.is_there(path):
            folder = RunFolder.open(path)
            found = [CellAnswers(folder, cell) for cell in folder.request.cells()]
            answers.append(found)
            maps += _maps(folder, found, place)
        elif place is not None:
            raise ValueError(f"run must be its folder for attention maps, got {path}")
    about = machine()
    host = f"{about['processor'] or 'a processor'}, {about['machine']}, {about['cores']} cores"
    shown = evidence(vectors, mutation=mutation)
    return make_report(list(runs.values()), shown, gates, answers, host, maps)


def _maps(
    folder: RunFolder, answers: Sequence[CellAnswers], place: tuple[int, int, int] | None
) -> list[Picture]:
    """Return the attention maps of each model; without a place, of those that are at hand."""
    found = []
    for model in folder.request.models:
        cells = [each.cell for each in answers if each.cell.model == model and each.cell.spec]
        at_hand = model in EMBEDDED and all(folder.model_file(cell).is_file() for cell in cells)
        if place is not None or at_hand:
            found.append(attention_maps(folder, answers, model, place or (0, 0, 0)))
    return [picture for picture in found if picture is not None]


def evidence(vectors: Path | None, *, mutation: bool) -> list[Table]:
    """Return the coverage of a vector set, where there is one, and the kept table of mutation.

    Raises:
        ValueError, OSError: the folder is no vector set.
    """
    found = []
    if vectors is not None:
        coverage = [(each.unit, each.declared, each.reached) for each in open_set(vectors).coverage]
        heads = {"unit": TEXT, "bins": ",.0f", "reached": ",.0f"}
        found.append(Table("coverage", "Coverage of the vectors", heads, tuple(coverage)))
    path = kept_table(AttentionConfig().scheme)
    if mutation and path.is_file():
        counts = ("mutants", "caught", "equivalent", "gaps", "undetermined")
        heads = {"module": TEXT} | dict.fromkeys(counts, ",.0f")
        table = parse(path.read_bytes(), Campaign, path.name)
        rows = [tuple(getattr(each, name) for name in heads) for each in table.modules]
        found.append(Table("mutation", "Mutation of the reference RTL", heads, tuple(rows)))
    return found
