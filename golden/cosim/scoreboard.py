"""The scoreboard of a testbench: what monitors took, held to the model."""

from .agents import RowMonitor
from .model import Model, compare_words
from .recording import Words
from .result import ProfileRun

__all__ = ["Scoreboard"]


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
