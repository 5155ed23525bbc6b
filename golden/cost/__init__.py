"""What a choice of the design costs in gates and LUTs, by Yosys."""

from .catalogue import CHOICES
from .choice import Alternative, Choice, Group
from .netlist import Counts, count_cells, longest_path
from .synthesis import TECHNOLOGIES, synthesize, yosys_version
from .table import CostTable, measure_cost

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
