"""What several test files share: made once for all processes of a test run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from support.rtl import (
    BENCH_CONFIG,
    HALF_17,
    ROW_MAX_16,
    Workshop,
    emit_set,
    with_row_max,
)
from support.shared import made_once


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory)


@pytest.fixture(scope="session")
def bench_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of every unit with its testbenches."""
    return made_once(tmp_path_factory, "bench_set", emit_set)


@pytest.fixture(scope="session")
def bench_of(bench_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small set of every unit of Half_17's or RowMax_16's datapath, by the scheme."""
    make = partial(emit_set, config=with_row_max(BENCH_CONFIG))

    def found(scheme: str) -> Path:
        if scheme == HALF_17:
            return bench_set
        assert scheme == ROW_MAX_16
        return made_once(tmp_path_factory, "row_max_bench_set", make)

    return found
