"""What a device gave in one run: the words as memory files, and what is wrong with the framing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitlog2.sim.files import write_whole

from ..fields import hex_digits
from .channels import Shape

__all__ = ["Recording", "Words", "read_recording", "write_recording"]

_SHOWN = 3


@dataclass
class Words:
    """The words that a channel gave.

    Attributes:
        shape: of the channel.
        ends: for each expected word whether a row ends with it, 1 or 0; used where the word itself
            does not begin with `last`.
        bits: of each word, most significant first, 01xz.
        times: of each word in nanoseconds.
        failures: what is wrong with `tkeep` and `tlast`: the first few.
    """

    shape: Shape
    ends: Sequence[int] = ()
    bits: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def stream(self) -> str:
        """The stream of the unit."""
        return self.shape.channel.stream

    def file(self) -> bytes:
        """Return the words as a memory file; a digit with an unknown bit is x."""
        return "".join(f"{_hexadecimal(bits)}\n" for bits in self.bits).encode()

    def take(self, data: str, keep: str, last: str, time: int) -> None:
        """Add the kept lanes of a beat: its bits, 01xz, and when it was taken."""
        prefix, width = self.shape.channel.prefix, self.shape.width
        kept = len(keep) - len(keep.lstrip("0")) if keep.strip("01") == "" else 0
        lanes = len(keep) - kept
        legal = keep == "0" * kept + "1" * lanes and lanes > 0
        if not legal or (last == "0" and kept and self.shape.channel.framed):
            self._fail(f"{prefix}_tkeep is {keep} with tlast {last} at {time} ns")
        for lane in range(lanes):
            if legal or keep[len(keep) - 1 - lane] != "0":
                end = last if lane == lanes - 1 else "0"
                self._add(data[len(data) - (lane + 1) * width : len(data) - lane * width], end)
                self.times.append(time)
        if self.shape.channel.framed and not self.shape.last_in_word:
            word = len(self.bits) - 1
            expected = str(self.ends[word]) if 0 <= word < len(self.ends) else last
            if last != expected:
                self._fail(
                    f"{prefix}_tlast is {last} with word {word} at {time} ns, must be {expected}"
                )

    def _add(self, word: str, last: str) -> None:
        self.bits.append(last + word if self.shape.last_in_word else word)

    def _fail(self, text: str) -> None:
        if len(self.failures) < _SHOWN:
            self.failures.append(text)


@dataclass(frozen=True)
class Recording:
    """What came of one run of a device.

    Attributes:
        failures: one sentence each.
        cycles: of the clock; cases where there is none.
        lanes: words a beat of the widest channel.
        seconds: wall time.
        resets: nanoseconds at which resets in the middle of a row ended.
        times: nanoseconds of each word by stream.
        files: the words of each stream.
    """

    failures: list[str]
    cycles: int
    lanes: int
    seconds: float
    resets: list[int]
    times: dict[str, list[int]]
    files: dict[str, Path]


def write_recording(
    folder: Path, words: Sequence[Words], failures: Sequence[str], **counts: object
) -> None:
    """Put a run's words and report into `folder`; the report last.

    Args:
        folder: made where it is missing.
        words, failures: what the run gave.
        counts: cycles, lanes, seconds and resets of a `Recording`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for each in words:
        write_whole(folder / f"{each.stream}.mem", each.file())
    report = {
        "failures": list(failures),
        **counts,
        "times": {each.stream: each.times for each in words},
    }
    write_whole(folder / "report.json", json.dumps(report).encode())


def read_recording(folder: Path) -> Recording | None:
    """Return the run that is in `folder`, or None where it has not ended."""
    path = folder / "report.json"
    if not path.is_file():
        return None
    report = json.loads(path.read_bytes())
    files = {name: folder / f"{name}.mem" for name in report["times"]}
    return Recording(**report, files=files)


def _hexadecimal(bits: str) -> str:
    """Return bits as hexadecimal digits; a digit with an unknown bit is x."""
    digits = hex_digits(len(bits))
    if not bits.strip("01"):
        return f"{int(bits, 2):0{digits}x}"
    padded = bits.rjust(4 * digits, "0")
    parts = [padded[i : i + 4] for i in range(0, len(padded), 4)]
    return "".join("x" if part.strip("01") else f"{int(part, 2):x}" for part in parts)
