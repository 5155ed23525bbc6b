"""Vectors of exp2: every distance, hand-worked cases, the bugs that they find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.sim import AttentionConfig

Device = Callable[[np.ndarray, np.ndarray], np.ndarray]
TABLE = np.array(AttentionConfig().table)


@pytest.mark.parametrize(
    ("d", "mask", "e"),
    [
        (0, 0, 65536),  # T[0] (BL2-EXP2-01)
        (31, 0, 0x82CE),  # T[31]
        (159, 0, 2093),  # key 0 of the row worked in SPEC.md
        (17 * 32, 0, 1),  # a shift of P + 1 still gives 1 for T[0] (BL2-EXP2-02)
        (17 * 32 + 1, 0, 0),
        (18 * 32, 0, 0),  # a shift of P + 2 (BL2-EXP2-03)
        (1023, 0, 0),
        (0, 1, 0),  # a masked key (BL2-EXP2-04)
    ],
)
def test_golden_exp2_of_a_case_worked_by_hand(d: int, mask: int, e: int) -> None:
    found = simulated("exp2", {"stimulus": table(mask=[mask], d=[d])})
    assert found["expected"]["e"] == [e]


@pytest.mark.parametrize("fields", [{}, {"fraction_bits": 3, "table_bits": 8}])
def test_golden_exp2_default_cases_hold_every_distance_and_mask(fields: dict) -> None:
    config = AttentionConfig(**fields)
    columns = default_tables("exp2", config)["stimulus"]
    count = 2 * (config.d_max + 1)
    pairs = set(zip(columns["d"].tolist(), columns["mask"].tolist(), strict=True))
    assert len(pairs) == count
    assert len(columns["d"]) == count + 512


def shifted(entry: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return (entry + ((1 << shift) >> 1)) >> shift


def with_entry(f: int, value: int) -> Device:
    entries = TABLE.copy()
    entries[f] = value
    return lambda d, mask: np.where(mask == 1, 0, shifted(entries[d & 31], d >> 5))


BUGS: dict[str, Device] = {
    "TRN": lambda d, m: np.where(m == 1, 0, TABLE[d & 31] >> (d >> 5)),
    "mask ignored": lambda d, m: shifted(TABLE[d & 31], d >> 5),
    "shift of four bits": lambda d, m: np.where(m == 1, 0, shifted(TABLE[d & 31], (d >> 5) & 15)),
    "0 from a shift of P + 1": lambda d, m: np.where(
        (m == 1) | (d >> 5 > 16), 0, shifted(TABLE[d & 31], d >> 5)
    ),
    **{f"entry {f} one high": with_entry(f, int(TABLE[f]) + 1) for f in (0, 1, 16, 31)},
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_exp2_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("exp2")
    device = BUGS.get(bug, lambda d, m: np.where(m == 1, 0, shifted(TABLE[d & 31], d >> 5)))
    found = device(tables["stimulus"]["d"], tables["stimulus"]["mask"])
    assert np.array_equal(found, tables["expected"]["e"]) == (bug == "none")


def test_golden_exp2_refuses_a_distance_past_the_largest() -> None:
    with pytest.raises(ValueError, match="exp2 case 1: d must be from 0 to 1023, got 1024"):
        simulated("exp2", {"stimulus": table(mask=[0, 0], d=[1, 1024])})
