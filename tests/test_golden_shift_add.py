"""Vectors of shift-and-add: hand-worked rows, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.golden.words.framing import row_slices, sums_of_rows
from bitlog2.sim import SCHEMES, AttentionConfig

CONFIG = AttentionConfig()
#: level and v - zv to the term.
Device = Callable[[np.ndarray, np.ndarray], np.ndarray]


@pytest.mark.requirement("BL2-ACC-01")
def test_golden_shift_add_of_a_row_worked_by_hand() -> None:
    """The row of SPEC.md: acc -322 and 502."""
    v = [[13, 2], [0, 7], [4, 15], [0, 6], [6, 8], [13, 11], [10, 0], [7, 12]]
    inputs = {
        "params": table(zv=[6]),
        "stimulus": table(
            last=[0] * 7 + [1],
            nibble=[5, 7, 0, 10, 15, 0, 0, 1],
            flag=[0, 0, 1, 0, 0, 1, 0, 0],
            v=v,
        ),
    }
    found = simulated("shift_add", inputs, CONFIG, head_dim=2)
    assert found["expected"]["acc"].tolist() == [[-322, 502]]


def terms(level: np.ndarray, x: np.ndarray) -> np.ndarray:
    k, half_bit = level >> 1, level & 1
    both = (x << k) + np.where((half_bit == 1) & (level > 1), x << np.maximum(k - 1, 0), 0)
    return np.where(level == 0, 0, both)


BUGS: dict[str, Device] = {
    "half bit of level 1": lambda level, x: np.where(level == 1, x + (x >> 1), terms(level, x)),
    "half bit lost": lambda level, x: np.where(level == 0, 0, x << (level >> 1)),
    "half bit added whole": lambda level, x: np.where(
        (level > 1) & (level % 2 == 1), x << ((level >> 1) + 1), terms(level, x)
    ),
    "level 0 adds": lambda level, x: np.where(level == 0, x, terms(level, x)),
    "shift of three bits": lambda level, x: np.where(level == 16, x, terms(level, x)),
    "term of 12 bits": lambda level, x: ((terms(level, x) + 2048) & 4095) - 2048,
    "|x|": lambda level, x: terms(level, np.abs(x)),
    "x of four bits": lambda level, x: terms(level, ((x + 8) & 15) - 8),
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_shift_add_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("shift_add")
    beats, zv = tables["stimulus"], tables["params"]["zv"]
    level = np.where(beats["flag"] == 1, 0, beats["nibble"] + 1)
    keys = [row.stop - row.start for row in row_slices(beats["last"])]
    x = beats["v"] - np.repeat(zv, keys)[:, None]
    found = BUGS.get(bug, terms)(level[:, None], x)
    acc = np.stack([sums_of_rows(lane, beats["last"]) for lane in found.T], axis=1)
    assert np.array_equal(acc, tables["expected"]["acc"]) == (bug == "none")


@pytest.mark.requirement("BL2-ACC-02")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_golden_shift_add_reaches_both_bounds_of_its_scheme(scheme: str) -> None:
    bound = 15 * SCHEMES[scheme].int_max
    acc = default_tables("shift_add", AttentionConfig(scheme=scheme))["expected"]["acc"]
    assert (acc.min(), acc.max()) == (-bound, bound)


@pytest.mark.parametrize(
    ("nibble", "flag", "message"),
    [
        ([0, 15, 15], [1, 0, 0], "case 1: the sum of the values must be from 0 to 384, got 512"),
        ([0, 3, 0], [1, 1, 0], "case 1: a nibble beside the flag must be from 0 to 0, got 3"),
    ],
)
def test_golden_shift_add_refuses_what_no_row_has(
    nibble: list[int], flag: list[int], message: str
) -> None:
    stimulus = table(last=[1, 0, 1], nibble=nibble, flag=flag, v=[[1], [1], [1]])
    with pytest.raises(ValueError, match=f"shift_add {message}"):
        simulated("shift_add", {"params": table(zv=[0, 0]), "stimulus": stimulus})


def test_golden_shift_add_refuses_a_flag_where_there_is_none() -> None:
    inputs = {
        "params": table(zv=[0]),
        "stimulus": table(last=[1], nibble=[0], flag=[1], v=[[1]]),
    }
    with pytest.raises(ValueError, match="shift_add case 0: flag must be from 0 to 0, got 1"):
        simulated("shift_add", inputs, AttentionConfig(scheme="BitLog2_Single_16"))
