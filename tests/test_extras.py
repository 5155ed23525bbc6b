"""What works without an extra, and what the rest says where one is missing."""

import ast
import configparser
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from support.shared import made_once

import bitlog2.golden
import bitlog2.models
import bitlog2.scripts
import bitlog2.sim
from bitlog2.extras import EXTRAS, refusal, require
from bitlog2.scripts.terminal import guarded

FOLDERS = [Path(p.__file__).parent for p in (bitlog2.sim, bitlog2.golden, bitlog2.models)]
FOLDERS.append(Path(bitlog2.scripts.__file__).parent)
WORKS = (
    *("--version", "--help", "selftest", "run --help", "golden --help", "golden plan --unit exp2"),
    *(f"{each} --help" for each in ("evaluate", "sweep", "report", "estimate", "export", "lower")),
    *(f"{each} --help" for each in ("replay", "bench", "status")),
    *(f"golden {each} --help" for each in ("emit", "run", "verify", "cosim", "cost", "proof")),
    "golden emit --out set --unit row_max --source random --count 3",
    "golden verify set",
    "golden run set --out results",
    "golden verify set --actual row_max=results/row_max.expected.mem",
)
NEEDS = {
    "evaluate --model digits": "models",
    "status run": "models",
    "resume run": "models",
    "compare run run": "models",
    "report run --out page.html": "models",
    "sweep --run run --vary F=4": "models",
    "estimate --model digits": "models",
    "export digits --out layers": "models",
    "lower digits --out program": "models",
    "replay mismatch.json": "models",
    "bench": "models",
    "golden emit --out rows --source model --model digits --layers 0": "models",
    "golden cosim set --unit row_max": "rtl",
    "golden cosim --regression": "rtl",
    "golden proof --claim rtl_exp2": "rtl",
    "golden cost --choice exp2": "rtl",
    "golden cost --place --module exp2": "place",
    "golden coverage set --unit row_max": "rtl",
    "golden mutation --module exp2": "rtl",
}
SCRIPT = """
import contextlib, io, json, sys
for name in {packages}:
    sys.modules[name] = None
import bitlog2.golden, bitlog2.sim
from bitlog2.scripts.cli import main
found = {{}}
for line in {lines}:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(line.split())
    found[line] = [status, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""


def run_without_extras(folder: Path) -> None:
    packages = [name for extra in EXTRAS.values() for name in extra]
    script = SCRIPT.format(packages=packages, lines=[*WORKS, *NEEDS])
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "found.json").write_text(done.stdout)


@pytest.fixture(scope="module")
def without_extras(tmp_path_factory):
    """Status, standard output and standard error of each command, no extra being installed."""
    folder = made_once(tmp_path_factory, "without_extras", run_without_extras)
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("line", WORKS)
def test_extras_are_not_needed(without_extras, line):
    status, _, errors = without_extras[line]
    assert (status, errors) == (0, "")


@pytest.mark.parametrize("line", NEEDS)
def test_extras_that_a_command_needs_are_named_in_one_line(without_extras, line):
    status, _, errors = without_extras[line]
    assert status == 2
    extra = NEEDS[line]
    tail = rf"needs the extra \[{extra}\]: pip install 'bitlog2\[{extra}\]'\n"
    assert re.fullmatch(rf"bitlog2: error: [\w ]+ {tail}", errors), errors
    if line.startswith("evaluate"):
        assert errors.startswith("bitlog2: error: evaluate needs")


def test_extras_are_named_by_an_import(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bitlog2\[models\]'"):
        require("bitlog2.models", *EXTRAS["models"])


def test_extras_of_a_version_without_what_is_imported_name_it(capsys):
    def command():
        raise ModuleNotFoundError("No module named 'timm.new'", name="timm.new")

    assert guarded(command, name="evaluate") == 2
    assert capsys.readouterr().err.endswith("[models]' (No module named 'timm.new')\n")


def test_extras_have_no_part_in_a_fault_of_the_code():
    def command():
        raise ModuleNotFoundError("No module named 'bitlog2.nowhere'", name="bitlog2.nowhere")

    assert refusal("evaluate", "bitlog2.nowhere") is None
    with pytest.raises(ModuleNotFoundError):
        guarded(command)


def requirements() -> dict[str, set[str]]:
    """Names of the distributions in `setup.cfg`, by extra, "" for those that always come."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parent.parent / "setup.cfg")
    lists = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    return {
        extra: {re.split(r"[ <>=!~;\[]", line)[0].replace("_", "-") for line in text.split("\n")}
        for extra, text in lists.items()
    }


def test_extras_bring_every_package_that_is_imported():
    roots = set()
    for path in (path for folder in FOLDERS for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add(node.module.split(".")[0])
    roots -= {*sys.stdlib_module_names, "bitlog2", "test_attention_row"}
    extra_of = {name: extra for extra, names in EXTRAS.items() for name in names}
    distributions, wanted = packages_distributions(), requirements()
    missing = {
        root
        for root in roots
        if not {each.replace("_", "-").lower() for each in distributions[root]}
        & wanted[extra_of.get(root, "")]
    }
    assert missing == set()
