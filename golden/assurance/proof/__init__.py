"""Proofs of the arithmetic of SPEC.md, and of the RTL against it."""

from bitlog2.extras import require

require("bitlog2.golden.assurance.proof", "z3")

from . import (
    claims_accumulators,
    claims_bounds,
    claims_code_memory,
    claims_exp2,
    claims_log2,
    claims_rounding,
    claims_row_max,
    claims_rtl,
)
from .claim import Claim, Setting, claims_of
from .proving import Line, Lines, decide, selected

__all__ = ["CLAIMS", "Claim", "Line", "Lines", "Setting", "decide", "selected"]

_FILES = (
    claims_log2,
    claims_exp2,
    claims_rounding,
    claims_bounds,
    claims_rtl,
    claims_row_max,
    claims_code_memory,
    claims_accumulators,
)
CLAIMS: tuple[Claim, ...] = tuple(each for file in _FILES for each in claims_of(file))
