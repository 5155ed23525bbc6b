"""Calls on other threads, their results in the order of the calls."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class InOrder(Generic[T]):
    """Makes calls on threads of its own and hands their results back in the order of the calls.

    The results are the same for any number of threads. At most `threads + waiting` calls are held:
    the submission of one more waits for the oldest. The threads end with `drain` and `cancel`, and
    with the process. One thread submits, drains and cancels.

    Args:
        threads: number of threads, 0 to 256; at 0 each call is made as it is submitted.
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
        self._taken: list[T] = []  # not returned yet by an interrupted wait
        self._pool: ThreadPoolExecutor | None = None
        self._error: BaseException | None = None

    def submit(self, call: Callable[[], T]) -> list[T]:
        """Take a call; return the results, in order, that are there by now.

        Raises:
            BaseException: the error of an earlier call; this one is not made then.
        """
        if self._threads == 0:
            return [call()]
        results = self._take(most=self._most - 1)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "bitlog2-check")
        self._results.append(self._pool.submit(call))
        return results

    def drain(self) -> list[T]:
        """Wait for all calls; return the results that are left, in order. The threads end.

        Raises:
            BaseException: the error of the first call that failed; raised again by every later use.
        """
        results = self._take(most=0)
        self._end()
        return results

    def cancel(self) -> None:
        """Drop the calls that no thread has begun, wait for the others. The threads end."""
        self._end()
        self._results.clear()

    def _take(self, most: int) -> list[T]:
        """Return the results that are there, in order; wait until `most` calls are left."""
        if self._error is not None:
            raise self._error
        while self._results and (len(self._results) > most or self._results[0].done()):
            self._error = self._results[0].exception()
            if self._error is not None:
                self.cancel()
                raise self._error
            self._taken.append(self._results.popleft().result())
        taken, self._taken = self._taken, []
        return taken

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
