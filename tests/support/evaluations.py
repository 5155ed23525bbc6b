"""Evaluations in a folder, without progress, in this process or in others that may be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bitlog2.models.runs.evaluation import evaluate
from bitlog2.models.runs.folder import RunFolder
from bitlog2.models.runs.request import EvaluationRequest
from support.shared import made_once

PROGRAM = "import sys; from bitlog2.scripts.cli import main; sys.exit(main(sys.argv[1:]))"


def quiet(items: Iterable[Any], label: str, total: int) -> Iterable[Any]:
    """Show no progress."""
    return items


def run(path: Path, request: EvaluationRequest | None, threads: int | None = None) -> RunFolder:
    """Evaluate, or go on with what is there; return the folder."""
    evaluate(path, request, quiet, threads=threads)
    return RunFolder.open(path)


def run_once(factory: pytest.TempPathFactory, name: str, request: EvaluationRequest) -> RunFolder:
    """Return a finished run that the processes of this test run share: tests leave it as it is."""
    folder = made_once(factory, name, lambda path: run(path / "run", request))
    return RunFolder.open(folder / "run")


def running_threads() -> list[threading.Thread]:
    """Return the threads that compare registers."""
    return [t for t in threading.enumerate() if t.name.startswith("bitlog2-check")]


def resume(path: Path, processes: int = 1) -> subprocess.Popen:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command += ["-m", "bitlog2", "resume", str(path)]
    else:
        command += ["-c", PROGRAM, "resume", str(path)]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def batches(path: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in path.glob("cells/*/batches-*.jsonl"))


def kill_after(path: Path, count: int, process: subprocess.Popen) -> None:
    """Kill a run, and every process of it, once `count` batches are in its journals."""
    for _ in range(6000):
        if batches(path) >= count or process.poll() is not None:
            break
        time.sleep(0.01)
    for number in processes_of(path):  # torchrun gives each worker a session of its own
        os.kill(number, signal.SIGKILL)
    process.communicate()


def processes_of(path: Path) -> list[int]:
    """Return the processes that run a folder, torchrun's first."""
    found = subprocess.run(
        ["pgrep", "-f", f"resume {path}"], capture_output=True, text=True, check=False
    )
    return [int(number) for number in found.stdout.split()]
