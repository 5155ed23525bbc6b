"""Line and toggle coverage of the reference RTL under a vector set."""

from .dat import Point, read_points
from .measure import measure_structure
from .reasons import Reason, load_reasons, read_reasons
from .report import Missed, StructureReport, judge

__all__ = [
    "Missed",
    "Point",
    "Reason",
    "StructureReport",
    "judge",
    "load_reasons",
    "measure_structure",
    "read_points",
    "read_reasons",
]
