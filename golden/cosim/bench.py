"""Clock, reset and the cycle of a bench for cocotb.

Everything is driven at the falling edge and sampled once it has settled, which is what the next
rising edge will see: so no agent depends on the order in which a simulator runs its processes.
"""

from collections.abc import Callable
from typing import Any, Protocol

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.utils import get_sim_time

from .job import IDLE_CYCLES

__all__ = ["Agent", "Bench", "now"]


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
