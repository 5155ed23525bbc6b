"""Proofs of the arithmetic of SPEC.md, and of the RTL against it."""

from bitlog2.extras import require

require("bitlog2.golden.assurance.proof", "z3")

from .claim import Claim, Setting
from .claims_accumulators import ACCUMULATOR_CLAIMS
from .claims_bounds import BOUND_CLAIMS
from .claims_code_memory import CODE_MEMORY_CLAIMS
from .claims_exp2 import EXP2_CLAIMS
from .claims_log2 import LOG2_CLAIMS, LOGARITHM_CLAIMS
from .claims_rounding import ROUNDING_CLAIMS
from .claims_row_max import ROW_MAX_CLAIMS
from .claims_rtl import RTL_CLAIMS
from .proving import Line, Lines, decide, selected

__all__ = ["CLAIMS", "Claim", "Line", "Lines", "Setting", "decide", "selected"]

CLAIMS: tuple[Claim, ...] = (
    *LOG2_CLAIMS,
    *LOGARITHM_CLAIMS,
    *EXP2_CLAIMS,
    *ROUNDING_CLAIMS,
    *BOUND_CLAIMS,
    *RTL_CLAIMS,
    *ROW_MAX_CLAIMS,
    *CODE_MEMORY_CLAIMS,
    *ACCUMULATOR_CLAIMS,
)
