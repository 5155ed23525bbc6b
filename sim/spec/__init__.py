"""The specification: one value or one row at a time, unbounded integers, reads like the RTL."""

from .attention_row import RowTrace, attention_row, attention_row_from_scores
from .code_register import code_register, level_of_code, pack_row, unpack_row
from .exp2 import exp2
from .log2_quantizer import log2_quantizer, log2_quantizer_comparing, log2_quantizer_counting
from .output_requantizer import output_requantizer
from .row_max import distance, row_max
from .row_sum import row_sum
from .score_accumulator import score_accumulator
from .score_requantizer import score_requantizer
from .shift_add import shift_add, shift_add_lane

__all__ = [
    "RowTrace",
    "attention_row",
    "attention_row_from_scores",
    "code_register",
    "distance",
    "exp2",
    "level_of_code",
    "log2_quantizer",
    "log2_quantizer_comparing",
    "log2_quantizer_counting",
    "output_requantizer",
    "pack_row",
    "row_max",
    "row_sum",
    "score_accumulator",
    "score_requantizer",
    "shift_add",
    "shift_add_lane",
    "unpack_row",
]
