"""Proofs of the arithmetic of SPEC.md, and of the RTL against it."""

from importlib import import_module
from pkgutil import iter_modules

from bitlog2.extras import require

require("bitlog2.golden.assurance.proof", "z3")

from .claim import Claim, Setting, claims_of
from .device import device_setting
from .proving import Line, Lines, decide, selected

__all__ = [
    "CLAIMS",
    "Claim",
    "Line",
    "Lines",
    "Setting",
    "decide",
    "device_setting",
    "selected",
]

_FILES = [file.name for file in iter_modules(__path__) if file.name.startswith("claims_")]
#: The claims of every file `claims_*.py`.
CLAIMS: tuple[Claim, ...] = tuple(
    claim for file in _FILES for claim in claims_of(import_module(f".{file}", __package__))
)
