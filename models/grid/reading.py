"""Read the result of a run, held to its schema."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from ..sealed import check_seal, read_object
from .folder import RunFolder, run_digest
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
    content = read_object(path)
    try:
        error = jsonschema.exceptions.best_match(_validator().iter_errors(content))
    except RecursionError:
        raise ValueError(f"{path} must follow result.schema.json: nested too deep") from None
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the file"
        raise ValueError(f"{path} must follow result.schema.json: {place}: {error.message[:200]}")
    check_seal(path, content)
    _check_cells(content, path)
    if run.is_dir() and RunFolder.is_there(run):
        folder = RunFolder.open(run)
        if run_digest(content["request"], content["versions"]) != folder.digest:
            raise ValueError(f"{path} must be the result of the run in its folder, got another's")
    return content


def _check_cells(content: dict[str, Any], path: Path) -> None:
    """Refuse a result whose cells are not those of its request, or count other than they hold."""
    try:
        request = GridRequest.from_dict(content["request"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    asked = [json.loads(json.dumps(cell.as_dict())) for cell in request.cells()]
    found = [{name: cell[name] for name in asked[0]} for cell in content["cells"]]
    if found != asked:
        raise ValueError(f"{path} must hold the cells that it was asked for, in their order")
    for cell in content["cells"]:
        for name in ("top1", "top5", "agreement_with_unquantized"):
            share = cell[name]
            if share is not None and not share["hits"] <= share["total"] == cell["images"]:
                raise ValueError(
                    f"{path} must count at most {cell['images']} images of {cell['name']}, got "
                    f"{name} of {share['hits']} in {share['total']}"
                )


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
