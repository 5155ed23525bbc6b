"""Everything that a cocotb testbench of one's own needs, in one import; `example/` shows it.

Needs cocotb: `pip install 'bitlog2[rtl]'`.
"""

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.utils import get_sim_time

from bitlog2.names import IDLE_CYCLES

from .model import AttentionModel, Beat, Model, Words, compare_words
from .result import ProfileRun

__all__ = [
    "Agent",
    "AttentionModel",
    "Beat",
    "Bench",
    "Model",
    "RowDriver",
    "RowMonitor",
    "Scoreboard",
    "Sequencer",
    "Transfer",
]


class Agent(Protocol):
    """What a bench steps."""

    @property
    def progress(self) -> int:
        """Transfers that count as progress."""

    def drive(self) -> None:
        """Write the ports for the next rising edge."""

    def sample(self) -> None:
        """Read the settled ports."""

    def clear(self) -> None:
        """Forget everything, for a reset: the ports must be quiet."""


class Bench:
    """The clock, the reset and the agents of a device.

    Args:
        dut: the device, with the ports `clk` and `rst_n` (synchronous, active low).
        period: period of the clock in nanoseconds, even.
    """

    def __init__(self, dut: Any, *, period: int = 10) -> None:
        self.dut = dut
        self.agents: list[Agent] = []
        self.cycles = 0
        self.clock = Clock(dut.clk, period, "ns")
        self.clock.start()

    def add(self, agent: Agent) -> None:
        """Step that agent too, after those that are there."""
        self.agents.append(agent)

    async def reset(self, cycles: int = 5) -> None:
        """Hold the device and its agents in reset."""
        await FallingEdge(self.dut.clk)
        self.dut.rst_n.value = 0
        for agent in self.agents:
            agent.clear()
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
        self.dut.rst_n.value = 1

    async def cycle(self) -> None:
        """Drive, let everything settle, sample."""
        await FallingEdge(self.dut.clk)
        for agent in self.agents:
            agent.drive()
        await ReadOnly()
        for agent in self.agents:
            agent.sample()
        self.cycles += 1

    async def run(self, done: Callable[[], bool], *, idle: int = IDLE_CYCLES) -> bool:
        """Run until `done`, or until there was no transfer for `idle` cycles; return `done()`."""
        seen, since = -1, 0
        while not done():
            await self.cycle()
            now = sum(agent.progress for agent in self.agents)
            since = since + 1 if now == seen else 0
            seen = now
            if since >= idle:
                return False
        return True


def now() -> int:
    """Return the simulation time in nanoseconds."""
    return int(get_sim_time("ns"))


_SHOWN = 3


@dataclass(frozen=True)
class Transfer:
    """A beat that a device gave: its bits as text, most significant first, 01xz, and when."""

    data: str
    keep: str
    last: str
    time: int


class _Stream:
    """The ports of a stream; those that the device lacks are None."""

    def __init__(self, dut: Any, prefix: str, seed: object) -> None:
        self.prefix = prefix
        self.failures: list[str] = []
        signals: list[Any] = [
            getattr(dut, f"{prefix}_{each}", None)
            for each in ("tvalid", "tready", "tdata", "tkeep", "tlast")
        ]
        self._valid, self._ready, self._data, self._keep, self._last = signals
        self._random = random.Random(f"{seed} {prefix}")

    def _fail(self, text: str) -> None:
        if len(self.failures) < _SHOWN:
            self.failures.append(f"{text} at {now()} ns")


class RowDriver(_Stream):
    """Drives `<prefix>_tvalid`, `_tdata` and where there are such ports `_tkeep` and `_tlast`.

    While nothing is offered the payload is random: a device must not look at it.

    Args:
        bench: bench that steps the driver.
        prefix: prefix of the ports.
        stall: chance in percent, 0 to 99, that a beat waits a cycle before it is offered.
        seed: seed of the stalls and of the random payload.
    """

    def __init__(self, bench: Bench, prefix: str, *, stall: int = 0, seed: object = 0) -> None:
        super().__init__(bench.dut, prefix, seed)
        self.stall, self.progress = stall, 0
        self.taken: Beat | None = None
        self._width = len(self._data)
        self._queue: deque[Beat] = deque()
        self._offered = self._silent = False
        bench.add(self)

    @property
    def waiting(self) -> int:
        """Beats that the device has not taken yet."""
        return len(self._queue)

    def send(self, beats: Iterable[Beat]) -> None:
        """Offer these beats after those that wait."""
        self._queue.extend(beats)

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()
        self._offered = self._silent = False
        self.progress = 0
        self._quiet()

    def drive(self) -> None:
        """Keep an offer that was not taken, else offer the next beat, or nothing."""
        if self._offered:
            return
        if not self._queue or self._random.randrange(100) < self.stall:
            self._quiet()
            return
        beat = self._queue[0]
        self._offered, self._silent = True, False
        self._valid.value = 1
        self._payload(beat.data, beat.keep, beat.last)

    def sample(self) -> None:
        """See whether the offer is taken: then `taken` is that beat for this cycle."""
        self.taken = None
        if not self._offered:
            return
        ready = str(self._ready.value)
        if ready == "1":
            self.taken = self._queue.popleft()
            self._offered = False
            self.progress += 1
        elif ready != "0":
            self._fail(f"{self.prefix}_tready is {ready}")

    def _quiet(self) -> None:
        if self._silent:
            return
        self._silent = True
        self._valid.value = 0
        bits = self._random.getrandbits
        lanes = 1 if self._keep is None else len(self._keep)
        self._payload(bits(self._width), bits(lanes), bits(1))

    def _payload(self, data: int, keep: int, last: int) -> None:
        self._data.value = data
        if self._keep is not None:
            self._keep.value = keep
        if self._last is not None:
            self._last.value = last


class RowMonitor(_Stream):
    """Takes what `<prefix>_tvalid`, `_tdata`, `_tkeep` and `_tlast` give, stalling at random.

    A stream without `_tready` is a tap: it is only listened to. Else what is offered must stay as
    it is until it is taken. With stalls one transfer of four waits for the offer before the monitor
    is ready, as AXI-Stream allows, so that a device that waits for `tready` first stands still.

    Args:
        bench: bench that steps the monitor.
        prefix: prefix of the ports.
        stall: chance in percent, 0 to 99, that it is not ready in a cycle.
        seed: seed of the stalls.
        expected: transfers that count as progress; None for all.
    """

    def __init__(
        self,
        bench: Bench,
        prefix: str,
        *,
        stall: int = 0,
        seed: object = 0,
        expected: int | None = None,
    ) -> None:
        super().__init__(bench.dut, prefix, seed)
        self.stall, self.expected = stall, expected
        self.transfers: list[Transfer] = []
        self.taken: Transfer | None = None
        self._taking = self._ready is None
        self._waits = False
        self._held: tuple[str, str, str] | None = None
        bench.add(self)

    @property
    def progress(self) -> int:
        """Transfers, but not more than are expected: a device that never ends makes none."""
        count = len(self.transfers)
        return count if self.expected is None else min(count, self.expected)

    @property
    def offered(self) -> bool:
        """Whether an offer waits to be taken."""
        return self._held is not None

    def check_reset(self) -> None:
        """Hold an output to its silence at the end of a reset."""
        if self._ready is not None and (valid := str(self._valid.value)) != "0":
            self._fail(f"{self.prefix}_tvalid is {valid} at the end of a reset")

    def clear(self) -> None:
        """Forget what was taken."""
        self.transfers.clear()
        self.taken = None
        self._held, self._waits = None, False
        self._set_ready(False)

    def drive(self) -> None:
        """Be ready, or not."""
        ready = self._random.randrange(100) >= self.stall
        self._set_ready(ready and (not self._waits or self._held is not None))

    def sample(self) -> None:
        """Take what is offered; hold it to the last offer that was not taken.

        `taken` is the transfer of this cycle.
        """
        self.taken = None
        valid = str(self._valid.value)
        if valid not in ("0", "1"):
            self._fail(f"{self.prefix}_tvalid is {valid}")
        payload = self._payload() if valid == "1" else None
        if self._held is not None and payload != self._held:
            what = "tvalid fell" if payload is None else "the payload changed"
            self._fail(f"{self.prefix}: {what} before tready")
        self._held = payload if not self._taking else None
        if payload is not None and self._taking:
            self.taken = Transfer(*payload, now())
            self.transfers.append(self.taken)
            self._waits = self.stall > 0 and self._random.randrange(4) == 0

    def _payload(self) -> tuple[str, str, str]:
        keep = "1" if self._keep is None else str(self._keep.value)
        last = "0" if self._last is None else str(self._last.value)
        return str(self._data.value), keep, last

    def _set_ready(self, ready: bool) -> None:
        if self._ready is not None:
            self._taking = ready
            self._ready.value = int(ready)


class Sequencer:
    """Hands rows to the drivers; parameters change only where every row before has ended.

    Rows with the same parameters follow one another without waiting.

    Args:
        bench: bench that steps it; add it before the drivers.
        model: model of the device, with the parameters of each row.
        rows: rows of the model in the order of play; None for all.
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


class Scoreboard:
    """Collects the words of a device's outputs.

    Args:
        model: model of the device.
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
            if each.of.channel.prefix == prefix:
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
