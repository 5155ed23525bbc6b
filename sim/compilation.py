"""Kernels compiled by numba, and kept in a folder that belongs to these sources."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba import config, njit
from numba.core import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher
from numba.extending import typeof_impl

from .jit import Kernel, cache_folder, source_hash


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


def runs_python() -> bool:
    """Whether numba is told to compile nothing."""
    return bool(config.DISABLE_JIT)  # type: ignore[attr-defined]


@typeof_impl.register(Kernel)
def _type_of_kernel(value: Kernel, context: Any) -> Any:
    """Let a kernel that calls another one see what that one compiles to."""
    return types.Dispatcher(value.compiled)  # type: ignore[no-untyped-call]


def compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """Return `function` compiled at its first call, or loaded; as it is if numba is disabled."""
    found: Any = njit(nogil=True, **options)(function)
    if isinstance(found, Dispatcher) and cache_folder() is not None:
        found._cache = _KernelCache(function)  # type: ignore[attr-defined, no-untyped-call]
    return found  # type: ignore[no-any-return]
