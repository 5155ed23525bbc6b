"""Grids: many cells (model, scheme, arithmetic, bits, seed) in one folder, resumable by batch.

A run is a folder. Its request never changes; each finished batch is a line in a journal; the result
is made of request and journals alone, so that it has the same bytes however often the run was
stopped, and however many processes shared it.
"""

from .cell import Cell
from .execution import run_grid
from .folder import RunFolder
from .reading import read_result
from .request import GridRequest
from .result import RESULT_SCHEMA, build_result
from .status import CellStatus, status_of

__all__ = [
    "RESULT_SCHEMA",
    "Cell",
    "CellStatus",
    "GridRequest",
    "RunFolder",
    "build_result",
    "read_result",
    "run_grid",
    "status_of",
]
