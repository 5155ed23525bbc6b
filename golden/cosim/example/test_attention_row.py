"""A testbench of one's own: rows of one's own, given to a device and held to the model."""

from typing import Any

import cocotb
import numpy as np

from bitlog2.golden import RowCase
from bitlog2.golden.cosim import testbench as tb
from bitlog2.sim import AttentionConfig, LayerParams

CONFIG = AttentionConfig(max_head_dim=4, max_tokens=16)
PARAMS = LayerParams(m=47274, n=14, m2=43691, n2=23, zv=6, zo=7)


@cocotb.test()
async def rows_agree(dut: Any) -> None:
    """Hold outputs and taps to the model: twenty rows of 1 to 16 keys, stalls on every stream."""
    random, bench = np.random.default_rng(1), tb.Bench(dut)
    shapes = [(keys, 4) for keys in random.integers(1, 17, 20)]
    rows = [(random.integers(-300, 300, n), random.integers(0, 16, (n, d))) for n, d in shapes]
    model = tb.AttentionModel(CONFIG, [RowCase(score, v, PARAMS) for score, v in rows])
    sequencer, lanes = tb.Sequencer(bench, model), len(dut.s_axis_score_tkeep)
    for name in ("s_axis_score", "s_axis_v"):
        sequencer.feed(tb.RowDriver(bench, name, stall=25, seed=1), model.beats(name, lanes))
    seen = [tb.RowMonitor(bench, name, stall=25) for name in ("m_axis", "tap_keys", "tap_rows")]
    sequencer.watch(seen[0], model.ends("m_axis"))
    await bench.reset()
    assert await bench.run(lambda: sequencer.done), "the device is stuck"
    tb.Scoreboard(model).check(*seen)
