"""Everything that a cocotb testbench of one's own needs, in one import; `example/` shows it.

Needs cocotb: `pip install 'bitlog2[rtl]'`.
"""

from .agents import Agent, Bench, RowDriver, RowMonitor, Transfer
from .job import Beat
from .model import AttentionModel, Model
from .observers import Scoreboard
from .play import Sequencer

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
