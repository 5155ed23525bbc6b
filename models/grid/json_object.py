"""A file of a run that holds one JSON object."""

import json
from pathlib import Path
from typing import Any

__all__ = ["read_object"]


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object")
    return content
