"""The units that vector sets hold: one declaration a file, listed here."""

from ..unit import Unit
from .attention_row import ATTENTION_ROW
from .log2_quantizer import LOG2_QUANTIZER

__all__ = ["UNITS"]

#: Every unit by name, in the order in which a set lists them.
UNITS: dict[str, Unit] = {unit.name: unit for unit in (LOG2_QUANTIZER, ATTENTION_ROW)}
