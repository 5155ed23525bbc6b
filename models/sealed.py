"""JSON objects that hold the SHA-256 of their own content: an edited file is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bitlog2.sim.checks import brief
from bitlog2.sim.files import write_whole

__all__ = [
    "check_seal",
    "digest_of",
    "parse_object",
    "read_object",
    "read_sealed",
    "write_sealed",
]

_SEAL = "sha256"


def digest_of(content: Any) -> str:
    """Return the SHA-256 of JSON values: of their text with sorted keys and no blanks."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, content: dict[str, Any], *, sort_keys: bool = False) -> None:
    """Write an object with its digest, whole or not at all."""
    text = json.dumps({**content, _SEAL: digest_of(content)}, indent=2, sort_keys=sort_keys)
    write_whole(path, (text + "\n").encode())


def read_sealed(path: Path, form: str) -> dict[str, Any]:
    """Return the object that `write_sealed` wrote, without its digest.

    Args:
        path: the file.
        form: what its `format` must be.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON object of that format, or it was edited.
    """
    content = read_object(path)
    if content.get("format") != form:
        raise ValueError(
            f"{path} must have the format {form}, got {brief(content.get('format'))}: a file of "
            "another version of BitLog2 is not read"
        )
    check_seal(path, content)
    return {name: value for name, value in content.items() if name != _SEAL}


def check_seal(path: Path, content: dict[str, Any]) -> None:
    """Refuse an object whose `sha256` is not that of the rest; ValueError names the file."""
    rest = {name: value for name, value in content.items() if name != _SEAL}
    if content.get(_SEAL) != digest_of(rest):
        raise ValueError(
            f"{path} must be as it was written: its content does not have the sha256 that it names"
        )


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or no object, or names a key twice.
    """
    try:
        return parse_object(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} must be JSON: {error}") from None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the object that a text holds; ValueError for anything else, or a key twice."""
    try:
        content = json.loads(
            text, object_pairs_hook=_each_key_once, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError(f"must hold an object, got {brief(content)}")
    return content


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {brief(twice)} stands twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
