"""Work in threads, and kernels that are compiled once."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from numba.core.dispatcher import Dispatcher

from bitlog2.sim import jit as sim_jit

_SOURCES = Path(__file__).resolve().parent


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Return 16 hexadecimal digits of the SHA-256 over all source files of `golden/`."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(path.relative_to(_SOURCES).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class _Locator(sim_jit._SourceHashLocator):
    """The folder of `sim/`, named by its sources; in it, file names that carry the hash here."""

    def get_disambiguator(self) -> str:
        return f"{super().get_disambiguator()}-{source_hash()}"


class _KernelCacheImpl(sim_jit._KernelCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]  # noqa: RUF012


class _KernelCache(sim_jit._KernelCache):
    _impl_class = _KernelCacheImpl


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` as `sim.jit.kernel` does, seeing edits to `golden/` too."""
    compiled = sim_jit.kernel(function)
    if isinstance(compiled, Dispatcher) and sim_jit.cache_folder() is not None:
        compiled._cache = _KernelCache(function)  # type: ignore[attr-defined, no-untyped-call]
    return compiled


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
    threads = min(_processors(), _MOST_THREADS, len(listed))
    if threads <= 1:
        yield from map(work, listed)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, listed)


def _processors() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
