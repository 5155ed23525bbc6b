"""Golden vectors: stimulus with coverage, expected values, files, and their verification.

`emit` makes a vector set, `run_device` plays the device under test, `verify` holds a set and a
device's outputs against the simulator. A unit is declared in one file of `units/`. `write_export`
writes a model's layers, `run_export` and `verify_export` feed them back to the simulator.
"""

from .device import run_device
from .emission import MOST_CASES, SOURCES, Emission, emit, emit_from, emit_rows, emit_stimulus
from .export_files import is_export
from .export_layers import AttentionLayer, LinearLayer
from .export_manifest import Export
from .export_verify import ExportVerification, verify_export
from .exported import ExportReport, run_export, write_export
from .plan import Plan, plan
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
