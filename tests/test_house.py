"""The house rules, as small programs over the syntax trees."""

import ast
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import pytest

import bitlog2.flow
import bitlog2.golden
import bitlog2.models
import bitlog2.scripts
import bitlog2.sim
from bitlog2 import documents
from bitlog2.golden.assurance.requirements import ids_of
from bitlog2.golden.package.export_manifest import ExportManifest
from bitlog2.golden.package.vector_manifest import VectorManifest

FOLDERS = {
    "sim": Path(bitlog2.sim.__file__).parent,
    "golden": Path(bitlog2.golden.__file__).parent,
    "models": Path(bitlog2.models.__file__).parent,
    "flow": Path(bitlog2.flow.__file__).parent,
    "scripts": Path(bitlog2.scripts.__file__).parent,
    "tests": Path(__file__).parent,
}
#: What each package may import of the others; the rest of `bitlog2` is open to all.
MAY_IMPORT = {
    "sim": set(),
    "golden": {"sim"},
    "models": {"sim"},
    "flow": {"sim", "golden", "models"},
    "scripts": {"sim", "golden", "models", "flow"},
}
#: The public face of `models` names, of what joins it with `golden`, the functions for its models.
FACE = {FOLDERS["models"] / "__init__.py": {"flow"}}
#: Scales to multipliers: the only floats of `sim/`.
FLOAT_FILES = {"multiplier.py"}
#: Joins paths with `/`, and computes nothing.
PATH_FILES = {"files.py", "jit.py"}
FLOAT_NUMPY = {"double", "single", "half", "divide", "true_divide", "rint", "sqrt", "mean"}
INTEGER_MATH = {"prod", "isqrt", "gcd", "comb"}


def sources(package: str) -> list[Path]:
    return sorted(FOLDERS[package].rglob("*.py"))


def float_violations(source: str, *, paths: bool = False) -> list[str]:
    """Lines of `source` that hold a float: literal, division, name, dtype or function."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if is_float(node, paths):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def is_float(node: ast.AST, paths: bool) -> bool:
    match node:
        case ast.Constant(value=float() | complex()):
            return True
        case ast.Constant(value=str(text)):
            return re.fullmatch(r"[<>=]?f[248]|float\d*|double", text) is not None
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return not paths
        case ast.Name(id=name):
            return re.match(r"(float|complex)\d*$|round$", name) is not None
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name):
            return name.startswith(("float", "log", "exp")) or name in FLOAT_NUMPY
        case ast.Attribute(value=ast.Name(id="math"), attr=name):
            return name not in INTEGER_MATH
        case ast.ImportFrom(module="math", names=names):
            return any(alias.name not in INTEGER_MATH for alias in names)
    return False


def imports_of(source: str, package: str, depth: int) -> set[str]:
    """Absolute names of the modules that a file of `package` imports, relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ["bitlog2", package, *["sub"] * depth][: 3 + depth - node.level]
            base = [*base, node.module] if node.level and node.module else base
            module = ".".join(base) if node.level else node.module
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def packages_of(modules: set[str]) -> set[str]:
    return {parts[1] for m in modules if (parts := m.split("."))[0] == "bitlog2" and parts[1:]}


def package_imports(package: str) -> dict[Path, set[str]]:
    return {
        path: imports_of(
            path.read_text(), package, len(path.relative_to(FOLDERS[package]).parts) - 1
        )
        for path in sources(package)
    }


def ids_under(package: str) -> set[str]:
    texts = [
        p for suffix in ("py", "sv", "v", "json") for p in FOLDERS[package].rglob(f"*.{suffix}")
    ]
    return {x for path in texts for x in ids_of(path.read_text(encoding="utf-8"))}


SPECIFIED = ids_of((FOLDERS["sim"] / "SPEC.md").read_text(encoding="utf-8"))


def test_house_sim_has_no_float():
    for path in sources("sim"):
        if path.name in FLOAT_FILES:
            continue
        assert float_violations(path.read_text(), paths=path.name in PATH_FILES) == [], path


@pytest.mark.parametrize(
    "line",
    [
        "x = 0.5",
        "x = a / b",
        "x /= 2",
        "x = float(a)",
        "def f(x: float): pass",
        "x = np.zeros(3, np.float64)",
        "x = np.zeros(3, 'float32')",
        "x = np.zeros(3, dtype='<f4')",
        "x = np.log2(a)",
        "x = math.floor(a)",
        "from math import log2",
        "x = round(a)",
    ],
)
def test_house_float_scan_catches_a_planted_float(line: str):
    assert len(float_violations(f"import numpy as np\n{line}\n")) == 1


def test_house_float_scan_lets_integers_pass():
    text = "from math import isqrt\nx = a // b + (1 << 3) + np.int64(2) + scheme.half"
    assert float_violations(text) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_house_imports_run_one_way(package: str):
    for path, modules in package_imports(package).items():
        others = packages_of(modules) & set(MAY_IMPORT) - {package}
        assert others <= MAY_IMPORT[package] | FACE.get(path, set()), path


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("from bitlog2.models import digits", "models"),
        ("import bitlog2.golden.emit", "golden"),
        ("from ..golden import emit", "golden"),
        ("from .. import models", "models"),
        ("from bitlog2 import scripts", "scripts"),
        ("from bitlog2.flow.capture import capture", "flow"),
    ],
)
def test_house_import_scan_catches_a_planted_import(line: str, package: str):
    assert package in packages_of(imports_of(line, "sim", 0))


def test_house_import_scan_resolves_a_subpackage():
    assert packages_of(imports_of("from ..config import x", "sim", 1)) == {"sim"}
    assert packages_of(imports_of("from ...golden import x", "sim", 1)) == {"golden"}


def test_house_sim_imports_numpy_numba_and_llvmlite_and_nothing_else_from_outside():
    roots = {m.split(".")[0] for found in package_imports("sim").values() for m in found}
    assert roots - set(sys.stdlib_module_names) == {"numpy", "numba", "llvmlite", "bitlog2"}


@pytest.mark.parametrize("package", FOLDERS)
def test_house_no_file_imports_a_folder_as_a_top_level_module(package: str):
    """`import sim` from a checkout would be a second module with second classes."""
    for path, modules in package_imports(package).items():
        roots = {module.split(".")[0] for module in modules}
        assert roots & {"sim", "golden", "models", "scripts"} == set(), path


def named_pythons(source: str) -> list[str]:
    """Strings that would start whatever Python is first on PATH."""
    strings = (n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    return [s for s in strings if re.fullmatch(r"(.*[= ])?python3(\s.*)?", str(s))]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_house_no_file_starts_a_python_by_name(package: str):
    for path in sources(package):
        assert named_pythons(path.read_text()) == [], path


def test_house_scan_for_named_pythons_finds_one():
    assert len(named_pythons('a = ["make", "PYTHON3=python3"]; b = ("python3", "-c")')) == 2


@pytest.mark.parametrize("package", FOLDERS)
def test_house_ids_that_are_named_are_specified(package: str):
    unknown = ids_under(package) - SPECIFIED
    assert {each for each in unknown if not each.startswith("BL2-X-")} == set()


def test_house_id_scan_reads_lists_and_ranges():
    assert ids_of("BL2-X-01 to -03") == {"BL2-X-01", "BL2-X-02", "BL2-X-03"}
    assert ids_of("(BL2-X-01,\n    -03)") == {"BL2-X-01", "BL2-X-03"}


@pytest.mark.parametrize("package", [bitlog2.sim, bitlog2.golden, bitlog2.models])
def test_house_names_of_a_lazy_package_are_there_and_no_module_hides_one(package):
    """A module that is imported becomes an attribute of its package, of the same name."""
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert find_spec(f"{package.__name__}.{name}") is None
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        _ = package.no


def loose_documents(source: str, *, files: bool = True) -> list[str]:
    """Classes of documents that are not frozen, or allow unknown fields.

    Those of files take their fields by keyword alone.
    """
    known, loose = {"Document", "Sealed", "FolderManifest", "LinearLayer"}, []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and known & {ast.unparse(each) for each in node.bases}:
            flags = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if flags.get("frozen") != "True" or (files and flags.get("kw_only") != "True"):
                loose.append(node.name)
            loose += [node.name] if flags.get("forbid_unknown_fields", "True") != "True" else []
    return loose


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_house_documents_are_frozen_and_take_exactly_their_fields(package: str):
    for path in sources(package):
        files = path.parent.name in ("package", "runs")
        assert loose_documents(path.read_text(), files=files) == [], path
    assert documents.Document.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(
    "flags",
    [
        "frozen=True",
        "kw_only=True",
        "frozen=False, kw_only=True",
        "frozen=True, kw_only=True, forbid_unknown_fields=False",
    ],
)
def test_house_document_scan_catches_a_planted_class(flags: str):
    assert loose_documents(f"class A(Document, {flags}):\n    x: int\n") == ["A"]


def undescribed(schema: dict) -> list[str]:
    """Fields of a JSON schema that say nothing of their meaning."""
    return [
        f"{name}.{field}"
        for name, entry in schema["$defs"].items()
        for field, value in entry.get("properties", {}).items()
        if "description" not in value
        and "$ref" not in value
        and "const" not in value
        and field != "format"
        and field != "kind"
    ]


@pytest.mark.parametrize("kind", [VectorManifest, ExportManifest], ids=lambda kind: kind.__name__)
def test_house_every_field_of_a_manifest_is_described(kind: type[documents.Document]):
    assert undescribed(documents.schema(kind, "")) == []


def test_house_description_scan_catches_a_planted_field():
    class Planted(documents.Document, frozen=True, kw_only=True):
        width: Annotated[int, documents.of("Bits.")]
        height: int

    assert undescribed(documents.schema(Planted, "")) == ["Planted.height"]
