"""Work in threads."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bitlog2.sim.threads import usable_processors

Part = TypeVar("Part")
Result = TypeVar("Result")

_MOST_THREADS = 8


def parts_of(words: int, size: int) -> list[slice]:
    """Return the slices of `size` words, the last one shorter, that make up `words`."""
    return [slice(start, min(start + size, words)) for start in range(0, words, size)]


def each_part(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield `work(part)` for each part in order, computed by as many threads as processors.

    A single part is worked on by the caller's thread.

    Raises:
        Exception: what `work` raised for the first part at which it raised.
    """
    listed = list(parts)
    threads = min(usable_processors(), _MOST_THREADS, len(listed))
    if threads <= 1:
        yield from map(work, listed)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, listed)
