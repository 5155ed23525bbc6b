"""The cycles that a row takes, as the header of its module states them: `// Cycles: 3 * B`."""

import ast
import operator
import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from bitlog2.sim.checks import check_choice
from bitlog2.sim.scheme import FAMILIES

_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Any] = {"max": max, "min": min, "ceil": lambda x: Fraction(ceil(x))}
_LEGAL = f"made of integers, names, + - * / and {', '.join(_FUNCTIONS)}"
_PARAGRAPH = re.compile(r"^// Cycles: (.+\n(?://   .+\n)*)", re.MULTILINE)


def stated_cycles(source: str, module: str, family: str) -> str:
    """Return the formula of a module's header for the schemes of a family.

    The header has one paragraph `Cycles`: a formula, or one per family, as in
    `// Cycles: quotient 3 * B; row_max 2 * B`, continued on lines that are indented.

    Args:
        source: the file of the module.
        module: its name, for messages.
        family: one of `FAMILIES`.

    Raises:
        ValueError: there is not one such paragraph, or it has no formula of that family.
    """
    check_choice("family", family, FAMILIES)
    header = source[: source.find(f"module {module}")]
    found = _PARAGRAPH.findall(header)
    if len(found) != 1:
        raise ValueError(f"header of {module} must state its Cycles once, got {len(found)} times")
    text = " ".join(line.removeprefix("//").strip() for line in found[0].splitlines())
    formulas = {}
    for part in text.split(";"):
        first, _, rest = part.strip().partition(" ")
        formulas.update({first: rest} if first in FAMILIES else {family: part.strip()})
    if family not in formulas:
        raise ValueError(f"Cycles of {module} must have a formula of {family}, got {text!r}")
    return formulas[family]


def cycles_of_row(formula: str, names: Mapping[str, int], *, keys: int, lanes: int) -> Fraction:
    """Return the cycles from a row to the next one, rows following one another without a pause.

    Args:
        formula: integers, names, + - * / and max, min, ceil.
        names: parameters of the module, `localparam` too.
        keys: N; B is ceil(N / LANES).
        lanes: LANES.

    Raises:
        ValueError: the formula is no such expression, has an unknown name, or is not above 0.
    """
    known = dict(names) | {"N": keys, "LANES": lanes, "B": -(-keys // lanes)}
    try:
        found = _value(ast.parse(formula, mode="eval").body, known)
    except (SyntaxError, ZeroDivisionError, TypeError):
        raise ValueError(f"Cycles must be {_LEGAL}, got {formula!r}") from None
    if found <= 0:
        raise ValueError(f"Cycles must be above 0, got {formula!r} = {found}")
    return found


def _value(node: ast.expr, known: Mapping[str, int]) -> Fraction:
    match node:
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.Name(id=name) if name in known:
            return Fraction(known[name])
        case ast.Name(id=name):
            raise ValueError(f"Cycles must have names of the module, got {name}")
        case ast.BinOp(left=left, op=symbol, right=right) if type(symbol) in _OPERATORS:
            return Fraction(_OPERATORS[type(symbol)](_value(left, known), _value(right, known)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return Fraction(_FUNCTIONS[name](*(_value(each, known) for each in args)))
    raise ValueError(f"Cycles must be {_LEGAL}, got {ast.unparse(node)!r}")
