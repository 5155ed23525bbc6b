"""What several test files share: made once for all processes of a test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.rtl import Workshop, emit_set
from support.shared import made_once


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory)


@pytest.fixture(scope="session")
def bench_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of every unit with its testbenches."""
    return made_once(tmp_path_factory, "bench_set", emit_set)
