"""What is kept of a finished batch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bitlog2.sim import REGISTERS
from bitlog2.sim.checks import brief

from ..check_choice import HeadChoice
from ..check_counts import LayerShape, values_compared
from ..watermarks import WATERMARKED

__all__ = ["BatchRecord", "BatchRules"]


@dataclass(frozen=True)
class BatchRecord:
    """A batch that was evaluated, and checked where that was asked for.

    Attributes:
        batch: its number, from 0, in the order of the images.
        numbers: positions of its images in the validation set; those left out are not among them.
        labels, top1: the class of each image, and the one that the model said.
        hits5: 1 for an image whose label is among the first five classes.
        skipped: names of the images that could not be read.
        pixels: SHA-256 of each image as the model got it.
        registers: SHA-256 of the attention registers of each image; empty where there are none or
            none was asked.
        compared, mismatched: values by register; empty where nothing was checked.
        mismatches: the first ones, in words.
        watermarks: (smallest, largest, values, saturated or None) by layer and register.
    """

    batch: int
    numbers: tuple[int, ...]
    labels: tuple[int, ...]
    top1: tuple[int, ...]
    hits5: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    registers: tuple[str, ...] = ()
    compared: dict[str, int] = field(default_factory=dict)
    mismatched: dict[str, int] = field(default_factory=dict)
    mismatches: tuple[str, ...] = ()
    watermarks: dict[str, dict[str, tuple[int, int, int, int | None]]] = field(default_factory=dict)

    @property
    def seen(self) -> tuple[tuple[Any, ...], ...]:
        """What the model was given: two records of the same images agree in it."""
        return self.numbers, self.labels, self.pixels, self.skipped

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: Path) -> "BatchRecord":
        """Return the record of `as_dict`.

        Raises:
            ValueError: a field is unknown, missing or of the wrong type; names `path`.
        """
        if set(values) != {each.name for each in fields(cls)}:
            raise ValueError(
                f"{path} must hold batch records, got the fields {brief(sorted(values))}"
            )
        try:
            given = {name: _tupled(value) for name, value in values.items()}
        except RecursionError:
            raise ValueError(f"{path} must hold batch records, got one nested too deep") from None
        record = cls(**given)
        if not record._well_formed():
            raise ValueError(f"{path} must hold batch records, got a malformed one")
        return record

    def _well_formed(self) -> bool:
        columns = (self.numbers, self.labels, self.top1, self.hits5)
        integers = all(
            isinstance(column, tuple) and all(_is_count(value) for value in column)
            for column in columns
        )
        texts = all(
            isinstance(names, tuple) and all(isinstance(name, str) for name in names)
            for names in (self.skipped, self.mismatches, self.pixels, self.registers)
        )
        counts = all(
            isinstance(by_register, dict)
            and set(by_register) <= set(REGISTERS)
            and all(_is_count(value) for value in by_register.values())
            for by_register in (self.compared, self.mismatched)
        )
        marks = isinstance(self.watermarks, dict) and all(
            isinstance(layer, dict)
            and set(layer) <= set(WATERMARKED)
            and all(_is_mark(mark) for mark in layer.values())
            for layer in self.watermarks.values()
        )
        if not (_is_count(self.batch) and integers and texts and counts and marks):
            return False
        images = len(self.numbers)
        digests = all(len(each) in (0, images) for each in (self.pixels, self.registers))
        return digests and all(len(column) == images for column in columns)


@dataclass(frozen=True)
class BatchRules:
    """What the batches of a cell must hold: it follows from its request, model and images.

    Attributes:
        images: positions in the validation set, those of images that cannot be read counted.
        batch_size: positions of a batch; fewer in the last.
        classes: of the model.
        choice: which heads are compared; None where none is.
        digest, watermarks: whether registers are digested, and their ranges collected.
        shapes: of the layers with registers.
    """

    images: int
    batch_size: int
    classes: int
    choice: HeadChoice | None = None
    digest: bool = False
    watermarks: bool = False
    shapes: Mapping[str, LayerShape] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.images // self.batch_size)

    def check(self, record: BatchRecord, path: Path) -> None:
        """Refuse a record that does not hold what it must; ValueError names `path`."""
        if fault := self._fault(record):
            raise ValueError(
                f"{path} must hold what its run asks for: batch {record.batch} {fault}"
            )

    def _fault(self, record: BatchRecord) -> str:
        if record.batch >= self.batches:
            return f"is none of {self.batches}"
        start = record.batch * self.batch_size
        positions = range(start, min(start + self.batch_size, self.images))
        numbers, hits = record.numbers, record.hits5
        read = set(numbers)
        left = [number for number in positions if number in read]
        if list(numbers) != left or len(numbers) + len(record.skipped) != len(positions):
            return "is not of its images"
        if max((*record.labels, *record.top1), default=0) >= self.classes:
            return f"names a class above {self.classes - 1}"
        right = [label == said for label, said in zip(record.labels, record.top1, strict=True)]
        if not all(int(first) <= hit <= 1 for first, hit in zip(right, hits, strict=True)):
            return "counts hits that are none"
        digests = (len(numbers), len(numbers) if self.digest else 0)
        if (len(record.pixels), len(record.registers)) != digests:
            return f"must have {digests[0]} digests of pixels and {digests[1]} of registers"
        marked = set(self.shapes) if self.watermarks and numbers else set()
        if set(record.watermarks) != marked:
            return f"must have watermarks of {len(marked)} layers, got {len(record.watermarks)}"
        return self._count_fault(record)

    def _count_fault(self, record: BatchRecord) -> str:
        wanted = dict.fromkeys(REGISTERS, 0)
        if self.choice is not None:
            wanted = values_compared(self.shapes, self.choice, record.numbers)
        for name, count in wanted.items():
            compared, differing = (
                each.get(name, 0) for each in (record.compared, record.mismatched)
            )
            if compared != count or differing > compared:
                return f"must have compared {count:,} values of {name}, got {compared:,}"
        return ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_mark(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 4:
        return False
    numbers = [each for each in value if each is not None]
    return len(numbers) >= 3 and all(type(each) is int for each in numbers)


def _tupled(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tupled(each) for each in value)
    if isinstance(value, dict):
        return {name: _tupled(each) for name, each in value.items()}
    return value
