"""The ports, parameters and modules of RTL, read by slang: the same for every simulator."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitlog2.extras import require

__all__ = ["Elaborated", "Port", "elaborate"]

_DIRECTIONS = {"In": "input", "Out": "output", "InOut": "inout"}


@dataclass(frozen=True)
class Port:
    """A port of a module.

    Attributes:
        direction: input, output or inout; another word for what has none.
        width: bits; 0 where it is no vector of bits.
    """

    name: str
    direction: str
    width: int

    def __str__(self) -> str:
        bits = (
            f"{self.width} bit{'s' if self.width > 1 else ''}"
            if self.width
            else "no vector of bits"
        )
        return f"{self.name} ({self.direction}, {bits})"


@dataclass(frozen=True)
class Elaborated:
    """A module with its parameters as given.

    Attributes:
        ports: in their order.
        parameters: names of those that can be given.
        files: every module -> the file that it stands in.
        error: the first that slang reports; empty without any.
    """

    ports: tuple[Port, ...]
    parameters: tuple[str, ...]
    files: Mapping[str, Path]
    error: str


def elaborate(
    top: str,
    sources: Iterable[Path],
    *,
    includes: Iterable[Path] = (),
    defines: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Elaborated:
    """Return a module of these files, which are one compilation unit, as simulators have them.

    What is wrong inside the module is left to the simulator.

    Raises:
        ValueError: there is no such module or parameter, or a port's type cannot be read.
        ModuleNotFoundError: slang is not installed.
    """
    require("reading the ports of a module", "pyslang")
    import pyslang
    from pyslang import ast, parsing, syntax

    given = dict(parameters or {})
    before, options = parsing.PreprocessorOptions(), ast.CompilationOptions()
    before.predefines = [f"{name}={value}" for name, value in (defines or {}).items()]
    before.additionalIncludePaths = list(includes)
    options.topModules = {top}
    options.paramOverrides = [f"{name}={value}" for name, value in given.items()]
    bag, manager = pyslang.Bag([before, options]), pyslang.SourceManager()
    compilation = ast.Compilation(bag)
    compilation.addSyntaxTree(syntax.SyntaxTree.fromFiles([*map(str, sources)], manager, bag))
    files = {
        each.name: manager.getFullPath(each.location.buffer)
        for each in compilation.getDefinitions()
        if isinstance(each, ast.DefinitionSymbol)
        and each.definitionKind == ast.DefinitionKind.Module
    }
    tops = [each for each in compilation.getRoot().topInstances if each.name == top]
    errors = [
        each
        for each in compilation.getAllDiagnostics()
        if each.isError() and each.code != pyslang.Diags.InvalidTopModule
    ]
    shown = pyslang.DiagnosticEngine.reportAll(manager, errors[:1])
    error = next((line.strip() for line in shown.splitlines() if "error: " in line), "")
    if top not in files or not tops:
        listed = ", ".join(files) or "none"
        reason = f"; {error}" if error and top not in files else ""
        raise ValueError(f"top must be a module of the files ({listed}), got {top}{reason}")
    body = tops[0].body
    known = tuple(each.name for each in body.parameters if not each.isLocalParam)
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"parameters must be those of {top} ({listed}), got {name}")
    ports = tuple(_port(each) for each in body.portList)
    return Elaborated(ports, known, files, error)


def _port(symbol: Any) -> Port:
    kind = getattr(symbol, "type", None)
    direction = getattr(symbol, "direction", None)
    if kind is None or direction is None or not kind.isIntegral:
        return Port(symbol.name, _DIRECTIONS.get(getattr(direction, "name", ""), "interface"), 0)
    return Port(symbol.name, _DIRECTIONS.get(direction.name, direction.name.lower()), kind.bitWidth)
