"""What looks on while a device is played: scoreboard, log of transfers, stop at a difference."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from .agents import RowDriver, RowMonitor, now
from .job import Shape
from .model import Model, compare_words
from .result import ProfileRun, Words

_KNOWN = str.maketrans("xXzZuUwW-", "000000000")
_UNKNOWN = str.maketrans("1xXzZuUwW-", "0111111111")


class Scoreboard:
    """Collects the words of a device's outputs.

    Args:
        model: of the device.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.words: list[Words] = []
        self.failures: list[str] = []

    def take(self, *monitors: RowMonitor) -> None:
        """Take what these monitors have seen, and what they found wrong with the handshake.

        It comes after what monitors of the same ports gave before.
        """
        for monitor in monitors:
            words = self._words_of(monitor.prefix)
            known = len(words.failures)
            for each in monitor.transfers:
                words.take(each.data, each.keep, each.last, each.time)
            self.failures += [*monitor.failures, *words.failures[known:]]

    def _words_of(self, prefix: str) -> Words:
        for each in self.words:
            if each.shape.channel.prefix == prefix:
                return each
        self.words.append(self.model.words(prefix))
        return self.words[-1]

    def result(self) -> ProfileRun:
        """Return the comparison with the model, and the failures."""
        model = self.model
        comparison = compare_words(
            model.target,
            model.vectors,
            {each.stream: each.file() for each in self.words},
            {each.stream: each.times for each in self.words},
        )
        return ProfileRun(model.device.name, comparison, tuple(self.failures), 0)

    def check(self, *monitors: RowMonitor) -> None:
        """Take what these monitors have seen too, and hold all that was taken to the model.

        Raises:
            AssertionError: something differs, is missing or too much; the message is the report.
        """
        self.take(*monitors)
        found = self.result()
        if not found.ok:
            raise AssertionError("\n".join(found.lines()))


class _Observer:
    """An agent that drives nothing."""

    progress = 0

    def drive(self) -> None:
        """Nothing to drive."""

    def clear(self) -> None:
        """Nothing to forget."""


class TransferLog(_Observer):
    """Writes a line a transfer: time, stream, case, beat, and the fields of each lane.

    Args:
        file: that is written to.
        drivers, monitors: that are looked at; they come before this on the bench.
        shapes: of the words of each stream, by prefix.
        place: (prefix, transfer since the reset) -> the case and the beat in words.
    """

    def __init__(
        self,
        file: TextIO,
        drivers: Iterable[RowDriver],
        monitors: Iterable[RowMonitor],
        shapes: Mapping[str, Shape],
        place: Callable[[str, int], str],
    ) -> None:
        self._file, self._shapes, self._place = file, shapes, place
        self._drivers, self._monitors = tuple(drivers), tuple(monitors)

    def sample(self) -> None:
        """Write what was transferred in this cycle."""
        for driver in self._drivers:
            if (beat := driver.taken) is not None:
                lanes = beat.keep.bit_length()
                data = f"{beat.data:0{lanes * self._shapes[driver.prefix].width}b}"
                keep = f"{beat.keep:b}"
                self._write(driver.prefix, driver.progress - 1, data, keep, str(beat.last))
        for monitor in self._monitors:
            if monitor.transfers and (last := monitor.transfers[-1]).time == now():
                index = len(monitor.transfers) - 1
                self._write(monitor.prefix, index, last.data, last.keep, last.last)

    def _write(self, prefix: str, index: int, data: str, keep: str, last: str) -> None:
        shape = self._shapes[prefix]
        lanes = [
            f"lane {lane}: " * shape.channel.lanes
            + fields_of(shape, data[len(data) - (lane + 1) * shape.width :][: shape.width])
            for lane, kept in enumerate(reversed(keep))
            if kept != "0"
        ]
        end = f", tlast {last}" if shape.channel.framed else ""
        place = self._place(prefix, index)
        self._file.write(f"{now()} ns {prefix} {place}: {'; '.join(lanes)}{end}\n")


def fields_of(shape: Shape, word: str) -> str:
    """Return the fields of a word, its bits 01xz, in words."""
    shown = []
    for field in shape.fields:
        parts = [word[at : at + field.bits] for at in range(0, field.width, field.bits)]
        word = word[field.width :]
        shown.append(f"{field.name} {' '.join(_value(e, field.signed) for e in reversed(parts))}")
    return ", ".join(shown)


def _value(bits: str, signed: bool) -> str:
    if bits.strip("01"):
        return bits
    return str(int(bits, 2) - ((signed and bits[0] == "1") << len(bits)))


class FirstDifference(_Observer):
    """Sees at once when a device gives a word that is not the expected one, or breaks a rule.

    Args:
        monitors: that are looked at; they come before this on the bench.
        model: what they must give.
        rows: that are played.
        expected: value and mask of each word of these rows, by prefix.
    """

    def __init__(
        self,
        monitors: Iterable[RowMonitor],
        model: Model,
        rows: Sequence[int],
        expected: Mapping[str, Sequence[tuple[int, int]]],
    ) -> None:
        self.found = False
        self._streams: list[tuple[RowMonitor, Words, Sequence[tuple[int, int]]]] = []
        for monitor in monitors:
            words = model.words(monitor.prefix, rows)
            self._streams.append((monitor, words, expected[monitor.prefix]))

    def sample(self) -> None:
        """Look at what was transferred in this cycle."""
        for monitor, words, expected in self._streams:
            if monitor.transfers and (last := monitor.transfers[-1]).time == now():
                known = len(words.bits)
                words.take(last.data, last.keep, last.last, last.time)
                for index in range(known, len(words.bits)):
                    if index >= len(expected) or differs(words.bits[index], *expected[index]):
                        self.found = True
            self.found = self.found or bool(monitor.failures or words.failures)


def differs(bits: str, value: int, care: int) -> bool:
    """Return whether a word is not that value, in the bits that are 1 in `care`."""
    known, unknown = int(bits.translate(_KNOWN), 2), int(bits.translate(_UNKNOWN), 2)
    return bool(((known ^ value) | unknown) & care)
