"""What is kept of a finished batch."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bitlog2.sim import REGISTERS
from bitlog2.sim.checks import brief

from ..watermarks import WATERMARKED

__all__ = ["BatchRecord"]


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
