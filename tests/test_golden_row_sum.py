"""Vectors of the row sum: hand-worked rows, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.golden.words.framing import row_slices

ONE = 1 << 16


@pytest.mark.requirement("BL2-SUM-01", "BL2-SUM-02")
def test_golden_row_sum_of_rows_worked_by_hand() -> None:
    """The row of SPEC.md, one key, and two keys at the maximum."""
    e = [2093, 5428, 14, 14702, 65536, 0, 386, 650, ONE, ONE, ONE]
    last = [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1]
    found = simulated("row_sum", {"stimulus": table(last=last, e=e)})
    assert found["expected"]["s"].tolist() == [88809, ONE, 2 * ONE]


BUGS: dict[str, Callable[[np.ndarray], int]] = {
    "26 bits": lambda e: int(e.sum()) & (2**26 - 1),
    "first beat missed": lambda e: int(e[1:].sum()),
    "last beat missed": lambda e: int(e[:-1].sum()),
    "e of 16 bits": lambda e: int((e & 0xFFFF).sum()),
    "no carry past bit 20": lambda e: int(np.bitwise_or.reduce(e)),
    "saturated": lambda e: min(int(e.sum()), 2**26 - 1),
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_row_sum_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("row_sum")
    e = tables["stimulus"]["e"]
    device = BUGS.get(bug, lambda row: int(row.sum()))
    found = [device(e[row]) for row in row_slices(tables["stimulus"]["last"])]
    assert (found == tables["expected"]["s"].tolist()) == (bug == "none")


def test_golden_row_sum_default_cases_reach_both_bounds() -> None:
    s = default_tables("row_sum")["expected"]["s"]
    assert (s.min(), s.max()) == (ONE, 1024 * ONE)


@pytest.mark.parametrize(
    ("e", "message"),
    [
        ([ONE, ONE + 1], "row_sum case 1: e must be from 0 to 65536, got 65537"),
        ([ONE, ONE - 1], "row_sum case 1: the largest e must be from 65536 to 65536, got 65535"),
    ],
)
def test_golden_row_sum_refuses_what_no_row_has(e: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulated("row_sum", {"stimulus": table(last=[1, 1], e=e)})
