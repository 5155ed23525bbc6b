"""Calls on other threads, their results in the order of the calls."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread, get_ident
from typing import Generic, TypeVar

__all__ = ["InOrder"]

T = TypeVar("T")


class InOrder(Generic[T]):
    """Makes calls on threads of its own and hands their results back in the order of the calls.

    What comes back is the same for any number of threads, whichever of them ends first. At most
    `threads + waiting` calls are held: who submits one more waits for the oldest. A thread ends
    when no call is left, so that none outlives its work; none keeps a process from ending.
    One thread submits, drains and cancels.

    Args:
        threads: that make the calls, 0 to 256; 0 for none, each call is made as it is submitted.
        waiting: calls that may wait for a thread, at least 0.

    Raises:
        ValueError: a number is outside of its range.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        if not 0 <= threads <= 256:
            raise ValueError(f"threads must be from 0 to 256, got {threads}")
        if waiting < 0:
            raise ValueError(f"waiting must be at least 0, got {waiting}")
        self._threads, self._most = threads, threads + waiting
        self._results: deque[Future[T]] = deque()
        self._calls: deque[tuple[Future[T], Callable[[], T]]] = deque()
        self._taken: list[T] = []  # what an interrupted wait has not returned yet
        self._busy: set[int] = set()
        self._lock = Lock()
        self._started: list[Thread] = []
        self._error: BaseException | None = None

    def submit(self, call: Callable[[], T]) -> list[T]:
        """Take a call; return the results, in order, that are there by now.

        Raises:
            BaseException: what an earlier call raised; this one is not made then.
        """
        if self._threads == 0:
            return [call()]
        results = self._take(most=self._most - 1)
        future: Future[T] = Future()
        self._calls.append((future, call))
        self._results.append(future)
        self._start_thread()
        return results

    def drain(self) -> list[T]:
        """Wait for all calls; return the results that are left, in order. The threads end.

        Raises:
            BaseException: what a call raised, the first that did; raised again by every later use.
        """
        results = self._take(most=0)
        self._join()
        return results

    def cancel(self) -> None:
        """Give up the calls that no thread has begun, wait for the others. The threads end."""
        with self._lock:
            self._calls.clear()
        self._join()
        self._results.clear()

    def _take(self, most: int) -> list[T]:
        """Return the results that are there, in order; wait until `most` calls are left."""
        if self._error is not None:
            raise self._error
        while self._results and (len(self._results) > most or self._results[0].done()):
            self._start_thread()  # should an interrupt have kept `submit` from it
            self._error = self._results[0].exception()
            if self._error is not None:
                self.cancel()
                raise self._error
            self._taken.append(self._results.popleft().result())
        taken, self._taken = self._taken, []
        return taken

    def _start_thread(self) -> None:
        with self._lock:
            enough = not self._calls or len(self._busy) >= self._threads
        if not enough:
            self._started = [thread for thread in self._started if thread.is_alive()]
            self._started.append(_thread(self._make_calls))
            self._started[-1].start()

    def _make_calls(self) -> None:
        """Make calls until none is left; a thread too many ends at once."""
        me = get_ident()
        while True:
            with self._lock:
                mine = me in self._busy or len(self._busy) < self._threads
                if not (mine and self._calls):
                    self._busy.discard(me)
                    return
                self._busy.add(me)
                future, call = self._calls.popleft()
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                future.set_exception(error)
            del future, call  # and what they hold, before the next is waited for

    def _join(self) -> None:
        for thread in self._started:
            if thread.is_alive():
                thread.join()
        self._started.clear()


def _thread(target: Callable[[], None]) -> Thread:
    return Thread(target=target, name="bitlog2-check", daemon=True)
