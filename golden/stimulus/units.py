"""The units that vector sets hold: one declaration a file, listed here in datapath order."""

from bitlog2.sim.datapath import ATTENTION

from .attention_row import ATTENTION_ROW
from .code_register import CODE_REGISTER
from .exp2 import EXP2
from .log2_quantizer import LOG2_QUANTIZER
from .output_requantizer import OUTPUT_REQUANTIZER
from .row_max import ROW_MAX
from .row_sum import ROW_SUM
from .score_accumulator import SCORE_ACCUMULATOR
from .score_requantizer import SCORE_REQUANTIZER
from .shift_add import SHIFT_ADD
from .unit import Unit

_STIMULUS = (
    SCORE_ACCUMULATOR,
    SCORE_REQUANTIZER,
    ROW_MAX,
    EXP2,
    ROW_SUM,
    LOG2_QUANTIZER,
    CODE_REGISTER,
    SHIFT_ADD,
    OUTPUT_REQUANTIZER,
    ATTENTION_ROW,
)
_BY_NAME = {unit.name: unit for unit in _STIMULUS}

#: Every unit by name, in the order in which a set lists them.
UNITS: dict[str, Unit] = {name: _BY_NAME[name] for name in ATTENTION}
