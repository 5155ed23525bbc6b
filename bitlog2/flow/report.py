"""The page of some runs, with tables on the vectors and on the reference RTL."""

from collections.abc import Mapping
from pathlib import Path

from bitlog2.documents import parse
from bitlog2.golden.assurance.mutation import Campaign, kept_table
from bitlog2.golden.package.reading import open_set
from bitlog2.models.report import Evidence, render_page
from bitlog2.models.runs.result import Result
from bitlog2.models.runs.sweep import read_gates
from bitlog2.sim import AttentionConfig
from bitlog2.sim.files import write_whole


def write_page(out: Path, runs: Mapping[Path, Result], vectors: Path | None) -> None:
    """Write the page of some runs: the result of each, by its folder.

    Raises:
        ValueError, OSError: as `read_gates`, `evidence`, or the page cannot be written.
    """
    gates: dict[str, int] = {}
    for path, result in runs.items():
        gates |= read_gates(path, result)
    write_whole(out, render_page(list(runs.values()), evidence(vectors), gates).encode())


def evidence(vectors: Path | None) -> list[Evidence]:
    """Return the coverage of a vector set, where there is one, and the mutation table.

    Raises:
        ValueError, OSError: the folder is no vector set.
    """
    found = []
    if vectors is not None:
        coverage = [
            (each.unit, f"{each.declared:,}", f"{each.reached:,}")
            for each in open_set(vectors).coverage
        ]
        heads = ("unit", "bins", "reached")
        found.append(Evidence("Coverage of the vectors", heads, tuple(coverage)))
    path = kept_table(AttentionConfig().scheme)
    if path.is_file():
        columns = ("module", "mutants", "caught", "equivalent", "gaps", "undetermined")
        table = parse(path.read_bytes(), Campaign, path.name)
        rows = [tuple(str(getattr(each, name)) for name in columns) for each in table.modules]
        found.append(Evidence("Mutation of the reference RTL", columns, tuple(rows)))
    return found
