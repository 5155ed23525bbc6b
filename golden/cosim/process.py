"""A program that is ended with everything it started: when its time is over, or this process."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ended_by_signals", "run_group"]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave what runs here as an exception does: nothing stays behind."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, leave) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_group(
    command: Sequence[str], log: Path, environment: Mapping[str, str], limit: float
) -> int | None:
    """Run a program in a process group of its own; return its status, None past `limit` seconds.

    Args:
        command: the program and its arguments; one more is the number of a pipe that ends when this
            process does, in whatever way: then the program must end its group.
        log: file for what it prints.
        environment: all of it.
        limit: seconds; then the whole group is ended.
    """
    reading, writing = os.pipe()
    with log.open("wb") as file, os.fdopen(reading), os.fdopen(writing, "wb"):
        process = subprocess.Popen(
            [*command, str(reading)],
            pass_fds=(reading,),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
