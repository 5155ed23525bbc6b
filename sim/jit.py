"""The `kernel` decorator: numba, once a kernel is called, and without stale arithmetic.

numba's own `cache=True` looks only at the file of the cached function, so an edit to a callee in
another file goes unseen and the old bits come back. Here compiled code lies in a folder whose name
carries a hash of every source file of `sim/`: any edit, anywhere in it, starts an empty folder.

A module of kernels holds declarations too, which a command line reads. Importing numba takes longer
than most commands, so it is imported by the first call of a kernel (`compilation.py`).
"""

import hashlib
from collections.abc import Callable
from functools import cached_property, lru_cache, update_wrapper
from pathlib import Path
from typing import Any

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


class Kernel:
    """A function that is compiled when it, or a kernel that calls it, is first called.

    With NUMBA_DISABLE_JIT=1 it runs as it is. Where no folder can be written, it is compiled in
    every process and nothing is said: slower, same bits.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self._options = options

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The function as numba's dispatcher."""
        from .compilation import compiled

        return compiled(self.py_func, self._options)

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        return self.compiled(*arguments)


class VectorKernel(Kernel):
    """A kernel whose place vectors take that are written out: `kernel/pairs.py`, `vectors.py`.

    It runs as it is with NUMBA_DISABLE_JIT=1, and compiled where the processor lacks the vectors.
    """

    def __init__(self, function: Callable[..., Any], form: str) -> None:
        super().__init__(function, forceinline=True, _nrt=False)
        self._form = form

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The vectors as numba's dispatcher."""
        from .compilation import compiled, runs_python

        if runs_python():
            return self.py_func
        from .kernel import pairs, vectors

        forms = pairs.FORMS | vectors.FORMS
        return compiled(forms.get(self._form, self.py_func), self._options)


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile `function` with numba: nogil, serial, no fastmath, cached by the hash of `sim/`."""
    return Kernel(function)


def borrowing_kernel(function: Callable[..., Any]) -> Kernel:
    """Compile as `kernel` does, but inlined, and without reference counts: it allocates nothing.

    The caller holds every array meanwhile, so that a view of a row costs nothing: with counts, the
    few views that a row takes cost as much as its arithmetic, and so do calls with its arguments.
    """
    return Kernel(function, forceinline=True, _nrt=False)


def vector_kernel(form: str) -> Callable[[Callable[..., Any]], VectorKernel]:
    """Return the decorator of a kernel that has a form in vectors, by its name there."""

    def decorate(function: Callable[..., Any]) -> VectorKernel:
        return VectorKernel(function, form)

    return decorate
