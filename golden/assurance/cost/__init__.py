"""What a choice of the design costs in gates and LUTs, and which clock it reaches on an FPGA."""

from .catalogue import CHOICES, Alternative, AlternativeGroup, Choice, Counts
from .codes import code_lines
from .fpga import DEVICES
from .measure import (
    CHOICES_TABLE,
    TECHNOLOGIES,
    CostTable,
    count_cells,
    longest_path,
    measure_cost,
    measure_device,
    synthesize,
    yosys_version,
)
from .place import PLACED_TABLE, PlaceTable, measure_place

__all__ = [
    "CHOICES",
    "CHOICES_TABLE",
    "DEVICES",
    "PLACED_TABLE",
    "TECHNOLOGIES",
    "Alternative",
    "AlternativeGroup",
    "Choice",
    "CostTable",
    "Counts",
    "PlaceTable",
    "code_lines",
    "count_cells",
    "longest_path",
    "measure_cost",
    "measure_device",
    "measure_place",
    "synthesize",
    "yosys_version",
]
