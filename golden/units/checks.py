"""Ranges of stimulus: what no legal row hands to a unit is refused, and the case named."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..framing import row_lengths

__all__ = ["check_lengths", "check_multipliers", "check_range"]


def check_range(
    unit: str,
    name: str,
    values: NDArray[np.int64],
    low: int,
    high: int,
    case_of: ArrayLike | None = None,
) -> None:
    """Refuse a value out of range.

    Args:
        unit, name: what errors call the unit and the field.
        values: (words,) or (words, lanes).
        low, high: the legal range, both included.
        case_of: (words,) the case of each word; None where a word is a case.

    Raises:
        ValueError: names the first such case.
    """
    wrong = np.argwhere((values < low) | (values > high))
    if wrong.size:
        word = int(wrong[0][0])
        case = word if case_of is None else int(np.asarray(case_of)[word])
        raise ValueError(
            f"{unit} case {case}: {name} must be from {low} to {high}, "
            f"got {int(values[tuple(wrong[0])])}"
        )


def check_multipliers(
    unit: str,
    multiplier: tuple[str, NDArray[np.int64], int],
    shift: tuple[str, NDArray[np.int64], int],
) -> None:
    """Refuse a multiplier of 0 or too many bits, or a shift past its largest.

    Args:
        unit: what errors call it.
        multiplier: (name, values, bits).
        shift: (name, values, largest).

    Raises:
        ValueError: names the first such case.
    """
    check_range(unit, multiplier[0], multiplier[1], 1, (1 << multiplier[2]) - 1)
    check_range(unit, shift[0], shift[1], 0, shift[2])


def check_lengths(unit: str, last: NDArray[np.int64], most: int) -> None:
    """Refuse a row of more beats than the hardware is built for.

    Raises:
        ValueError: names the first such case.
    """
    check_range(unit, "beats", row_lengths(last), 1, most)
