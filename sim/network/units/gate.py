"""Unit 32: a gated linear unit: the activation of one linear layer times what another gives."""

from __future__ import annotations

import numpy as np

from ...declarations import Port, Stream, Unit, ones
from ...expressions import number, parameter
from ...jit import borrowing_kernel as kernel
from ...rounding import rnd, rnd_kernel, sat
from .residual_adder import STREAM

#: T by u plus half of the table: signed, of two bits more than u.
TABLE = Port("gate_table", "entry", (number(1) << parameter("u_bits") + 1) - 1, signed=True)
G = Port("gate", "channel", TABLE.bound, signed=True, register=True, dtype="int16")
MULTIPLIER = Port("gate_multiplier", "layer", ones("m_bits"), low=1)
SHIFT = Port("gate_shift", "layer", parameter("max_n"))
ZERO = Port("gate_zero", "layer", ones("code_bits"))
#: |g * x| * M plus the rounding constant 2**(n-1).
PRODUCT = Port(
    "gate_product",
    "channel",
    G.bound * (STREAM.bound + 1) * MULTIPLIER.bound + (number(1) << SHIFT.bound >> 1),
    signed=True,
    register=True,
)
CODE = Port("gate_code", "channel", ones("code_bits"), register=True, dtype="uint8")

GATE = Unit(
    "gate",
    number=32,
    declares=(TABLE, G, MULTIPLIER, SHIFT, ZERO, PRODUCT, CODE),
    streams=(
        Stream(
            "params",
            "input",
            "case",
            ("gate_multiplier", "gate_shift", "gate_zero", "y_bits"),
        ),
        Stream("stimulus", "input", "case", ("gate", "x")),
        Stream("expected", "output", "case", ("gate_code",)),
    ),
    makes=(("gate", "expected", "gate_code"),),
    assumes=(SHIFT.bounded,),
    clocked=False,
    after=29,
    version=3,
)


def gate_code(gate: int, x: int, multiplier: int, shift: int, zero: int, bits: int) -> int:
    """Return y = SAT(RND(g * x * M >> n) + z, 0, 2**b - 1) (BL2-GATE-02).

    Args:
        gate: g, the entry of T for u.
        x: of the value's stream.
        multiplier, shift: M and n of the layer.
        zero: z, of the layer's codes.
        bits: b of the layer's codes.
    """
    return sat(rnd(gate * x * multiplier, shift) + zero, 0, (1 << bits) - 1)


@kernel
def gate_kernel(gate, x, multiplier, shift, zero, top, code):
    """Write code[t, o] of gate[t, o] and x[t, o].

    gate: (T, O) int16; x: (T, O) int32; multiplier, shift, zero, top: int64, M, n, the zero point
    and the largest code; code: (T, O) uint8.
    """
    for t in range(code.shape[0]):
        for o in range(code.shape[1]):
            product = np.int64(gate[t, o]) * np.int64(x[t, o]) * multiplier
            value = rnd_kernel(product, shift) + zero
            code[t, o] = min(max(value, np.int64(0)), top)
