"""What a choice of the design costs in gates and LUTs, by Yosys."""

from .catalogue import CHOICES, Alternative, AlternativeGroup, Choice, Counts
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
    "AlternativeGroup",
    "Choice",
    "CostTable",
    "Counts",
    "count_cells",
    "longest_path",
    "measure_cost",
    "synthesize",
    "yosys_version",
]
