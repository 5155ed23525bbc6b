"""The RTL of a device: what is compiled, and how its ports are joined to the port contract."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitlog2.extras import require

_DIRECTIONS = {"In": "input", "Out": "output", "InOut": "inout"}


@dataclass(frozen=True)
class ModulePort:
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
        ports: ports in their order.
        parameters: names of the parameters that can be given.
        values: value of each parameter that is an integer, `localparam` too.
        files: every module -> the file that it stands in.
        error: first error that slang reports; empty without one.
    """

    ports: tuple[ModulePort, ...]
    parameters: tuple[str, ...]
    values: Mapping[str, int]
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
    numbers = {each.name: each.value.value for each in body.parameters}
    values = {name: int(n) for name, n in numbers.items() if isinstance(n, pyslang.SVInt)}
    return Elaborated(ports, known, values, files, error)


def _port(symbol: Any) -> ModulePort:
    kind = getattr(symbol, "type", None)
    direction = getattr(getattr(symbol, "direction", None), "name", "")
    if kind is None or not direction or not kind.isIntegral:
        return ModulePort(symbol.name, _DIRECTIONS.get(direction, "interface"), 0)
    return ModulePort(symbol.name, _DIRECTIONS.get(direction, direction.lower()), kind.bitWidth)


_ENDINGS = (".sv", ".v", ".svh", ".vh", ".vlt")
_NAME = r"[A-Za-z_][A-Za-z0-9_$]*"
_NUMBER = r"-?\d+(\.\d+)?|\d*'[sS]?[bBoOdDhH][0-9a-fA-F_]+"
_VALUE = rf'{_NUMBER}|"[^"\\\n]*"'


@dataclass(frozen=True)
class Rtl:
    """A device as its owner describes it.

    Attributes:
        sources: files in the order of compilation, packages first.
        top: the module; None for the name of the unit.
        includes: folders of included files; those of the sources are searched too.
        defines: macros and their values.
        parameters: parameters of the module: numbers and strings as Verilog writes them.
        ports: (name in the contract, port of the module), for those that have another name. Each
            may hold one `*`, which stands for the same text in both. Of several that fit, the first
            whose port is there is taken, and then the name itself, in any case. The port of `rst_n`
            is active high where it begins with `~`.
        ties: inputs that the contract has not, and the numbers that they are held at.
        back_pressure: False where the module cannot be stalled: its outputs are always taken, and
            its streams may lack `tready`.

    Raises:
        ValueError: a file is missing or no Verilog, or a name or value is malformed.
    """

    sources: Sequence[str | Path]
    top: str | None = None
    includes: Sequence[str | Path] = ()
    defines: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[tuple[str, str]] = ()
    ties: Mapping[str, str] = field(default_factory=dict)
    back_pressure: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", _files(self.sources))
        object.__setattr__(self, "includes", tuple(Path(each).resolve() for each in self.includes))
        for folder in map(Path, self.includes):
            if not folder.is_dir():
                raise ValueError(f"includes must be folders, got {folder}")
        for what, texts, pattern, legal in (
            ("top", [self.top or "top"], _NAME, "a name"),
            ("defines", self.defines, _NAME, "named by letters, digits and _"),
            ("parameters", self.parameters, _NAME, "named by letters, digits and _"),
            ("values of defines", self.defines.values(), r"[^\n]*", "of one line"),
            (
                "values of parameters",
                self.parameters.values(),
                _VALUE,
                "numbers, or text in quotes",
            ),
            ("values of ties", self.ties.values(), _NUMBER, "numbers such as 1 or 4'hf"),
        ):
            for text in texts:
                if not re.fullmatch(pattern, text):
                    raise ValueError(f"{what} must be {legal}, got {text!r}")
        _check_ports(self.ports)


def _files(sources: Iterable[str | Path]) -> tuple[Path, ...]:
    paths = tuple(Path(each).resolve() for each in sources)
    if not paths:
        raise ValueError("rtl must name at least one file")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"rtl must be files, got {path}")
        if path.suffix not in _ENDINGS:
            hint = "; golden/README.md turns VHDL into Verilog" if "vhd" in path.suffix else ""
            raise ValueError(f"rtl must end with one of {', '.join(_ENDINGS)}, got {path}{hint}")
    twice = sorted({str(path) for path in paths if paths.count(path) > 1})
    if twice:
        raise ValueError(f"rtl must name each file once, got {twice[0]} twice")
    return paths


def _check_ports(rules: Iterable[tuple[str, str]]) -> None:
    for name, port in rules:
        stars = (name.count("*"), port.count("*"))
        if not name or not port.strip("~") or stars not in ((0, 0), (1, 1)):
            raise ValueError(f"ports must be NAME=PORT or with a * in both, got {name}={port}")
        if port.startswith("~") and name != "rst_n":
            raise ValueError(f"ports must be inverted (~) at rst_n alone, got {name}={port}")


def read_port_map(path: str | Path) -> list[tuple[str, str]]:
    """Return the ports of a file with lines `NAME=PORT` and comments from `#` on.

    Raises:
        ValueError: a line is something else.
        OSError: the file cannot be read.
    """
    rules = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        name, equals, port = (part.strip() for part in text.partition("="))
        if text and not (name and equals and port):
            raise ValueError(f"{path}: line {number} must be NAME=PORT, got {text!r}")
        if text:
            rules.append((name, port))
    return rules


@dataclass
class FileList:
    """What file lists of simulators name: files, folders of included files, macros."""

    sources: list[Path] = field(default_factory=list)
    includes: list[Path] = field(default_factory=list)
    defines: dict[str, str] = field(default_factory=dict)

    def read(
        self, path: str | Path, *, from_list: bool = False, within: Sequence[Path] = ()
    ) -> None:
        """Add what a list names.

        It holds files, `+incdir+`, `+define+`, `-I`, `-D`, `-v FILE`, other lists by `-f` and `-F`,
        and comments (`//`, `#`, `/* */`); `$NAME` and `${NAME}` are variables of the environment.

        Args:
            path: the list.
            from_list: whether its paths are seen from the folder of the list, as simulators do with
                `-F`, and not from the current one, as with `-f`.
            within: the lists that it was named by.

        Raises:
            ValueError: it holds something else, or names itself.
            OSError: a list cannot be read.
        """
        own = Path(path).resolve()
        if own in within:
            raise ValueError(f"{path}: a file list must not name itself")
        folder = Path(path).parent if from_list else Path()
        words = iter(_words(Path(path)))
        for word in words:
            option, value = word[:2], word[2:]
            if word.startswith("+incdir+"):
                self.includes += [folder / each for each in word.split("+")[2:] if each]
            elif word.startswith("+define+"):
                self.defines |= dict(macro(each) for each in word.split("+")[2:] if each)
            elif option[0] not in "+-":
                self.sources.append(folder / word)
            elif option not in ("-f", "-F", "-I", "-D", "-v"):
                known = "files, +incdir+, +define+, -f, -F, -I, -D, -v"
                raise ValueError(f"{path}: a file list must hold {known}, got {word}")
            elif not (value := value or next(words, "")):
                raise ValueError(f"{path}: {word} must be followed by a value")
            elif option == "-D":
                self.defines |= [macro(value)]
            elif option in ("-f", "-F"):
                self.read(folder / value, from_list=option == "-F", within=[*within, own])
            else:
                (self.includes if option == "-I" else self.sources).append(folder / value)


def _words(path: Path) -> list[str]:
    """Return the words of a file list; a comment begins a word, so that `rtl//my.sv` is a path."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = os.path.expandvars(re.sub(r"(^|\s)(//|#).*", r"\1", text))
    unknown = re.search(r"\$\{?\w+\}?", text)
    if unknown is not None:
        raise ValueError(f"{path}: {unknown[0]} must be set in the environment")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{path} must be a file list: {error}") from None


def macro(text: str) -> tuple[str, str]:
    """Return the name and the value of `NAME=VALUE`; without a value it is 1."""
    name, equals, value = text.partition("=")
    return name, value if equals else "1"
