"""One operator changed at a time, in a copy of a source file."""

import ast
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

_BINARY = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARE = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_NAMES = {
    "min": "max",
    "max": "min",
    "amax": "amin",
    "floor": "ceil",
    "bitwise_left_shift": "bitwise_right_shift",
    "bitwise_right_shift": "bitwise_left_shift",
}


@dataclass(frozen=True)
class Mutant:
    """A file with one operator changed: where, and what. Its source is made when asked for."""

    path: Path
    function: str
    line: int
    edit: str
    text: Callable[[], str] = field(compare=False)

    @property
    def source(self) -> str:
        """The file with that change."""
        return self.text()

    @property
    def change(self) -> str:
        """The change by file and function, whatever its line."""
        return f"{self.path.parent.name}/{self.path.name}:{self.function}: {self.edit}"

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.line}: {self.edit}"


def mutants_of(path: Path, skip: set[str]) -> list[Mutant]:
    """Every mutant of the functions of a file, but for those in `skip`; annotations left alone.

    A function inside another is one of its own.
    """
    tree = ast.parse(path.read_text())
    found = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name not in skip:
            for node in _body(function):
                found += [_with(tree, path, function.name, node, change) for change in _of(node)]
    return found


def _body(function: ast.FunctionDef) -> list[ast.AST]:
    found, left = [], deque[ast.AST](function.body)
    while left:
        node = left.popleft()
        if not isinstance(node, ast.FunctionDef):
            found.append(node)
            left.extend(ast.iter_child_nodes(node))
    return found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """A seeded choice, in file order."""
    chosen = random.Random(seed).sample(range(len(mutants)), count)
    return [mutants[index] for index in sorted(chosen)]


def _of(node: ast.AST) -> list[tuple[str, type | str]]:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _BINARY:
        return [("op", _BINARY[type(node.op)])]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARE:
        return [("ops", _COMPARE[type(node.ops[0])])]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [("negation", ast.UAdd)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMES:
        return [("id", _NAMES[node.func.id])]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in _NAMES:
            return [("attr", _NAMES[node.func.attr])]
        if [k.arg for k in node.keywords] in (["min"], ["max"]):
            return [("keyword", _NAMES[str(node.keywords[0].arg)])]
    return []


def _with(
    tree: ast.Module, path: Path, function: str, node: ast.AST, change: tuple[str, type | str]
) -> Mutant:
    before = ast.unparse(node)
    with _changed(node, change):
        edit = f"{before} -> {ast.unparse(node)}"
    return Mutant(path, function, node.lineno, edit, partial(_source, tree, node, change))


def _source(tree: ast.Module, node: ast.AST, change: tuple[str, type | str]) -> str:
    with _changed(node, change):
        return ast.unparse(tree)


@contextmanager
def _changed(node: ast.AST, change: tuple[str, type | str]) -> Iterator[None]:
    """Change a node, until what is done with it is done."""
    kind, new = change
    holder, name, value = node, "op", new if isinstance(new, str) else new()
    if kind == "ops":
        name, value = "ops", [value, *node.ops[1:]]
    elif kind == "keyword":
        holder, name = node.keywords[0], "arg"
    elif kind in ("id", "attr"):
        holder, name = node.func, kind
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)
