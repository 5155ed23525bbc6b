"""Golden vectors: stimulus with coverage, expected values, files, and their verification.

`emit` makes a vector set, `run_device` plays the device under test, `verify` holds a set and a
device's outputs against the simulator. A unit is declared in one file of `units/`. `write_export`
writes a model's layers, `run_export` and `verify_export` feed them back to the simulator.
"""

from .package.comparison import Mismatch, StreamCount, UnitComparison
from .package.emission import (
    MOST_CASES,
    SOURCES,
    Emission,
    emit,
    emit_from,
    emit_rows,
    emit_stimulus,
    run_device,
)
from .package.export import AttentionLayer, Export, LinearLayer, is_export
from .package.exported import (
    ExportReport,
    ExportVerification,
    run_export,
    verify_export,
    write_export,
)
from .package.plan import Plan, plan
from .package.presets import PRESETS, load_config
from .package.verification import Verification, emit_and_verify_seconds, verify
from .stimulus.rows import RowCase
from .stimulus.unit import Origin
from .stimulus.units import UNITS

__all__ = [
    "MOST_CASES",
    "PRESETS",
    "SOURCES",
    "UNITS",
    "AttentionLayer",
    "Emission",
    "Export",
    "ExportReport",
    "ExportVerification",
    "LinearLayer",
    "Mismatch",
    "Origin",
    "Plan",
    "RowCase",
    "StreamCount",
    "UnitComparison",
    "Verification",
    "emit",
    "emit_and_verify_seconds",
    "emit_from",
    "emit_rows",
    "emit_stimulus",
    "is_export",
    "load_config",
    "plan",
    "run_device",
    "run_export",
    "verify",
    "verify_export",
    "write_export",
]
