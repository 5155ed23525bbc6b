"""Manifests as JSON: read, held to a published schema, refused in one line."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from bitlog2 import SPEC_VERSION

from .folder import MANIFEST_NAME

__all__ = ["read_json", "render_json", "shortened"]

_FOLDER = Path(__file__).parent
_LONGEST_MESSAGE = 200


def render_json(values: dict[str, Any], schema: str) -> bytes:
    """Return a manifest as JSON text; ValueError where it breaks its own schema."""
    _validate(values, schema)
    return (json.dumps(values, indent=2) + "\n").encode()


def read_json(data: bytes, schema: str) -> dict[str, Any]:
    """Return what a manifest holds.

    Args:
        data: the file.
        schema: name of the schema's file beside this one.

    Raises:
        ValueError: it is not JSON, holds a number that is no integer, breaks the schema or follows
            another specification version: one line that says where.
    """
    try:
        values: dict[str, Any] = json.loads(
            data.decode("utf-8"), parse_constant=_refuse_number, parse_float=_refuse_number
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{MANIFEST_NAME} must be JSON: {error}") from None
    try:
        _validate(values, schema)
    except RecursionError:  # a message that would show the value
        raise ValueError(f"{MANIFEST_NAME} must follow {schema}: it is nested too deeply") from None
    if values["specification_version"] != SPEC_VERSION:
        raise ValueError(
            f"{MANIFEST_NAME}: specification_version must be {SPEC_VERSION}, that of this package, "
            f"got {values['specification_version']}"
        )
    return values


def _refuse_number(text: str) -> None:
    raise ValueError(f"numbers must be integers, got {shortened(text)}")


@lru_cache(maxsize=4)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((_FOLDER / schema).read_bytes()))


def _validate(values: object, schema: str) -> None:
    error = best_match(_validator(schema).iter_errors(values))
    if error is None:
        return
    path = shortened(error.json_path)
    raise ValueError(f"{MANIFEST_NAME}: at {path}: {shortened(error.message)}")


def shortened(message: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Return a message in one line of bounded length: it may repeat a value of any size."""
    message = " ".join(message.split())
    return message if len(message) <= longest else f"{message[: longest - 3]}..."
