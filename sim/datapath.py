"""The attention datapath: its units, in order."""

from .declarations import Unit
from .units.attention_row import ATTENTION_ROW
from .units.code_register import CODE_REGISTER
from .units.exp2 import EXP2
from .units.log2_quantizer import LOG2_QUANTIZER
from .units.output_requantizer import OUTPUT_REQUANTIZER
from .units.row_max import ROW_MAX
from .units.row_sum import ROW_SUM
from .units.score_accumulator import SCORE_ACCUMULATOR
from .units.score_requantizer import SCORE_REQUANTIZER
from .units.shift_add import SHIFT_ADD

#: The nine units by name, and after them the row that they make.
ATTENTION: dict[str, Unit] = {
    unit.name: unit
    for unit in (
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
}

#: The version of SPEC.md, and of manifests: of whichever unit changed last.
SPECIFICATION_VERSION = max(unit.version for unit in ATTENTION.values())
