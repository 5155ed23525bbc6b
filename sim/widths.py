"""Register widths, derived from what can reach each register (SPEC.md, "Widths")."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import AttentionConfig

__all__ = ["WIDTH_FIELDS", "Register", "derive_registers"]

#: The fields of a configuration that pin a register's width.
WIDTH_FIELDS = (
    "score_bits",
    "product_bits",
    "distance_bits",
    "exp_bits",
    "sum_bits",
    "compare_bits",
    "acc_bits",
    "out_product_bits",
)
_LARGEST_WIDTH = 62


@dataclass(frozen=True)
class Register:
    """A register: the largest magnitude that reaches it, and its width.

    Attributes:
        bound: largest value, of t and row_max; else largest |value|. Reached or not, never passed.
        signed: two's complement, or unsigned.
        needed: bits that hold the bound.
        bits: bits that the hardware is built with, at least `needed`.
    """

    bound: int
    signed: bool
    needed: int
    bits: int


def derive_registers(config: "AttentionConfig") -> dict[str, Register]:
    """Return every register of `config` by name, in datapath order.

    Proofs of the bounds, each a sum of worst cases over the legal inputs:
    score: D products of two codes less zero points, each factor at most 2**bits - 1.
    product: |score| * M plus the rounding constant 2**(n-1).
    t, d: saturate by definition.
    e: T[0] = 2**P is the largest entry, and shifting never enlarges.
    row_sum: N times 2**P.
    compare: x = odd * e, shifted next to s, stays below 4 s once the leading ones are aligned,
        and 3 s is its partner: 4 * N * 2**P - 2 bounds both (SPEC.md BL2-LOG2-06).
    acc: the p of a row sum to at most A, and a level's value is at most its p.
    out_product: |acc| * M2 plus the rounding constant.

    Raises:
        ValueError: a pinned width is too small, or more than 62 bits are needed.
    """
    q_max, k_max, v_max = ((1 << b) - 1 for b in (config.q_bits, config.k_bits, config.v_bits))
    score = q_max * k_max * config.max_head_dim
    total = config.max_tokens << config.table_bits
    acc = v_max * config.code.int_max
    bounds: dict[str, tuple[int, bool, str | None]] = {
        "score": (score, True, "score_bits"),
        "product": (
            score * ((1 << config.m_bits) - 1) + ((1 << config.max_n) >> 1),
            True,
            "product_bits",
        ),
        "t": ((1 << (config.t_bits - 1)) - 1, True, None),
        "row_max": ((1 << (config.t_bits - 1)) - 1, True, None),
        "d": (config.d_max, False, "distance_bits"),
        "e": (1 << config.table_bits, False, "exp_bits"),
        "row_sum": (total, False, "sum_bits"),
        "compare": (4 * total - 2, False, "compare_bits"),
        "acc": (acc, True, "acc_bits"),
        "out_product": (
            acc * ((1 << config.m2_bits) - 1) + ((1 << config.max_n2) >> 1),
            True,
            "out_product_bits",
        ),
        "o": ((1 << config.o_bits) - 1, False, None),
    }
    return {
        name: _register(name, bound, signed, field, config)
        for name, (bound, signed, field) in bounds.items()
    }


def _register(
    name: str, bound: int, signed: bool, field: str | None, config: "AttentionConfig"
) -> Register:
    needed = bound.bit_length() + signed
    pinned = getattr(config, field) if field else None
    if pinned is not None and pinned < needed:
        raise ValueError(
            f"{field} must be from {needed} to {_LARGEST_WIDTH}: register {name} reaches {bound}, "
            f"got {pinned}"
        )
    if needed > _LARGEST_WIDTH:
        raise ValueError(
            f"register {name} must need at most {_LARGEST_WIDTH} bits: it reaches {bound}, "
            f"which needs {needed}"
        )
    return Register(bound, signed, needed, pinned if pinned is not None else needed)
