"""Tables of a report on the vectors and on the reference RTL."""

from pathlib import Path

from bitlog2.documents import parse
from bitlog2.golden.assurance.mutation import TABLE, Campaign
from bitlog2.golden.package.reading import open_set
from bitlog2.models.report.page import Evidence


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
    if TABLE.is_file():
        columns = ("module", "mutants", "caught", "equivalent", "gaps", "undetermined")
        table = parse(TABLE.read_bytes(), Campaign, TABLE.name)
        rows = [tuple(str(getattr(each, name)) for name in columns) for each in table.modules]
        found.append(Evidence("Mutation of the reference RTL", columns, tuple(rows)))
    return found
