"""What README shows works as it stands there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from support.command import parsed

from bitlog2.golden.assurance.mutation import TABLE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^\.venv/bin/bitlog2 ([^#\n]*)", README, re.MULTILINE)))


def test_readme_has_commands():
    assert len(COMMANDS) > 4


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_is_accepted_by_the_parser(command):
    assert callable(parsed(*shlex.split(command))[0])


def test_readme_python_example_runs(capsys):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    exec(compile(block.group(1), "README.md", "exec"), {})
    assert "(3, 65, 32)" in capsys.readouterr().out


def test_readme_attention_errors_are_the_stored_ones():
    stored = json.loads((ROOT / "models" / "zoo" / "attention_error.json").read_text())
    digits, vit = stored["digits"], stored["vit_small_patch14_dinov2"]
    number = r" *([\d.]+) *\|"
    line = rf"^\| (?:\*\*)?`(\w+)`(?:\*\*)? \| [\d-] \|{number}{number}{number}{number}$"
    shown = {code: figures for code, *figures in re.findall(line, README, re.MULTILINE)}
    assert shown.keys() == digits.keys() == vit.keys()
    for code, (of_digits, _, of_vit, cosine) in shown.items():
        assert float(of_digits) == digits[code]["error_percent"]
        assert (float(of_vit), float(cosine)) == (vit[code]["error_percent"], vit[code]["cosine"])


def test_readme_mutants_are_the_stored_ones():
    stored = json.loads(TABLE.read_text())["modules"]
    counts = ("mutants", "caught", "equivalent", "rate", "gaps", "undetermined")
    rows = [(each["module"], *(each[name] for name in counts)) for each in stored]
    total = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    heading = "| module | mutants | caught | equivalent, proved | by rate | gaps | undetermined |\n"
    shown = README.split(heading)[1].split("\n\n")[0].splitlines()[1:]
    assert shown == [
        f"| {name} | {' | '.join(f'{count:,}' for count in numbers)} |"
        for name, *numbers in (*rows, total)
    ]
    assert f"Seed {json.loads(TABLE.read_text())['seed']}, `golden/assurance" in README
