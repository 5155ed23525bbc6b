"""The specification: one value or one row at a time, unbounded integers, reads like the RTL."""

from .units.attention_row import RowTrace, attention_row, attention_row_from_scores
from .units.code_register import code_register, level_of_code, pack_row, unpack_row
from .units.distance_quantizer import distance_quantizer
from .units.exp2 import exp2
from .units.log2_quantizer import log2_quantizer, log2_quantizer_comparing, log2_quantizer_counting
from .units.output_requantizer import output_requantizer
from .units.row_max import distance, row_max
from .units.row_multiplier import row_multiplier
from .units.row_sum import row_sum
from .units.score_accumulator import score_accumulator
from .units.score_requantizer import score_requantizer
from .units.shift_add import shift_add, shift_add_lane
from .units.weight_sum import weight_sum

__all__ = [
    "RowTrace",
    "attention_row",
    "attention_row_from_scores",
    "code_register",
    "distance",
    "distance_quantizer",
    "exp2",
    "level_of_code",
    "log2_quantizer",
    "log2_quantizer_comparing",
    "log2_quantizer_counting",
    "output_requantizer",
    "pack_row",
    "row_max",
    "row_multiplier",
    "row_sum",
    "score_accumulator",
    "score_requantizer",
    "shift_add",
    "shift_add_lane",
    "unpack_row",
    "weight_sum",
]
