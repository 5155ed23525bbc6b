"""Line and toggle coverage of the reference RTL under a vector set."""

from .measure import Missed, StructureReport, judge, measure_structure
from .points import CodePoint, Reason, load_reasons, read_points, read_reasons

__all__ = [
    "CodePoint",
    "Missed",
    "Reason",
    "StructureReport",
    "judge",
    "load_reasons",
    "measure_structure",
    "read_points",
    "read_reasons",
]
