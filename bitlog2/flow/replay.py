"""The row in which a register differed, as a vector set of its own."""

from pathlib import Path

from bitlog2.golden import RowCase, emit_rows
from bitlog2.models.watch.check import Mismatch

from .capture import origin_of


def row_case(model: str, mismatch: Mismatch) -> RowCase:
    """Return the row of a mismatch."""
    return RowCase(
        scores=mismatch.score,
        v=mismatch.v,
        params=mismatch.params,
        masked=mismatch.masked,
        bias=mismatch.bias,
        reason=f"register {mismatch.register} differed",
        origin=origin_of(
            model, mismatch.layer, mismatch.window, mismatch.head, mismatch.image, mismatch.row
        ),
    )


def write_replay(folder: Path, model: str, mismatch: Mismatch) -> None:
    """Write the row of a mismatch as a vector set, for `golden verify` and testbenches."""
    emit_rows(folder, mismatch.config, [row_case(model, mismatch)])
