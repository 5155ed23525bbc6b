"""How far a run is."""

from dataclasses import dataclass

from .folder import RunFolder

__all__ = ["CellStatus", "status_of"]


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is.

    Attributes:
        name: of the cell.
        batches, images: finished ones.
        finished: whether none is missing.
        mismatched: values that differ from the simulator's so far.
    """

    name: str
    batches: int
    images: int
    finished: bool
    mismatched: int


def status_of(folder: RunFolder) -> list[CellStatus]:
    """Return the status of each cell in order; nothing of the run is touched.

    Raises:
        ValueError: a journal is damaged.
    """
    found = []
    for cell in folder.request.cells():
        records, rules = folder.records(cell).values(), folder.rules(cell)
        found.append(
            CellStatus(
                name=cell.name,
                batches=len(records),
                images=sum(len(record.numbers) for record in records),
                finished=rules is not None and len(records) == rules.batches,
                mismatched=sum(sum(record.mismatched.values()) for record in records),
            )
        )
    return found
