"""A testbench of one's own: rows of one's own, given to a device and held to the model."""

from typing import Any

import cocotb
import numpy as np

from bitlog2.golden import RowCase
from bitlog2.golden.cosim.testbench import (
    AttentionModel,
    Bench,
    RowDriver,
    RowMonitor,
    Scoreboard,
    Sequencer,
)
from bitlog2.sim import AttentionConfig, LayerParams

CONFIG = AttentionConfig(max_head_dim=4, max_tokens=16)


def rows() -> list[RowCase]:
    """Return twenty rows of 1 to 16 keys."""
    rng, params = np.random.default_rng(1), LayerParams(m=47274, n=14, m2=43691, n2=23, zv=6, zo=7)
    return [
        RowCase(rng.integers(-300, 300, n), rng.integers(0, 16, (n, 4)), params)
        for n in rng.integers(1, 17, 20)
    ]


@cocotb.test()
async def rows_agree(dut: Any) -> None:
    """Hold the device's output codes and its taps to the model, with stalls on every stream."""
    bench, model, lanes = Bench(dut), AttentionModel(CONFIG, rows()), len(dut.s_axis_score_tkeep)
    sequencer = Sequencer(bench, model)
    for prefix in ("s_axis_score", "s_axis_v"):
        sequencer.feed(RowDriver(bench, prefix, stall=25, seed=1), model.beats(prefix, lanes))
    codes = RowMonitor(bench, "m_axis", stall=25, seed=1)
    sequencer.watch(codes, model.ends("m_axis"))
    taps = [RowMonitor(bench, "tap_keys"), RowMonitor(bench, "tap_rows")]
    await bench.reset()
    assert await bench.run(lambda: sequencer.done, idle=1000), "the device is stuck"
    board = Scoreboard(model)
    board.take(codes, *taps)
    board.check()
