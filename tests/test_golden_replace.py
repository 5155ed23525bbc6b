"""A folder is replaced as a whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from test_export import swin_export
from test_golden_helpers import contents, emit_hand_row

from bitlog2.golden import write_export
from bitlog2.golden.package.folder import open_folder, paths_below, replace_folder

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


OLD = {"set/a/x.mem": b"old", "set/manifest.json": b"{}"}
NEW = {"set/b/y.mem": b"new"}
NEVER_ENDED = (("a/x.mem", b"new"), None)
LEFT = {f".set.bitlog2-{kind}-0123/half": b"half" for kind in ("new", "old", "gone")}
OTHER = {".other.bitlog2-new-0123/half": b"half"}


def given(files: Iterable[tuple[str, bytes] | None]) -> Iterator[tuple[str, bytes]]:
    """Yield files; None is where the run is interrupted."""
    for each in files:
        if each is None:
            raise KeyboardInterrupt
        yield each


@pytest.mark.parametrize(
    ("before", "files", "after"),
    [
        pytest.param({}, [("b/y.mem", b"new")], NEW, id="new"),
        pytest.param(OLD, [("b/y.mem", b"new")], NEW, id="old"),
        pytest.param({}, NEVER_ENDED, {}, id="interrupted"),
        pytest.param(OLD, NEVER_ENDED, OLD, id="interrupted_over_old"),
        pytest.param(
            {".set.bitlog2-old-0/a": b"old"}, NEVER_ENDED, {"set/a": b"old"}, id="killed_in_renames"
        ),
        pytest.param(LEFT, [("b/y.mem", b"new")], NEW, id="leftovers"),
        pytest.param(OTHER, [("b/y.mem", b"new")], {**NEW, **OTHER}, id="leftovers_of_others"),
    ],
)
def test_golden_replace_leaves_the_new_folder_or_the_old_one(
    before: dict[str, bytes],
    files: list[tuple[str, bytes] | None],
    after: dict[str, bytes],
    tmp_path: Path,
) -> None:
    for name, data in before.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    with pytest.raises(KeyboardInterrupt) if None in files else nullcontext():
        assert replace_folder(tmp_path / "set", given(files)) == {"b/y.mem": 3}
    assert contents(tmp_path) == after
    assert {path.name for path in tmp_path.iterdir()} == {name.split("/")[0] for name in after}


def test_golden_replace_keeps_the_old_folder_when_writing_fails(tmp_path: Path) -> None:
    replace_folder(tmp_path / "set", {"a": b"old"}.items())
    with pytest.raises(TypeError):
        replace_folder(tmp_path / "set", {"a": 5}.items())  # type: ignore[dict-item]
    assert contents(tmp_path) == {"set/a": b"old"}


def test_golden_replace_follows_the_users_umask(tmp_path: Path) -> None:
    replace_folder(tmp_path / "set", {"a": b"new"}.items())
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "set").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_golden_replace_counts_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("")
    assert paths_below(tmp_path) == {"a", "b/x"}


# -- Every kind of folder --------------------------------------------------------------------------

WRITERS: dict[str, Callable[[Path], object]] = {
    "vector set": emit_hand_row,
    "export": lambda folder: write_export(folder, *swin_export()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_golden_replace_writes_into_an_empty_folder_and_over_its_own_kind(
    kind: str, tmp_path: Path
) -> None:
    WRITERS[kind](tmp_path / "one")
    (tmp_path / "two").mkdir()
    for _ in range(2):
        WRITERS[kind](tmp_path / "two")
        assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert open_folder(tmp_path / "two").manifest.title == kind
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


@pytest.mark.parametrize("kind", WRITERS)
def test_golden_replace_refuses_a_file(kind: str, tmp_path: Path) -> None:
    (tmp_path / "e").write_text("mine")
    with pytest.raises(ValueError, match="output must be a folder, got the file"):
        WRITERS[kind](tmp_path / "e")


@pytest.mark.parametrize("kind", WRITERS)
def test_golden_replace_refuses_a_folder_of_anything_else(kind: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=rf"an? {kind}, .* not empty and has no manifest\.json"):
        WRITERS[kind](tmp_path)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("kind", WRITERS)
def test_golden_replace_refuses_another_kind(kind: str, tmp_path: Path) -> None:
    for other in WRITERS.keys() - {kind}:
        WRITERS[other](tmp_path / other)
        before = contents(tmp_path / other)
        with pytest.raises(ValueError, match=f"output must be a new folder or an? {kind}, got"):
            WRITERS[kind](tmp_path / other)
        assert contents(tmp_path / other) == before


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["notes.txt", "head.fc/notes.txt"])
def test_golden_replace_refuses_a_folder_with_a_strange_file(
    kind: str, name: str, tmp_path: Path
) -> None:
    WRITERS[kind](tmp_path / "e")
    (tmp_path / "e" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "e" / name).write_text("mine")
    with pytest.raises(ValueError, match=f"but {name} is no part of the {kind} in it"):
        WRITERS[kind](tmp_path / "e")
    assert (tmp_path / "e" / name).read_text() == "mine"


def test_golden_replace_keeps_an_export_when_an_array_is_wrong(tmp_path: Path) -> None:
    export, arrays = swin_export()
    write_export(tmp_path / "e", export, arrays)
    before = contents(tmp_path / "e")
    head = {**arrays["head.fc"], "weight": arrays["head.fc"]["weight"] + 16}
    with pytest.raises(ValueError, match=r"^head.fc/weight\.mem: weight must be from 0 to 15, got"):
        write_export(tmp_path / "e", export, {**arrays, "head.fc": head})
    assert contents(tmp_path / "e") == before
