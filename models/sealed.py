"""Documents that hold the SHA-256 of their own content: an edited file is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from bitlog2.documents import Document, brief, from_json, plain, plain_values, schema
from bitlog2.sim.files import write_whole

_SEAL = "sha256"


class Sealed(Document, frozen=True, kw_only=True):
    """Base of the documents with a seal: the field `format`, a literal, names kind and version."""


S = TypeVar("S", bound=Sealed)


def digest_of(content: Any) -> str:
    """Return the SHA-256 of JSON values: of their text with sorted keys and no blanks."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, document: Sealed) -> None:
    """Write a document with its digest, whole or not at all."""
    values = plain_values(document)
    text = json.dumps({**values, _SEAL: digest_of(values)}, indent=2, allow_nan=False)
    write_whole(path, (text + "\n").encode())


def read_sealed(path: Path, kind: type[S]) -> S:
    """Return the document that `write_sealed` wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no document of that kind, or it was edited.
    """
    content = plain(path.read_bytes(), str(path))
    (form,) = get_args(get_type_hints(kind)["format"])
    found = content.get("format") if isinstance(content, dict) else content
    if found != form:
        raise ValueError(
            f"{path} must have the format {form}, got {brief(found)}: a file of another version of "
            "BitLog2 is not read"
        )
    seal = content.pop(_SEAL, None)
    if seal != digest_of(content):
        raise ValueError(
            f"{path} must be as it was written: its content does not have the sha256 that it names"
        )
    return from_json(content, kind, str(path))


def sealed_schema(kind: type[Sealed], title: str) -> dict[str, Any]:
    """Return the JSON schema of the file of a document with its seal."""
    found = schema(kind, title)
    name = found["$ref"].rpartition("/")[2]
    described = "SHA-256 of the other members as JSON with sorted keys and no blanks."
    body = found["$defs"][name]
    body["properties"][_SEAL] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": described,
    }
    body["required"].append(_SEAL)
    return found
