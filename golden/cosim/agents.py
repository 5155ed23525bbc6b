"""What drives and watches the streams of a device."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.utils import get_sim_time

from bitlog2.names import IDLE_CYCLES

from .job import Beat


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
        period: of the clock in nanoseconds, even.
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


def _port(dut: Any, name: str) -> Any:
    return getattr(dut, name, None)


class RowDriver:
    """Drives `<prefix>_tvalid`, `_tdata` and where there are such ports `_tkeep` and `_tlast`.

    While nothing is offered the payload is random: a device must not look at it.

    Args:
        bench: that steps the driver.
        prefix: of the ports.
        stall: chance in percent, 0 to 99, that a beat waits a cycle before it is offered.
        seed: of the stalls and of the random payload.
    """

    def __init__(self, bench: Bench, prefix: str, *, stall: int = 0, seed: object = 0) -> None:
        dut = bench.dut
        self.prefix, self.stall, self.progress = prefix, stall, 0
        self.taken: Beat | None = None
        self.failures: list[str] = []
        self._valid, self._ready = _port(dut, f"{prefix}_tvalid"), _port(dut, f"{prefix}_tready")
        self._data, self._keep = _port(dut, f"{prefix}_tdata"), _port(dut, f"{prefix}_tkeep")
        self._last = _port(dut, f"{prefix}_tlast")
        self._width = len(self._data)
        self._random = random.Random(f"{seed} {prefix}")
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
        elif ready != "0" and len(self.failures) < _SHOWN:
            self.failures.append(f"{self.prefix}_tready is {ready} at {now()} ns")

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


class RowMonitor:
    """Takes what `<prefix>_tvalid`, `_tdata`, `_tkeep` and `_tlast` give, stalling at random.

    A stream without `_tready` is a tap: it is only listened to. Else what is offered must stay as
    it is until it is taken. With stalls one transfer of four is shy: it waits for the offer before
    it is ready, as AXI-Stream allows, so that a device that waits for `tready` first stands still.

    Args:
        bench: that steps the monitor.
        prefix: of the ports.
        stall: chance in percent, 0 to 99, that it is not ready in a cycle.
        seed: of the stalls.
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
        dut = bench.dut
        self.prefix, self.stall, self.expected = prefix, stall, expected
        self.transfers: list[Transfer] = []
        self.failures: list[str] = []
        self._valid, self._ready = _port(dut, f"{prefix}_tvalid"), _port(dut, f"{prefix}_tready")
        self._data, self._keep = _port(dut, f"{prefix}_tdata"), _port(dut, f"{prefix}_tkeep")
        self._last = _port(dut, f"{prefix}_tlast")
        self._random = random.Random(f"{seed} {prefix}")
        self._taking = self._ready is None
        self._shy = False
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
        self._held, self._shy = None, False
        self._set_ready(False)

    def drive(self) -> None:
        """Be ready, or not."""
        ready = self._random.randrange(100) >= self.stall
        self._set_ready(ready and (not self._shy or self._held is not None))

    def sample(self) -> None:
        """Take what is offered; hold it to the last offer that was not taken."""
        valid = str(self._valid.value)
        if valid not in ("0", "1"):
            self._fail(f"{self.prefix}_tvalid is {valid}")
        payload = self._payload() if valid == "1" else None
        if self._held is not None and payload != self._held:
            what = "tvalid fell" if payload is None else "the payload changed"
            self._fail(f"{self.prefix}: {what} before tready")
        self._held = payload if not self._taking else None
        if payload is not None and self._taking:
            self.transfers.append(Transfer(*payload, now()))
            self._shy = self.stall > 0 and self._random.randrange(4) == 0

    def _payload(self) -> tuple[str, str, str]:
        keep = "1" if self._keep is None else str(self._keep.value)
        last = "0" if self._last is None else str(self._last.value)
        return str(self._data.value), keep, last

    def _set_ready(self, ready: bool) -> None:
        if self._ready is not None:
            self._taking = ready
            self._ready.value = int(ready)

    def _fail(self, text: str) -> None:
        if len(self.failures) < _SHOWN:
            self.failures.append(f"{text} at {now()} ns")
