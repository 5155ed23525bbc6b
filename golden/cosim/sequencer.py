"""Rows in their order, each with the layer parameters that it needs."""

from bisect import bisect_right
from collections.abc import Sequence

from .agents import RowDriver, RowMonitor
from .beats import Beat
from .bench import Bench
from .model import Model

__all__ = ["Sequencer"]


class Sequencer:
    """Hands rows to the drivers; parameters change only where every row before has ended.

    Rows with the same parameters follow one another without waiting.

    Args:
        bench: that steps it; add it before the drivers.
        model: of the device, with the parameters of each row.
        rows: of the model, in the order in which they come; None for all.
    """

    progress = 0

    def __init__(self, bench: Bench, model: Model, rows: Sequence[int] | None = None) -> None:
        self.drivers: list[RowDriver] = []
        self._handles = [getattr(bench.dut, name) for name in model.device.contract.params]
        order = range(len(model.params)) if rows is None else rows
        self._params = [model.params[row] for row in order] if model.params else []
        self._rows: list[Sequence[Sequence[Beat]]] = []
        self._watched: list[tuple[RowMonitor, Sequence[int]]] = []
        self._handed = 0
        self._set: tuple[int, ...] | None = None
        bench.add(self)

    def feed(self, driver: RowDriver, rows: Sequence[Sequence[Beat]]) -> None:
        """Give these rows to that driver."""
        self.drivers.append(driver)
        self._rows.append(rows)

    def watch(self, monitor: RowMonitor, ends: Sequence[int]) -> None:
        """Count a row as ended when the monitor has `ends[row]` transfers."""
        self._watched.append((monitor, ends))

    @property
    def ended(self) -> int:
        """How many rows every watched monitor has had all transfers of."""
        return min(bisect_right(ends, len(monitor.transfers)) for monitor, ends in self._watched)

    @property
    def done(self) -> bool:
        """Whether every row was taken and has ended."""
        return self._handed == len(self._rows[0]) and self._ended()

    def clear(self) -> None:
        """Begin with the first row again."""
        self._handed, self._set = 0, None

    def drive(self) -> None:
        """Hand out the rows that may begin."""
        while self._handed < len(self._rows[0]) and self._may_begin():
            if self._params:
                self._load(self._params[self._handed])
            for driver, rows in zip(self.drivers, self._rows, strict=True):
                driver.send(rows[self._handed])
            self._handed += 1

    def sample(self) -> None:
        """Nothing to read."""

    def _may_begin(self) -> bool:
        if not self._params or self._params[self._handed] == self._set:
            return True
        return self._ended()

    def _ended(self) -> bool:
        if any(driver.waiting for driver in self.drivers):
            return False
        if not self._handed:
            return True
        return all(
            len(monitor.transfers) >= ends[self._handed - 1] for monitor, ends in self._watched
        )

    def _load(self, params: tuple[int, ...]) -> None:
        if params == self._set:
            return
        self._set = params
        for handle, value in zip(self._handles, params, strict=True):
            handle.value = value
