"""What README shows works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from support.command import parsed

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
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
