"""One operator changed at a time, in a copy of a source file."""

import ast
import copy
import random
from collections import deque
from dataclasses import dataclass
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
    """A file with one operator changed: where, and what."""

    path: Path
    function: str
    line: int
    edit: str
    source: str

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
    memo: dict[int, object] = {}
    mutated = copy.deepcopy(tree, memo)
    target = memo[id(node)]
    kind, new = change
    before = ast.unparse(node)
    if kind == "op" or kind == "negation":
        target.op = new()
    elif kind == "ops":
        target.ops[0] = new()
    elif kind == "keyword":
        target.keywords[0].arg = new
    else:
        setattr(target.func, kind, new)
    edit = f"{before} -> {ast.unparse(target)}"
    source = ast.unparse(ast.fix_missing_locations(mutated))
    return Mutant(path, function, node.lineno, edit, source)
