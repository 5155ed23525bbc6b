"""The `kernel` decorator: numba without stale arithmetic.

numba's own `cache=True` looks only at the file of the cached function, so an edit to a callee in
another file goes unseen and the old bits come back. Here compiled code lies in a folder whose name
carries a hash of every source file of `sim/`: any edit, anywhere in it, starts an empty folder.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher

from .files import user_cache, writable

_SOURCES = Path(__file__).resolve().parent


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Return 16 hexadecimal digits of the SHA-256 over all source files of `sim/`."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(path.relative_to(_SOURCES).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return the first writable folder for compiled kernels, or None where there is none."""
    name = f"bitlog2-kernels-{source_hash()}"
    return writable(_SOURCES / "__pycache__" / name) or user_cache(name)


class _SourceHashLocator(_CacheLocator):
    """Puts the compiled code of a function of `sim/` into `cache_folder()`."""

    def __init__(self, py_func: Callable[..., Any]) -> None:
        self._line = py_func.__code__.co_firstlineno
        self._module = py_func.__module__

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return source_hash()

    def get_disambiguator(self) -> str:
        return f"{self._module}-{self._line}"

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_SourceHashLocator":
        return cls(py_func)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_SourceHashLocator]  # type: ignore[list-item]  # noqa: RUF012


class _KernelCache(FunctionCache):
    _impl_class = _KernelCacheImpl

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled; a folder that is full or gone by now is no error."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` with numba: nogil, serial, no fastmath, cached by the hash of `sim/`.

    With NUMBA_DISABLE_JIT=1 the function comes back as it is. Where no folder can be written, it
    is compiled in every process and nothing is said: slower, same bits.
    """
    return _cached(njit(nogil=True)(function), function)


def borrowing_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `kernel` does, but inlined, and without reference counts: it allocates nothing.

    The caller holds every array meanwhile, so that a view of a row costs nothing: with counts, the
    few views that a row takes cost as much as its arithmetic, and so do calls with its arguments.
    """
    options: dict[str, Any] = {"forceinline": True, "_nrt": False}
    return _cached(njit(nogil=True, **options)(function), function)


def _cached(compiled: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(compiled, Dispatcher) and cache_folder() is not None:
        compiled._cache = _KernelCache(function)  # type: ignore[attr-defined, no-untyped-call]
    return compiled  # type: ignore[no-any-return]
