"""The simulator: integers only, the authority on every bit.

`AttentionConfig` is what the hardware is built with, `LayerParams` what a layer loads, `attention`
a batch of heads in numba; `bitlog2.sim.spec` holds the specification, one value at a time.
"""

from typing import TYPE_CHECKING

from bitlog2.lazy import on_first_use

if TYPE_CHECKING:
    from .config import AttentionConfig, LayerParams, config_from_mapping
    from .heads import AttentionTrace, attention, attention_from_scores
    from .multiplier import multiplier_and_shift, score_bias
    from .own_scheme import register_scheme, scheme_named
    from .packing import pack_levels, unpack_levels
    from .registers import (
        HIDDEN_REGISTERS,
        KEY_REGISTERS,
        OUTPUT_REGISTERS,
        REGISTERS,
        ROW_REGISTERS,
    )
    from .scheme import SCHEMES, Scheme
    from .table import exp2_table
else:
    __getattr__ = on_first_use(__name__, __file__)

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
    "register_scheme",
    "scheme_named",
    "score_bias",
    "unpack_levels",
]
