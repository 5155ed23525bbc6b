"""Runs: killed, resumed, shared by several processes, and the same bytes each time."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.evaluations import batches, processes_of, resume, run, run_once

from bitlog2.models.runs.evaluation import join_team, versions
from bitlog2.models.runs.folder import RunFolder, read_journal
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.scripts.cli import main

REQUEST = EvaluationRequest(
    models=("digits",),
    schemes=("BitLog2_Half_17",),
    arithmetics=("integer", "attention"),
    limit=24,
    batch_size=8,
    watermarks=True,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunFolder:
    return run_once(tmp_path_factory, "run", REQUEST)


def started(path: Path) -> Path:
    """A run that has been asked for and not begun."""
    RunFolder.create(path, REQUEST, versions())
    return path


def forked(path: Path) -> int:
    """Go on with a run in a copy of this process, which has imported everything; its number."""
    if number := os.fork():
        return number
    try:
        run(path, None)
    finally:
        os._exit(0)


def assert_each_batch_once(path: Path) -> None:
    """Hold that every cell is there, and that no batch was journalled twice."""
    cells = RunFolder.open(path).request.cells()
    assert len(cells) == 3
    for cell in cells:
        numbers = [
            record.batch
            for file in path.glob(f"cells/{cell.name}/batches-*.jsonl")
            for record in read_journal(file)
        ]
        assert sorted(numbers) == list(range(3))


def test_run_result_says_what_it_saw(finished):
    result = json.loads(finished.result_file.read_bytes())
    assert [cell["images"] for cell in result["cells"]] == [24, 24, 24]
    check = result["cells"][1]["check"]
    assert check["passed"]
    assert check["total_compared"] == sum(check["compared"].values()) > 9 * 10**6
    assert all(len(cell["digests"]["pixels"]) == 64 for cell in result["cells"])
    assert result["cells"][1]["attention_map"]["blocks.0.attn"]["error"] > 0
    assert len(result["comparisons"]) == 2  # of cells that differ in the scheme alone


def test_run_status_of_a_finished_run(finished):
    assert [(cell.batches, cell.images, cell.finished) for cell in finished.status()] == [
        (3, 24, True)
    ] * 3


def test_run_finished_run_again_writes_the_same_bytes(finished):
    before = finished.result_file.read_bytes()
    run(finished.path, None)
    assert finished.result_file.read_bytes() == before


def test_run_killed_and_resumed_gives_the_same_bytes(finished, tmp_path):
    """From another number of threads that compare, too."""
    path = started(tmp_path / "run")
    number, ended = forked(path), 0
    while batches(path) < 2 and not ended:
        time.sleep(0.01)
        ended, _ = os.waitpid(number, os.WNOHANG)
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    assert 2 <= batches(path) < 9
    run(path, None, threads=3)
    assert (path / "result.json").read_bytes() == finished.result_file.read_bytes()
    assert_each_batch_once(path)


def test_run_second_run_of_a_folder_is_refused(tmp_path, capsys):
    path = started(tmp_path / "run")
    with RunFolder.open(path).locked():
        assert main(["resume", str(path)]) == 2
    assert "another process is running it" in capsys.readouterr().err


@pytest.mark.parametrize(("processes", "then"), [(2, 1), (3, 2)])
@pytest.mark.long
def test_run_shared_by_processes_one_of_them_killed(finished, tmp_path, processes, then):
    path = started(tmp_path / "run")
    shared = resume(path, processes)
    for _ in range(6000):
        writers = {file.name.split("-")[1] for file in path.glob("cells/*/batches-*.jsonl")}
        if str(processes - 1) in writers or shared.poll() is not None:
            break
        time.sleep(0.01)
    os.kill(processes_of(path)[-1], signal.SIGKILL)
    shared.communicate()
    assert shared.returncode != 0
    if then == 1:
        run(path, None)
    else:
        again = resume(path, then)
        _, message = again.communicate()
        assert again.returncode == 0, message
    assert (path / "result.json").read_bytes() == finished.result_file.read_bytes()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_run_killed_at_a_hundred_random_moments(finished, tmp_path):
    rng = random.Random(0)
    path, kills, whole = started(tmp_path / "run"), 0, 0
    while kills < 100 or whole < 5:
        process = resume(path)
        wait_for_a_moment(rng, path, process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        _, message = process.communicate()
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, message
            assert (path / "result.json").read_bytes() == finished.result_file.read_bytes()
            assert_each_batch_once(path)
            whole += 1
            path = started(tmp_path / f"run{whole}")


def wait_for_a_moment(rng: random.Random, path: Path, process: subprocess.Popen) -> None:
    """Wait for up to three batches more, or none, and then for a part of some seconds."""
    wanted = batches(path) + rng.randrange(4)
    while batches(path) < wanted and process.poll() is None:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, rng.choice([0.1, 1, 8])))


def test_run_resumed_with_other_versions_is_refused(tmp_path):
    RunFolder.create(tmp_path / "run", REQUEST, {**versions(), "torch": "1"})
    with pytest.raises(ValueError, match="must go on with what it began with: torch 1, not"):
        run(tmp_path / "run", None)


def test_run_device_of_one_number_is_not_for_several_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    refused = pytest.raises(ValueError, match="device must be cuda for the 2 processes")
    with refused, join_team("cuda:1"):
        pass
