"""Read the result of a run, held to its schema."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

__all__ = ["read_result"]

_SCHEMA = Path(__file__).parent / "result.schema.json"


def read_result(run: Path) -> dict[str, Any]:
    """Return the result of a finished run.

    Args:
        run: its folder, or the result's file.

    Raises:
        ValueError: there is none yet, or it is not what the schema says.
    """
    path = run / "result.json" if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"run must be finished, got {run} without result.json")
    try:
        content = json.loads(path.read_bytes())
        error = jsonschema.exceptions.best_match(_validator().iter_errors(content))
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path} must be JSON: {problem}") from None
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the file"
        raise ValueError(f"{path} must follow result.schema.json: {place}: {error.message[:200]}")
    assert isinstance(content, dict)
    return content


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
