"""Packages whose names are imported when they are first used, by PEP 562."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def on_first_use(package: str, file: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    The names and their modules are the imports under `if TYPE_CHECKING` in the package's own
    `__init__.py`: one declaration for the type checker and for this.

    Args:
        package: its `__name__`.
        file: its `__file__`.
    """
    modules = {
        alias.name: "." * statement.level + (statement.module or "")
        for block in ast.parse(Path(file).read_bytes()).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        value = getattr(import_module(modules[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return attribute
