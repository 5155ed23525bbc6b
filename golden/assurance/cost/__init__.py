"""What a choice of the design costs in gates and LUTs, and which clock it reaches on an FPGA."""

from .catalogue import CHOICES, Alternative, AlternativeGroup, Choice, Counts
from .fpga import DEVICES
from .measure import (
    TECHNOLOGIES,
    CostTable,
    count_cells,
    longest_path,
    measure_cost,
    synthesize,
    yosys_version,
)
from .place import PLACED_TABLE, PlaceTable, measure_place

__all__ = [
    "CHOICES",
    "DEVICES",
    "PLACED_TABLE",
    "TECHNOLOGIES",
    "Alternative",
    "AlternativeGroup",
    "Choice",
    "CostTable",
    "Counts",
    "PlaceTable",
    "count_cells",
    "longest_path",
    "measure_cost",
    "measure_place",
    "synthesize",
    "yosys_version",
]
