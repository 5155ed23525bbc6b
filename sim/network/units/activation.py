"""Unit 29: the activation of a linear layer, looked up: GELU, QuickGELU, ReLU, any function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .linear_accumulator import ACC

if TYPE_CHECKING:
    from ..config import NetworkConfig

MULTIPLIER = Port("activation_multiplier", "channel", ones("m_bits"), low=1)
SHIFT = Port("activation_shift", "channel", parameter("max_n"))
#: |A| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "activation_product",
    "channel",
    ACC.bound * MULTIPLIER.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
U = Port(
    "u",
    "channel",
    ones("u_bits") >> 1,
    signed=True,
    saturates=True,
    register=True,
    dtype="int16",
)
#: T by u plus half of the table.
TABLE = Port("table", "entry", ones("code_bits"))
CODE = Port("activation_code", "channel", ones("code_bits"), register=True, dtype="uint8")

ACTIVATION = Unit(
    "activation",
    number=29,
    declares=(MULTIPLIER, SHIFT, PRODUCT, U, TABLE, CODE),
    streams=(
        Stream(
            "stimulus",
            "input",
            "case",
            ("linear_acc", "activation_multiplier", "activation_shift"),
        ),
        Stream("expected", "output", "case", ("u",)),
    ),
    makes=(("activation", "expected", "u"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    version=2,
)


def activation_input(acc: int, multiplier: int, shift: int, config: NetworkConfig) -> int:
    """Return u = SAT(RND(A * M >> n)), signed, `u_bits` wide (BL2-ACT-01)."""
    return sat(rnd(acc * multiplier, shift), config.u_min, config.u_max)


def activation(u: int, table: Sequence[int]) -> int:
    """Return y = T[u]; `table` holds T from the smallest u to the largest (BL2-ACT-02)."""
    return table[u + (len(table) >> 1)]


@kernel
def activation_kernel(acc, multiplier, shift, table, u, code):
    """Write u[t, o] of acc[t, o] and its code.

    acc: (T, O) int32; multiplier, shift: (O,) int64; table: (2**u_bits,) uint8, T from the smallest
    u on; u: (T, O) int16; code: (T, O) uint8.
    """
    half = np.int64(table.size >> 1)
    for t in range(code.shape[0]):
        for o in range(code.shape[1]):  # apart from the table, so that it is done in vectors
            value = rnd_kernel(np.int64(acc[t, o]) * multiplier[o], shift[o])
            u[t, o] = min(max(value, -half), half - np.int64(1))
        for o in range(code.shape[1]):
            code[t, o] = table[np.int64(u[t, o]) + half]
