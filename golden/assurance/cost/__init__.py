"""What a choice of the design costs in gates and LUTs, by Yosys."""

from .catalogue import CHOICES, Alternative, Choice, Counts, Group
from .measure import (
    TECHNOLOGIES,
    CostTable,
    count_cells,
    longest_path,
    measure_cost,
    synthesize,
    yosys_version,
)

__all__ = [
    "CHOICES",
    "TECHNOLOGIES",
    "Alternative",
    "Choice",
    "CostTable",
    "Counts",
    "Group",
    "count_cells",
    "longest_path",
    "measure_cost",
    "synthesize",
    "yosys_version",
]
