"""Statements over few bits decided by trying every value, without a solver."""

from collections.abc import Callable
from typing import Any

import numpy as np
import z3
from numpy.typing import NDArray

from .netlist import parts
from .obligation import PROVED, REFUTED, UNDECIDED, Answer, Holds

__all__ = ["MOST_BITS", "exhausted"]

#: Bits of all free variables together that are still tried.
MOST_BITS = 22
_BLOCK = 1 << 18

#: Values of a term, uint64 for bits and bool for conditions: one of each, or one for all.
Values = NDArray[Any]


def exhausted(obligation: Holds) -> Answer:
    """Decide a statement over bit-vectors by every value of its free variables."""
    terms = z3.And(*obligation.given, obligation.goal)
    free = [term for term in parts(terms) if _is_free(term)]
    bits = sum(_width(term) for term in free)
    if bits > MOST_BITS:
        return Answer(UNDECIDED, f"{obligation.what}: {bits} free bits are too many to try")
    met = False
    for start in range(0, 1 << bits, _BLOCK):
        number = np.arange(start, min(start + _BLOCK, 1 << bits), dtype=np.uint64)
        table = _assigned(free, number)
        legal = np.ones(number.shape, np.bool_)
        for term in obligation.given:
            legal &= _value(term, table)
        met = met or bool(legal.any())
        broken = legal & ~_value(obligation.goal, table)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            shown = {name: _value(term, table) for name, term in obligation.shown.items()}
            text = ", ".join(f"{name} = {int(_at(value, row))}" for name, value in shown.items())
            return Answer(REFUTED, f"{obligation.what}: {text}")
    if not met:
        return Answer(UNDECIDED, f"{obligation.what}: what is assumed contradicts itself")
    return Answer(PROVED)


def _is_free(term: z3.ExprRef) -> bool:
    return term.num_args() == 0 and term.decl().kind() == z3.Z3_OP_UNINTERPRETED


def _width(term: z3.ExprRef) -> int:
    return 1 if z3.is_bool(term) else term.size()


def _assigned(free: list[z3.ExprRef], number: NDArray[np.uint64]) -> dict[int, Values]:
    """Return the values of the free variables: slices of the bits of a counter."""
    table: dict[int, Values] = {}
    place = 0
    for term in free:
        width = _width(term)
        values = (number >> np.uint64(place)) & _mask(width)
        table[term.get_id()] = values.astype(np.bool_) if z3.is_bool(term) else values
        place += width
    return table


def _value(root: z3.ExprRef, table: dict[int, Values]) -> Values:
    """Return the values of a term; `table` holds those known, and takes the new ones."""
    stack = [root]
    while stack:
        term = stack[-1]
        if term.get_id() in table:
            stack.pop()
            continue
        missing = [part for part in term.children() if part.get_id() not in table]
        if missing:
            stack += missing
            continue
        table[term.get_id()] = _apply(term, [table[part.get_id()] for part in term.children()])
        stack.pop()
    return table[root.get_id()]


def _apply(term: z3.ExprRef, args: list[Values]) -> Values:
    """Return the values of a term from those of its arguments."""
    kind = term.decl().kind()
    if kind == z3.Z3_OP_BNUM:
        return np.array([term.as_long()], np.uint64)
    if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
        return np.array([kind == z3.Z3_OP_TRUE])
    if kind == z3.Z3_OP_EXTRACT:
        high, low = term.params()
        return (args[0] >> np.uint64(low)) & _mask(high - low + 1)
    if kind == z3.Z3_OP_CONCAT:
        joined = args[0]
        for part, value in zip(term.children()[1:], args[1:], strict=True):
            joined = (joined << np.uint64(part.size())) | value
        return joined
    width = _width(term.arg(0))
    if kind == z3.Z3_OP_SIGN_EXT:
        return _signed(args[0], width).astype(np.uint64) & _mask(term.size())
    if kind in _SIGNED:
        return _SIGNED[kind](_signed(args[0], width), _signed(args[1], width))
    if kind in _SHIFTS:
        return _SHIFTS[kind](args[0], args[1], width) & _mask(width)
    if kind in _FOLDED:
        value = args[0]
        for other in args[1:]:
            value = _FOLDED[kind](value, other)
        return value & _mask(term.size()) if z3.is_bv(term) else value
    if kind not in _PLAIN:
        raise ValueError(f"terms must be of bits and comparisons, got {term.decl().name()}")
    value = _PLAIN[kind](*args)
    return value & _mask(term.size()) if z3.is_bv(term) else value


def _mask(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _at(values: Values, row: int) -> int:
    return int(values[row if values.size > 1 else 0])


def _signed(x: Values, width: int) -> NDArray[np.int64]:
    unused = np.uint64(64 - width)
    return (x << unused).astype(np.int64) >> unused.astype(np.int64)


def _shift_left(x: Values, n: Values, width: int) -> Values:
    return np.where(n < width, x << np.minimum(n, np.uint64(63)), np.uint64(0))


def _shift_right(x: Values, n: Values, width: int) -> Values:
    return np.where(n < width, x >> np.minimum(n, np.uint64(63)), np.uint64(0))


def _shift_arithmetic(x: Values, n: Values, width: int) -> Values:
    return (_signed(x, width) >> np.minimum(n, np.uint64(63)).astype(np.int64)).astype(np.uint64)


_PLAIN: dict[int, Callable[..., Values]] = {
    z3.Z3_OP_EQ: np.equal,
    z3.Z3_OP_DISTINCT: np.not_equal,
    z3.Z3_OP_ITE: np.where,
    z3.Z3_OP_NOT: np.logical_not,
    z3.Z3_OP_IMPLIES: lambda a, b: ~a | b,
    z3.Z3_OP_BNEG: lambda a: np.uint64(0) - a,
    z3.Z3_OP_BNOT: np.invert,
    z3.Z3_OP_ZERO_EXT: lambda a: a,
    z3.Z3_OP_ULEQ: np.less_equal,
    z3.Z3_OP_ULT: np.less,
    z3.Z3_OP_UGEQ: np.greater_equal,
    z3.Z3_OP_UGT: np.greater,
    z3.Z3_OP_BSUB: np.subtract,
}
_FOLDED: dict[int, Callable[[Values, Values], Values]] = {
    z3.Z3_OP_AND: np.logical_and,
    z3.Z3_OP_OR: np.logical_or,
    z3.Z3_OP_XOR: np.logical_xor,
    z3.Z3_OP_BADD: np.add,
    z3.Z3_OP_BMUL: np.multiply,
    z3.Z3_OP_BAND: np.bitwise_and,
    z3.Z3_OP_BOR: np.bitwise_or,
    z3.Z3_OP_BXOR: np.bitwise_xor,
}
_SIGNED: dict[int, Callable[..., Values]] = {
    z3.Z3_OP_SLEQ: np.less_equal,
    z3.Z3_OP_SLT: np.less,
    z3.Z3_OP_SGEQ: np.greater_equal,
    z3.Z3_OP_SGT: np.greater,
}
_SHIFTS: dict[int, Callable[[Values, Values, int], Values]] = {
    z3.Z3_OP_BSHL: _shift_left,
    z3.Z3_OP_BLSHR: _shift_right,
    z3.Z3_OP_BASHR: _shift_arithmetic,
}
