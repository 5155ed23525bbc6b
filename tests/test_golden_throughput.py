"""The throughput measurement: it times a real set, and refuses one that does not verify."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bitlog2.golden import emit_and_verify_seconds
from bitlog2.golden.package import verification as throughput

WORDS = 2000


def test_golden_throughput_counts_the_bytes_of_stimulus_and_output() -> None:
    emitted, verified, size = emit_and_verify_seconds(WORDS)
    assert min(emitted, verified) > 0
    assert size == WORDS * (12 + 4)


def test_golden_throughput_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    emit_and_verify_seconds(WORDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["word", "end", "all"])
def test_golden_throughput_refuses_a_device_that_differs(
    spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(source: Path, target: Path) -> None:
        data = source.read_bytes()
        target.write_bytes({"word": b"xxx" + data[3:], "end": data[:-4], "all": b""}[spoil])

    monkeypatch.setattr(throughput.shutil, "copyfile", copy)
    with pytest.raises(RuntimeError, match=r"the set must verify(.|\n)*DIFFERS"):
        emit_and_verify_seconds(WORDS)


@pytest.mark.parametrize("words", [0, -1, 100_000_001])
def test_golden_throughput_refuses_a_bad_number_of_words(words: int) -> None:
    with pytest.raises(ValueError, match="random_cases must be from 1"):
        emit_and_verify_seconds(words)
