"""Parts of a batch, side by side: the kernels leave the interpreter free meanwhile."""

import _thread
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from threading import Lock

#: Does some of the items.
Work = Callable[[slice], None]
#: Lends a thread its work, with scratch of its own, until all is done.
Prepare = Callable[[], AbstractContextManager[Work]]


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each_part(size: int, workers: int, prepare: Prepare, least: int = 1) -> None:
    """Call `work(part)` for slices that make up range(size), on the caller's thread and others.

    Args:
        size: how many items there are.
        workers: threads at most, the caller's among them.
        prepare: called once on each thread.
        least: items of a part, but of the last one.

    Raises:
        Exception: what `work` raised for one of the parts.
    """
    parts, lock = _parts(size, workers, least), Lock()

    def drain() -> None:
        with prepare() as work:
            while True:
                with lock:
                    part = next(parts, None)
                if part is None:
                    return
                work(part)

    most = min(workers, -(-size // least))
    others: list[Future[None]] = [_start(drain) for _ in range(most - 1)]
    try:
        drain()
    finally:
        errors = [other.exception() for other in others]
    for error in errors:
        if error is not None:
            raise error


def _parts(size: int, workers: int, least: int) -> Iterator[slice]:
    """Yield smaller and smaller parts, so that threads of different speeds end together."""
    start = 0
    while start < size:
        step = max(least, (size - start) // (3 * workers))
        yield slice(start, min(start + step, size))
        start += step


def _start(function: Callable[[], None]) -> "Future[None]":
    """Run the function on a thread of its own; return what tells its end, and its error.

    `threading.Thread` and pools wait here until the thread runs, which takes a sleeping processor
    as long as a head takes.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            function()
            future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            future.set_exception(error)

    _thread.start_new_thread(run, ())
    return future
