"""A testbench that has the agents of cocotbext-axi already: a frame is a row."""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource
from test_attention_row import CONFIG, PARAMS  # type: ignore[import-not-found]

from bitlog2.golden import RowCase
from bitlog2.golden.cosim import testbench as tb


def rows() -> list[RowCase]:
    """Return twenty rows of 1 to 16 keys."""
    chance = np.random.default_rng(2)
    return [
        RowCase(chance.integers(-300, 300, keys), chance.integers(0, 16, (keys, 4)), PARAMS)
        for keys in chance.integers(1, 17, 20)
    ]


def pauses(seed: int) -> Iterator[bool]:
    """Yield for every cycle whether a stream pauses: in a quarter of them."""
    chance = random.Random(seed)
    while True:
        yield chance.random() < 0.25


@cocotb.test()
async def axi_agents_agree(dut: Any) -> None:
    """Hold the output codes to the model, with pauses on every stream."""
    Clock(dut.clk, 10, "ns").start()
    model, clocked = tb.AttentionModel(CONFIG, rows()), (dut.clk, dut.rst_n, False)
    sources = {
        name: AxiStreamSource(AxiStreamBus.from_prefix(dut, name), *clocked)
        for name in ("s_axis_score", "s_axis_v")
    }
    width = CONFIG.o_bits
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), *clocked, byte_size=width)
    for seed, agent in enumerate((*sources.values(), sink)):
        agent.set_pause_generator(pauses(seed))
    for name in model.device.contract.params:
        getattr(dut, name).value = getattr(PARAMS, name)
    dut.rst_n.value = 0
    await ClockCycles(dut.clk, 5)
    dut.rst_n.value = 1
    for name, source in sources.items():
        for row in model.beats(name):
            source.send_nowait(AxiStreamFrame([beat.data for beat in row]))
    for index, expected in enumerate(model.vectors.tables["expected"]["o"].tolist()):
        frame = await with_timeout(sink.recv(), 10, "us")
        assert frame.tdata == expected, f"row {index}"
    await ClockCycles(dut.clk, 100)
    assert sink.empty(), "a row too many"
