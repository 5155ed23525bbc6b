"""Of the runs of a test, those that `make test` has; the others are left to `make test-long`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def quick_where(
    quick: Callable[..., bool], runs: Iterable[Any], ids: Sequence[str] = ()
) -> list[Any]:
    """Return the runs as parameters, marked as long where they are not quick.

    Args:
        quick: of a run's values.
        runs: a value each, or a tuple of values.
        ids: names, in the order of the runs; those of pytest where there are none.
    """
    found = []
    for number, run in enumerate(runs):
        values = run if isinstance(run, tuple) else (run,)
        marks = () if quick(*values) else pytest.mark.long
        found.append(pytest.param(*values, marks=marks, id=ids[number] if ids else None))
    return found


def one_in(count: int, runs: Sequence[Any], ids: Sequence[str] = (), first: int = 0) -> list[Any]:
    """Return the runs as parameters; of so many neighbours one is quick, from `first` on."""
    marks = [() if number % count == first else pytest.mark.long for number in range(len(runs))]
    return [
        pytest.param(*(run if isinstance(run, tuple) else (run,)), marks=mark, id=name)
        for run, mark, name in zip(runs, marks, ids or [None] * len(runs), strict=True)
    ]
