"""Golden vectors: stimulus with coverage, expected values, files, and their verification.

`emit` makes a vector set, `run_device` plays the device under test, `verify` holds a set and a
device's outputs against the simulator. A unit is declared in one file of `units/`.
"""

from .device import run_device
from .emission import MOST_CASES, SOURCES, Emission, emit, emit_from, emit_rows
from .presets import PRESETS, load_config
from .report import Mismatch, StreamCount, UnitComparison
from .rows import RowCase
from .throughput import emit_and_verify_seconds
from .unit import Origin
from .units import UNITS
from .verification import Verification, verify

__all__ = [
    "MOST_CASES",
    "PRESETS",
    "SOURCES",
    "UNITS",
    "Emission",
    "Mismatch",
    "Origin",
    "RowCase",
    "StreamCount",
    "UnitComparison",
    "Verification",
    "emit",
    "emit_and_verify_seconds",
    "emit_from",
    "emit_rows",
    "load_config",
    "run_device",
    "verify",
]
