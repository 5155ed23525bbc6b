"""A killed emission leaves the old set, the new one, or none; never half of one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_golden_helpers import contents

from bitlog2.golden.package.folder import replace_folder

#: Forks a child for each line "step delay folder row": the child emits over `folder`. Where step
#: is not negative, it kills itself right before that operation on the file system; where delay is
#: not negative, it is killed after so many seconds.
SERVER = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from test_golden_helpers import emit_hand_row
from bitlog2.golden.package import folder as replaced

def killed_before(step):
    left = [step]
    def counted(operation):
        def call(*arguments, **options):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return operation(*arguments, **options)
        return call
    for name in ("rename", "fsync", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    replaced.write = counted(replaced.write)

emit_hand_row(sys.argv[2])
for line in sys.stdin:
    step, delay, folder, row = line.split()
    child = os.fork()
    if child == 0:
        if int(step) >= 0:
            killed_before(int(step))
        emit_hand_row(folder, int(row))
        os._exit(0)
    if float(delay) >= 0:
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Emitter:
    """Emits a set of one captured row in processes that can be killed."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", SERVER, str(Path(__file__).parent), str(folder / "warm")]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def emit(self, folder: Path, row: int, *, step: int = -1, delay: float = -1.0) -> bool:
        """Return whether the emission came to its end."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{step} {delay} {folder} {row}\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline()) == 0

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)


@pytest.fixture(scope="module")
def emitter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emitter]:
    made = Emitter(tmp_path_factory.mktemp("golden"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def sets(emitter: Emitter, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """Return the two sets that replace each other."""
    folder = tmp_path_factory.mktemp("golden")
    assert emitter.emit(folder / "0", 0)
    assert emitter.emit(folder / "1", 1)
    return [contents(folder / "0"), contents(folder / "1")]


@pytest.fixture(scope="module")
def duration(emitter: Emitter, sets: list, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long an emission takes here."""
    start = time.monotonic()
    emitter.emit(tmp_path_factory.mktemp("golden") / "set", 0)
    return time.monotonic() - start


@pytest.mark.parametrize("seed", range(20))
def test_golden_replace_killed_at_any_moment_leaves_a_whole_set(
    emitter: Emitter, sets: list[dict[str, bytes]], duration: float, tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "set"
    assert emitter.emit(folder, 0)
    emitter.emit(folder, 1, delay=duration * random.Random(seed).uniform(0.0, 1.05))
    assert not folder.exists() or contents(folder) in sets


def test_golden_replace_killed_at_any_step_leaves_a_whole_set_or_none(
    emitter: Emitter, sets: list[dict[str, bytes]], tmp_path: Path
) -> None:
    seen: list[int | None] = []
    ended = False
    while not ended:
        folder = tmp_path / str(len(seen)) / "set"
        replace_folder(folder, sets[0].items())
        ended = emitter.emit(folder, 1, step=len(seen))
        seen.append(sets.index(contents(folder)) if folder.exists() else None)
    assert seen == sorted(seen, key=lambda state: {0: 0, None: 1, 1: 2}[state])
    assert {0, 1} <= set(seen)


def test_golden_replace_puts_the_old_set_back_after_a_kill_between_the_renames(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "set"
    replace_folder(folder, {"a": b"old"}.items())
    os.rename(folder, tmp_path / ".set.bitlog2-old-0123")
    with pytest.raises(TypeError):
        replace_folder(folder, {"a": 5}.items())  # type: ignore[dict-item]
    assert contents(folder) == {"a": b"old"}


def test_golden_replace_removes_what_killed_runs_left(tmp_path: Path) -> None:
    for kind in ("new", "old", "gone"):
        leftover = tmp_path / f".set.bitlog2-{kind}-0123"
        leftover.mkdir()
        (leftover / "half").write_bytes(b"half")
    replace_folder(tmp_path / "set", {"a": b"new"}.items())
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_golden_replace_leaves_the_leftovers_of_other_folders(tmp_path: Path) -> None:
    (tmp_path / ".other.bitlog2-new-0123").mkdir()
    replace_folder(tmp_path / "set", {"a": b"new"}.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.bitlog2-new-0123", "set"]


def test_golden_replace_keeps_the_old_folder_when_writing_fails(tmp_path: Path) -> None:
    replace_folder(tmp_path / "set", {"a": b"old"}.items())
    with pytest.raises(TypeError):
        replace_folder(tmp_path / "set", {"a": 5}.items())  # type: ignore[dict-item]
    assert contents(tmp_path / "set") == {"a": b"old"}


def test_golden_replace_follows_the_users_umask(tmp_path: Path) -> None:
    replace_folder(tmp_path / "set", {"a": b"new"}.items())
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "set").stat().st_mode == (tmp_path / "plain").stat().st_mode
