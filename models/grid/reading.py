"""Read the result of a run, held to its schema."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from .request import GridRequest

__all__ = ["read_result"]

_SCHEMA = Path(__file__).parent / "result.schema.json"


def read_result(run: Path) -> dict[str, Any]:
    """Return the result of a finished run.

    Args:
        run: its folder, or the result's file.

    Raises:
        ValueError: there is none yet, or it is not what the schema says, or its cells are not those
            of its request.
    """
    path = run / "result.json" if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"run must be finished, got {run} without result.json")
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        error = jsonschema.exceptions.best_match(_validator().iter_errors(content))
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path} must be JSON: {problem}") from None
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the file"
        raise ValueError(f"{path} must follow result.schema.json: {place}: {error.message[:200]}")
    assert isinstance(content, dict)
    _check_cells(content, path)
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _check_cells(content: dict[str, Any], path: Path) -> None:
    """Refuse a result whose cells are not those that its request asks for."""
    try:
        request = GridRequest.from_dict(content["request"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    asked = [json.loads(json.dumps(cell.as_dict())) for cell in request.cells()]
    found = [{name: cell[name] for name in asked[0]} for cell in content["cells"]]
    if found != asked:
        raise ValueError(f"{path} must hold the cells that it was asked for, in their order")


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
