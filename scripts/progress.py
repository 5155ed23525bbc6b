"""Progress on standard error: shown on a terminal, silent elsewhere."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(items: Iterable[Any], label: str, total: int | None = None) -> Iterable[Any]:
    """Return `items` with a progress bar on standard error where that is a terminal."""
    return tqdm(items, desc=label, total=total, leave=False, disable=not sys.stderr.isatty())
