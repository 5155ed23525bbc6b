"""Vectors of row max and distance: hand-worked rows, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.golden import UNITS
from bitlog2.golden.words.framing import row_slices
from bitlog2.sim import AttentionConfig

CONFIG = AttentionConfig()
#: t and mask of a row to its maximum and distances.
Device = Callable[[Sequence[int], Sequence[int]], tuple[int, list[int]]]


def test_golden_row_max_of_rows_worked_by_hand() -> None:
    """The row of SPEC.md, whose largest t is masked; and a row of one key."""
    t = [23, 67, -208, 113, 182, 186, -55, -31]
    stimulus = table(last=[0, 0, 0, 0, 0, 0, 0, 1, 1], mask=[0, 0, 0, 0, 0, 1, 0, 0, 0], t=[*t, -9])
    found = simulated("row_max", {"stimulus": stimulus})
    assert found["expected"]["row_max"].tolist() == [182, -9]
    assert found["keys"]["d"].tolist() == [159, 115, 390, 69, 0, 1023, 237, 213, 0]


def plain(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    top = max(value for value, hidden in zip(t, mask, strict=True) if not hidden)
    return top, [min(top - value, 1023) for value in t]


def masked_counts(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    return max(t), [min(max(t) - value, 1023) for value in t]


def starts_at_zero(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    top = max(0, plain(t, mask)[0])
    return top, [min(top - value, 1023) for value in t]


def first_beat_missed(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    return plain(t[1:], mask[1:]) if not all(mask[1:]) else plain(t, mask)


def last_beat_missed(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    top = plain(t[:-1], mask[:-1])[0] if not all(mask[:-1]) else plain(t, mask)[0]
    return top, [min(top - value, 1023) for value in t]


def unsigned(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    seen = [value for value, hidden in zip(t, mask, strict=True) if not hidden]
    top = max(seen, key=lambda value: value & 0x3FFFF)
    return top, [min(top - value, 1023) for value in t]


def wrapped_distance(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    top, _ = plain(t, mask)
    return top, [(top - value) & 1023 for value in t]


def narrow_difference(t: Sequence[int], mask: Sequence[int]) -> tuple[int, list[int]]:
    top, _ = plain(t, mask)
    return top, [min((top - value) & 0x1FFFF, 1023) for value in t]


BUGS: list[Device] = [
    masked_counts,
    starts_at_zero,
    first_beat_missed,
    last_beat_missed,
    unsigned,
    wrapped_distance,
    narrow_difference,
]


@pytest.mark.parametrize("device", [plain, *BUGS], ids=lambda device: device.__name__)
def test_golden_row_max_default_cases_find_a_bug(device: Device) -> None:
    tables = default_tables("row_max")
    beats, agree = tables["stimulus"], True
    for case, row in enumerate(row_slices(beats["last"])):
        mask = beats["mask"][row].tolist()
        top, d = device(beats["t"][row].tolist(), mask)
        agree &= top == tables["expected"]["row_max"][case]
        expected = tables["keys"]["d"][row].tolist()
        agree &= len(d) == len(mask) and all(
            hidden or a == b for hidden, a, b in zip(mask, d, expected, strict=True)
        )
    assert agree == (device is plain)


def test_golden_row_max_leaves_the_distance_of_masked_keys_out() -> None:
    tables = default_tables("row_max")
    ignored = UNITS["row_max"].ignored(tables)["keys", "d"]
    assert np.array_equal(ignored, tables["stimulus"]["mask"] == 1)


def test_golden_row_max_refuses_a_row_fully_masked() -> None:
    stimulus = table(last=[1, 0, 1], mask=[0, 1, 1], t=[1, 2, 3])
    with pytest.raises(ValueError, match="row_max case 1: keys that are not masked must be from 1"):
        simulated("row_max", {"stimulus": stimulus})


def test_golden_row_max_refuses_a_row_that_is_too_long() -> None:
    stimulus = table(last=[1, 0, 0, 1], mask=[0] * 4, t=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="row_max case 1: beats must be from 1 to 2, got 3"):
        simulated("row_max", {"stimulus": stimulus}, AttentionConfig(max_tokens=2))
