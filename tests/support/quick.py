"""Of the runs of a test, those that `make test` has; the others are left to `make test-long`."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

#: The default scheme, and the one of the other family.
USUAL = ("BitLog2_Half_17", "RowMax_16")


def quick_where(
    quick: Callable[..., bool], runs: Iterable[Any], ids: Sequence[str] = ()
) -> list[Any]:
    """Return the runs as parameters, marked as long where they are not quick.

    Args:
        quick: of a run's values.
        runs: a value each, or a tuple of values.
        ids: names, in the order of the runs; those of pytest where there are none.
    """
    values = [run if isinstance(run, tuple) else (run,) for run in runs]
    return [
        pytest.param(*run, marks=() if quick(*run) else pytest.mark.long, id=name)
        for run, name in zip(values, ids or [None] * len(values), strict=True)
    ]


def one_in(count: int, runs: Iterable[Any], ids: Sequence[str] = (), first: int = 0) -> list[Any]:
    """Return the runs as parameters; of so many neighbours one is quick, from `first` on."""
    numbers = itertools.count()
    return quick_where(lambda *_: next(numbers) % count == first, runs, ids)
