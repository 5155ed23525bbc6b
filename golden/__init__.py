"""Golden vectors: stimulus with coverage, expected values, files, and their verification.

`emit` makes a vector set, `write_export` an export of a model's layers. `run_device` plays the
device under test with the simulator, `verify` compares a set, an export and a device's outputs with
it. A unit is declared in one file of `stimulus/`.
"""

from typing import TYPE_CHECKING

from bitlog2.lazy import on_first_use

if TYPE_CHECKING:
    from bitlog2.names import MOST_CASES, SOURCES

    from .package.comparison import FieldMismatch, StreamCount, UnitComparison
    from .package.emission import (
        Emission,
        emit,
        emit_from,
        emit_rows,
        emit_stimulus,
        run_device,
    )
    from .package.export import ExportReport, write_export
    from .package.export_manifest import (
        AttentionLayer,
        ConvolutionLayer,
        ExportManifest,
        LinearLayer,
        Params,
        Quantization,
    )
    from .package.generation import generate
    from .package.plan import Plan
    from .package.presets import PRESETS, load_config
    from .package.verification import (
        Verification,
        emit_and_verify_seconds,
        verify,
        verify_case,
    )
    from .stimulus.rows import RowCase
    from .stimulus.unit import Origin
    from .stimulus.units import UNITS
else:
    __getattr__ = on_first_use(__name__, __file__)

__all__ = [
    "MOST_CASES",
    "PRESETS",
    "SOURCES",
    "UNITS",
    "AttentionLayer",
    "ConvolutionLayer",
    "Emission",
    "ExportManifest",
    "ExportReport",
    "FieldMismatch",
    "LinearLayer",
    "Origin",
    "Params",
    "Plan",
    "Quantization",
    "RowCase",
    "StreamCount",
    "UnitComparison",
    "Verification",
    "emit",
    "emit_and_verify_seconds",
    "emit_from",
    "emit_rows",
    "emit_stimulus",
    "generate",
    "load_config",
    "run_device",
    "verify",
    "verify_case",
    "write_export",
]
