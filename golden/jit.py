"""The `kernel` decorator of `golden/`: that of `sim/`, its cache keyed by both folders' sources."""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

from bitlog2.sim import jit as sim_jit

__all__ = ["kernel", "source_hash"]

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
