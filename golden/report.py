"""What a comparison found, and how it is printed."""

from dataclasses import dataclass

__all__ = ["SHOWN", "Mismatch", "StreamCount", "UnitComparison", "hex_of"]

#: Mismatches that a report shows, and cases.
SHOWN = 10


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
        mismatches: the first ten, by case and then in datapath order.
        total: mismatching values.
        parted: case -> the first unit that parts, for every case with a mismatch.
        taps_missing: streams that were not given: what they hold cannot be named in `parted`.
    """

    unit: str
    counts: tuple[StreamCount, ...]
    mismatches: tuple[Mismatch, ...]
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
        lines += [f"  {mismatch}" for mismatch in self.mismatches]
        if self.total > len(self.mismatches):
            lines.append(f"  ... {self.total} values differ in {len(self.parted)} cases")
        if self.parted:
            among = ""
            if self.taps_missing:
                absent = ", ".join(f"{self.unit}.{name}" for name in self.taps_missing)
                among = f" of the outputs given (not given: {absent})"
            for case in sorted(self.parted)[:SHOWN]:
                lines.append(f"  case {case}: first unit that parts{among}: {self.parted[case]}")
        return lines


def hex_of(value: int, unknown: int, bits: int) -> str:
    """Return a field in hexadecimal; a digit with an unknown bit is x."""
    shifts = range(4 * (-(-bits // 4) - 1), -1, -4)
    return "".join(
        "x" if (unknown >> shift) & 15 else f"{(value >> shift) & 15:x}" for shift in shifts
    )
