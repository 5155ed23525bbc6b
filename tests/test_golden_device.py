"""The simulator as the device: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_golden_helpers import contents, emit_small

from bitlog2.golden import run_device


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emit_small(tmp_path_factory.mktemp("golden") / "set")


def test_golden_device_writes_the_bytes_that_the_set_holds(folder: Path, tmp_path: Path) -> None:
    for path in run_device(folder, tmp_path / "out").values():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_golden_device_refuses_to_write_into_a_set(folder: Path) -> None:
    with pytest.raises(ValueError, match="must not be a vector set"):
        run_device(folder, folder)


def test_golden_device_writes_the_units_that_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    run_device(folder, tmp_path / "out", ["log2_quantizer"])
    assert list(contents(tmp_path / "out")) == ["log2_quantizer.expected.mem"]


def test_golden_device_refuses_a_unit_that_is_not_in_the_set(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unit must be one of"):
        run_device(folder, tmp_path / "out", ["adder"])
