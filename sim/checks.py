"""Checks at the public border: one sentence with the argument, its value and the legal range."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitlog2.documents import brief

#: What kernels are compiled for. None writes its inputs, but of numba those that cannot be written
#: are other types, for which everything is compiled anew.
KERNEL_ARRAY: tuple[Literal["C"], Literal["W"]] = ("C", "W")


def check_int(name: str, value: object, low: int, high: int) -> int:
    """Return `value` when it is an integer in [low, high]; bool does not count as one.

    Raises:
        TypeError: it is no integer.
        ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{name} must be an integer from {low} to {high}, got {brief(value)} "
            f"({type(value).__name__})"
        )
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {brief(int(value))}")
    return int(value)


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse what is no instance of a class; TypeError."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be of type {kind.__name__}, got {brief(value)} ({type(value).__name__})"
        )


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return `value` when it is one of `choices`.

    Raises:
        TypeError: it is no string.
        ValueError: it is not among the choices.
    """
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be one of {', '.join(choices)}, got {brief(value)} "
            f"({type(value).__name__})"
        )
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {brief(value)}")
    return value


def check_codes(name: str, array: Any, low: int, high: int, ndim: int) -> NDArray[np.int32]:
    """Return `array` as contiguous int32 when it holds integers in [low, high] in `ndim` axes.

    Raises:
        TypeError: its dtype is no integer type.
        ValueError: wrong number of axes, an empty array, or a value out of range.
    """
    values = np.asarray(array)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {values.dtype}")
    if values.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {values.shape}")
    if values.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {values.shape}")
    smallest, largest = int(values.min()), int(values.max())
    if smallest < low or largest > high:
        wrong = smallest if smallest < low else largest
        raise ValueError(f"{name} must be from {low} to {high}, got {wrong}")
    return np.require(values, np.int32, KERNEL_ARRAY)
