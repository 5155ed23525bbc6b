"""Co-simulation: vector sets through RTL in Verilator or Icarus Verilog, by cocotb.

`cosim` plays a set through the reference RTL or through a user's device. What runs inside a
simulator and needs cocotb is in `testbench`: `Bench`, `RowDriver`, `RowMonitor`, `AttentionModel`,
`Scoreboard`. `regression` plays small sets of many configurations.
"""

from bitlog2.names import IDLE_CYCLES, LIMIT_SECONDS, PROFILES, SIMULATORS, STALL_PERCENT

from ..simulation import Rtl
from .model import DEVICES, devices_within
from .options import CosimOptions
from .regression import (
    CHOICES,
    CONFIGURATIONS,
    RegressionPoint,
    RegressionResult,
    regression,
    run_point,
    units_of,
)
from .result import CosimResult, ProfileRun, UnitRun
from .run import cosim
from .simulators import ended_by_signals, simulator_named

__all__ = [
    "CHOICES",
    "CONFIGURATIONS",
    "DEVICES",
    "IDLE_CYCLES",
    "LIMIT_SECONDS",
    "PROFILES",
    "SIMULATORS",
    "STALL_PERCENT",
    "CosimOptions",
    "CosimResult",
    "ProfileRun",
    "RegressionPoint",
    "RegressionResult",
    "Rtl",
    "UnitRun",
    "cosim",
    "devices_within",
    "ended_by_signals",
    "regression",
    "run_point",
    "simulator_named",
    "units_of",
]
