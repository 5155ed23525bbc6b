"""A claim about a module of RTL is refuted where an error is planted in the module."""

from __future__ import annotations

import re
from pathlib import Path

from bitlog2.golden.assurance.proof import CLAIMS, Setting, decide
from bitlog2.sim import AttentionConfig
from support.defects import planted

_CALL = re.compile(r'assert_refuted\(\s*tmp_path, "(rtl_\w+)", "(\w+)"')


def refuted_by_units() -> dict[str, str]:
    """Return the claims that tests of units see refuted by `assert_refuted`, and their modules."""
    files = Path(__file__).parents[1].glob("test_*.py")
    return dict(call for file in files for call in _CALL.findall(file.read_text("utf-8")))


def assert_refuted(
    folder: Path, name: str, module: str, change: tuple[str, str], config: AttentionConfig
) -> None:
    """Plant a change in a module, and see the claim of that name refuted by an example."""
    planted(folder, module, change)
    claim = next(claim for claim in CLAIMS if claim.name == name)
    line = decide(claim, Setting(config, folder), 120)
    assert line.result == "REFUTED"
    assert " = " in line.detail
