"""Everything that a cocotb testbench of one's own needs, in one import; `example/` shows it.

Needs cocotb: `pip install 'bitlog2[rtl]'`.
"""

from .agents import RowDriver, RowMonitor, Transfer
from .beats import Beat
from .bench import Agent, Bench
from .model import AttentionModel, Model
from .scoreboard import Scoreboard
from .sequencer import Sequencer

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
