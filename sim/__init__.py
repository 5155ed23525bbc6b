"""The simulator: integers only, the authority on every bit.

`AttentionConfig` is what the hardware is built with, `LayerParams` what a layer loads, `attention`
a batch of heads in numba; `bitlog2.sim.spec` holds the specification, one value at a time.
"""

from .attention import AttentionTrace, attention, attention_from_scores
from .config import AttentionConfig, LayerParams, config_from_mapping
from .multiplier import multiplier_and_shift, score_bias
from .packing import pack_levels, unpack_levels
from .registers import (
    HIDDEN_REGISTERS,
    KEY_REGISTERS,
    OUTPUT_REGISTERS,
    REGISTERS,
    ROW_REGISTERS,
)
from .scheme import SCHEMES, Scheme, scheme_named
from .table import exp2_table

__all__ = [
    "HIDDEN_REGISTERS",
    "KEY_REGISTERS",
    "OUTPUT_REGISTERS",
    "REGISTERS",
    "ROW_REGISTERS",
    "SCHEMES",
    "AttentionConfig",
    "AttentionTrace",
    "LayerParams",
    "Scheme",
    "attention",
    "attention_from_scores",
    "config_from_mapping",
    "exp2_table",
    "multiplier_and_shift",
    "pack_levels",
    "scheme_named",
    "score_bias",
    "unpack_levels",
]
