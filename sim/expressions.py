"""Integer expressions over ports and parameters: bounds and input assumptions, written once.

One expression is evaluated (on integers, on numpy arrays, on terms of a solver) and written as
SystemVerilog; all give the same value. They are exact in 64 bits, two's complement: `check_exact`
refuses an expression of which a part could pass that with the widths of its ports.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_LOGIC: dict[str, Callable[[Any, Any], Any]] = {"&&": operator.and_, "||": operator.or_}
_OPERATORS = _ARITHMETIC | _COMPARISONS | _LOGIC
_RANGE = (-(1 << 63), (1 << 63) - 1)


@dataclass(frozen=True)
class Expression:
    """A number, a port, a parameter of the configuration, or an operator on two expressions.

    Made by `number`, `port`, `parameter` and the operators of Python: + - * << >> <= < >= >, & and
    | of conditions; `equals` and `differs` compare, since == tells whether two expressions are the
    same.

    Attributes:
        operator: "number", "port", "parameter", or the operator in SystemVerilog.
        operands: the number or name, or two expressions.
    """

    operator: str
    operands: tuple[Any, ...]

    def _with(self, symbol: str, other: "Expression | int") -> "Expression":
        return Expression(symbol, (self, _expression(other)))

    def __add__(self, other: "Expression | int") -> "Expression":
        return self._with("+", other)

    def __sub__(self, other: "Expression | int") -> "Expression":
        return self._with("-", other)

    def __mul__(self, other: "Expression | int") -> "Expression":
        return self._with("*", other)

    def __rmul__(self, other: int) -> "Expression":
        return _expression(other) * self

    def __lshift__(self, other: "Expression | int") -> "Expression":
        return self._with("<<", other)

    def __rlshift__(self, other: int) -> "Expression":
        return _expression(other) << self

    def __rshift__(self, other: "Expression | int") -> "Expression":
        return self._with(">>", other)

    def __le__(self, other: "Expression | int") -> "Expression":
        return self._with("<=", other)

    def __lt__(self, other: "Expression | int") -> "Expression":
        return self._with("<", other)

    def __ge__(self, other: "Expression | int") -> "Expression":
        return _expression(other) <= self

    def __gt__(self, other: "Expression | int") -> "Expression":
        return _expression(other) < self

    def __and__(self, other: "Expression") -> "Expression":
        return self._with("&&", other)

    def __or__(self, other: "Expression") -> "Expression":
        return self._with("||", other)

    def equals(self, other: "Expression | int") -> "Expression":
        """Return the condition that both are equal."""
        return self._with("==", other)

    def differs(self, other: "Expression | int") -> "Expression":
        """Return the condition that both are not equal."""
        return self._with("!=", other)

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of the ports in it, each once."""
        if self.operator in _OPERATORS:
            return tuple(dict.fromkeys(name for each in self.operands for name in each.ports))
        return self.operands if self.operator == "port" else ()

    def __call__(self, config: Any) -> int:
        """Return the value of an expression without ports."""
        return int(self.value(config, {}))

    def value(self, config: Any, ports: Mapping[str, Any]) -> Any:
        """Return the value of the expression; of a condition, whether it holds.

        Args:
            config: gives the parameters.
            ports: name -> integer, array of any integer type (widened to int64), or term of a
                solver: an integer, or 64 bits that are compared as two's complement.
        """
        if self.operator in _OPERATORS:
            values = (each.value(config, ports) for each in self.operands)
            return reduce(_OPERATORS[self.operator], values)
        (leaf,) = self.operands
        if self.operator == "parameter":
            return int(reduce(getattr, leaf.split("."), config))
        value = ports[leaf] if self.operator == "port" else leaf
        narrow = isinstance(value, np.ndarray) and value.dtype != object
        return value.astype(np.int64) if narrow else value

    def interval(self, config: Any) -> tuple[int, int]:
        """Return limits of the value: those of each port are what its width holds."""
        if self.operator == "port":
            (name,) = self.operands
            signed, values = config.ports[name].signed, 1 << config.width(name)
            return (-(values >> 1), (values >> 1) - 1) if signed else (0, values - 1)
        if self.operator in _ARITHMETIC:
            left, right = (each.interval(config) for each in self.operands)
            corners = [_OPERATORS[self.operator](a, b) for a in left for b in right]
            return min(corners), max(corners)
        return (0, 1) if self.operator in _OPERATORS else (self.value(config, {}),) * 2

    def check_exact(self, config: Any) -> None:
        """Refuse an expression of which a part may not fit 64 bits.

        Raises:
            ValueError: names that part.
        """
        for each in self.operands if self.operator in _OPERATORS else ():
            each.check_exact(config)
        low, high = self.interval(config)
        if low < _RANGE[0] or high > _RANGE[1]:
            raise ValueError(f"{self} must fit 64 bits, got a range from {low} to {high}")

    def systemverilog(self, config: Any, place: Callable[[str], str] = str) -> str:
        """Return it as SystemVerilog, every part 64 bits and signed.

        Args:
            config: gives signedness and widths of the ports.
            place: name of a port -> where it is: a name, or bits of one.

        Raises:
            ValueError: as `check_exact`.
        """
        self.check_exact(config)
        return self._systemverilog(config, place)

    def _systemverilog(self, config: Any, place: Callable[[str], str]) -> str:
        if self.operator in _OPERATORS:
            left, right = (each._systemverilog(config, place) for each in self.operands)
            return f"({left} {self.operator.replace('>>', '>>>')} {right})"
        (leaf,) = self.operands
        if self.operator == "parameter":
            return f"64'(bitlog2_pkg::{_constant(leaf)})"
        if self.operator == "port":
            signed = config.ports[leaf].signed
            return f"64'($signed({place(leaf)}))" if signed else f"$signed(64'({place(leaf)}))"
        return f"64'sd{leaf}" if leaf >= 0 else f"(-64'sd{-leaf})"

    def __str__(self) -> str:
        """Return it for a reader: ports by name, parameters as constants of `bitlog2_pkg`."""
        if self.operator not in _OPERATORS:
            (leaf,) = self.operands
            return _constant(leaf) if self.operator == "parameter" else str(leaf)
        nested = _OPERATORS if self.operator in _ARITHMETIC else _LOGIC
        inner = (f"({each})" if each.operator in nested else str(each) for each in self.operands)
        return f" {self.operator} ".join(inner)


def _expression(value: Expression | int) -> Expression:
    return value if isinstance(value, Expression) else number(value)


def _constant(parameter: str) -> str:
    """Return the name in `bitlog2_pkg` of a parameter."""
    return parameter.rpartition(".")[2].upper()


def number(value: int) -> Expression:
    """Return a constant."""
    return Expression("number", (value,))


def port(name: str) -> Expression:
    """Return the port of that name."""
    return Expression("port", (name,))


def parameter(name: str) -> Expression:
    """Return a parameter: a field of the configuration, or `code.` and a property of its scheme."""
    return Expression("parameter", (name,))
