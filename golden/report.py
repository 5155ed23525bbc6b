"""What a comparison found, and how it is printed."""

import dataclasses
from collections import Counter
from dataclasses import dataclass

__all__ = ["SHOWN", "Difference", "Mismatch", "StreamCount", "UnitComparison", "cases_of", "hex_of"]

#: Mismatches that a comparison keeps, and those that its report prints.
SHOWN, _PRINTED = 10, 5


@dataclass(frozen=True)
class Mismatch:
    """A value that is not the expected one.

    Attributes:
        unit, stream, field: where; `maker` is the unit of the datapath that makes the field.
        case: number of the case in the set.
        beat: key within the row, None for a word of a case.
        lane: output channel, None for a field without lanes.
        expected, actual: the values; `actual` is None where digits are unknown.
        digits: the actual bits in hexadecimal, x for unknown digits.
        bits: width of the field.
        time: of the simulation in nanoseconds, None where there was none.
    """

    unit: str
    stream: str
    maker: str
    case: int
    beat: int | None
    field: str
    lane: int | None
    expected: int
    actual: int | None
    digits: str
    bits: int
    time: int | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        place = f"{self.unit}.{self.stream} case {self.case}"
        if self.beat is not None:
            place += f" beat {self.beat}"
        if self.lane is not None:
            place += f" lane {self.lane}"
        actual = "unknown" if self.actual is None else str(self.actual)
        expected = hex_of(self.expected & ((1 << self.bits) - 1), 0, self.bits)
        return (
            f"{place} {self.field} ({self.maker}): expected 0x{expected} ({self.expected}), "
            f"actual 0x{self.digits} ({actual})"
            + ("" if self.time is None else f" at {self.time} ns")
        )


@dataclass(frozen=True)
class Difference:
    """The wrong values of a field, taken together.

    Attributes:
        stream, field, maker: as of a `Mismatch`.
        values: that were compared.
        wrong: those that differ.
        cases: in which they are.
        how: they differ, in words.
    """

    stream: str
    field: str
    maker: str
    values: int
    wrong: int
    cases: int
    how: str

    def __str__(self) -> str:
        return (
            f"{self.stream} {self.field} ({self.maker}): {self.wrong} of {self.values} values "
            f"differ, in {cases_of(self.cases)}: {self.how}"
        )


@dataclass(frozen=True)
class StreamCount:
    """How many words of a stream were compared.

    Attributes:
        name: `unit.stream`.
        words: what the manifest counts.
        compared: words that were there.
        surplus: words past the last.
        wrong: compared words that differ.
    """

    name: str
    words: int
    compared: int
    surplus: int
    wrong: int

    @property
    def ok(self) -> bool:
        """Whether every word was there, nothing more, and all agreed."""
        return self.compared == self.words and not self.surplus and not self.wrong

    def __str__(self) -> str:
        text = f"{self.name}: {self.compared} of {self.words} words compared, {self.wrong} differ"
        if self.compared < self.words:
            text += f", {self.words - self.compared} missing"
        if self.surplus:
            text += f", {self.surplus} too many"
        return text


@dataclass(frozen=True)
class UnitComparison:
    """The outputs of one unit, compared.

    Attributes:
        unit: its name.
        counts: one for each stream that was given.
        mismatches: the first ten, by case and then in datapath order; of the lanes of a value
            the first two.
        differences: one for each field that differs, in datapath order.
        first: the first case with a mismatch: why it is there, and its inputs, line by line.
        reasons: of every case with a mismatch, and in how many it is.
        total: mismatching values.
        parted: case -> the first unit that parts, for every case with a mismatch.
        taps_missing: streams that were not given: what they hold cannot be named in `parted`.
    """

    unit: str
    counts: tuple[StreamCount, ...]
    mismatches: tuple[Mismatch, ...]
    differences: tuple[Difference, ...]
    first: tuple[str, ...]
    reasons: dict[str, int]
    total: int
    parted: dict[int, str]
    taps_missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agreed."""
        return all(count.ok for count in self.counts)

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [str(count) for count in self.counts]
        if not self.parted:
            return lines
        among = ""
        if self.taps_missing:
            absent = ", ".join(f"{self.unit}.{name}" for name in self.taps_missing)
            among = f" of the outputs given (not given: {absent})"
        for unit, count in Counter(self.parted.values()).items():
            numbers = [str(case) for case, found in self.parted.items() if found == unit]
            shown = ", ".join(numbers[:SHOWN]) + (", ..." if count > SHOWN else "")
            lines.append(f"  first unit that parts{among}: {unit}, in {cases_of(count)}: {shown}")
        reasons = Counter(self.reasons).most_common()
        lines += [f"  {cases_of(count)} of {reason}" for reason, count in reasons[:_PRINTED]]
        if len(reasons) > _PRINTED:
            lines.append(f"  ... and of {len(reasons) - _PRINTED} reasons more")
        lines += [f"  {difference}" for difference in self.differences]
        lines += [f"  {line}" for line in self.first]
        lines += [f"  {mismatch}" for mismatch in self.mismatches[:_PRINTED]]
        if self.total > _PRINTED:
            lines.append(f"  ... {self.total} values differ in {cases_of(len(self.parted))}")
        return lines


def cases_of(count: int) -> str:
    """Return a number of cases in words."""
    return f"{count} case{'' if count == 1 else 's'}"


def hex_of(value: int, unknown: int, bits: int) -> str:
    """Return a field in hexadecimal; a digit with an unknown bit is x."""
    shifts = range(4 * (-(-bits // 4) - 1), -1, -4)
    return "".join(
        "x" if (unknown >> shift) & 15 else f"{(value >> shift) & 15:x}" for shift in shifts
    )
