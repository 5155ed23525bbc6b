"""The file of a program: integer tensors by dotted names, and a header in JSON: safetensors.

Little-endian length of the header, the header, and the tensors' bytes in one piece. Its metadata
holds `program`, a `Header` as JSON text, and `sha256`, the digest of the whole file with zeros in
that digest's place. Tensors are arrays of the program, and its tuples of integers as int64; what
else it holds is in the header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import prod
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from bitlog2.documents import Count, Document, brief, checked, from_json, plain, plain_values

from ..checks import check_int
from ..config import AttentionConfig
from ..datapath import SPECIFICATION_VERSION
from ..files import read_regular, write_whole
from .config import NetworkConfig
from .datapath import NETWORK_VERSION
from .program import Program, Step, within

FORMAT = "bitlog2-program-1"
#: Versions of the network's specification whose programs are read.
_VERSIONS = range(2, NETWORK_VERSION + 1)
#: What safetensors calls the types that a program has.
_TYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "BOOL": np.dtype("?"),
}
_METADATA, _ZEROS = "__metadata__", b"0" * 64
#: Class of a part of a step, in its JSON.
_KIND = "kind"


class Header(Document, frozen=True, kw_only=True):
    """What a program's file holds beside its tensors.

    Attributes:
        format: of the file.
        network_version: the first of the network's specification that has all steps.
        attention_version: of attention's specification.
        network, attention: the configurations, every field.
        source: what the program was made from, for people.
        seed: of the calibration, or null.
        resize: the shorter side of an image file before its centre is cut out, or null.
        steps: the steps, their arrays left out.
    """

    format: Literal["bitlog2-program-1"]
    network_version: int
    attention_version: int
    network: dict[str, int]
    attention: dict[str, int | str | None]
    source: str
    seed: Count | None
    resize: Count | None
    steps: list[dict[str, Any]]


# -- Writing ---------------------------------------------------------------------------------------


def write_program(path: Path, program: Program) -> str:
    """Write a program, whole or not at all; return the digest that its file holds."""
    content, digest = program_bytes(program)
    write_whole(path, content)
    return digest


def program_bytes(program: Program) -> tuple[bytes, str]:
    """Return the content of a program's file, and the digest in it.

    Raises:
        ValueError: source or seed are none that a header holds.
    """
    tensors: dict[str, NDArray[Any]] = {}
    steps = [_parts(step, f"steps.{place}", tensors) for place, step in enumerate(program.steps)]
    document = checked(
        Header, "program",
        format=FORMAT, network_version=program.version, attention_version=SPECIFICATION_VERSION,
        network=program.network.as_dict(), attention=program.attention.as_dict(),
        source=program.source, seed=program.seed, resize=program.resize, steps=steps,
    )  # fmt: skip
    # The digest stands first: its zeros are the first of the file.
    metadata = {"sha256": _ZEROS.decode(), "program": json.dumps(plain_values(document))}
    header: dict[str, Any] = {_METADATA: metadata}
    end, parts = 0, []
    # Wide types first, so that every tensor lies at a multiple of its items' size.
    for name, values in sorted(tensors.items(), key=lambda each: (-each[1].itemsize, each[0])):
        kind = next(kind for kind, dtype in _TYPES.items() if dtype == values.dtype)
        offsets = [end, end + values.nbytes]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        parts.append(values.tobytes())
        end = offsets[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    whole = b"".join([len(text).to_bytes(8, "little"), text, *parts])
    digest = hashlib.sha256(whole).hexdigest()
    return whole.replace(_ZEROS, digest.encode(), 1), digest


def _parts(value: Any, name: str, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the JSON of a part of a program, and put its arrays among the tensors."""
    found: dict[str, Any] = {_KIND: type(value).__name__}
    for each in fields(value):
        part, path = getattr(value, each.name), f"{name}.{each.name}"
        if isinstance(part, np.ndarray):
            tensors[path] = part.astype(part.dtype.newbyteorder("<"), copy=False)
        elif isinstance(part, tuple):
            tensors[path] = np.array(part, "<i8")
        else:
            found[each.name] = _parts(part, path, tensors) if is_dataclass(part) else part
    return found


# -- Reading ---------------------------------------------------------------------------------------


def read_program(path: Path) -> tuple[Program, str]:
    """Return the program of a file, and the digest that the file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no program of this version, it is not as it was written, or it holds what
            no program of its configuration does: one line that names the tensor.
    """
    try:
        return program_of(read_regular(path))
    except (TypeError, ValueError) as error:
        raise ValueError(f"program {path}: {error}") from error


def program_of(content: bytes) -> tuple[Program, str]:
    """Return the program of a file's content, and its digest; errors as `read_program`."""
    entries, start = _entries(content)
    metadata = entries.pop(_METADATA, None)
    if not isinstance(metadata, dict) or set(metadata) != {"program", "sha256"}:
        raise ValueError("metadata must be sha256 and program")
    digest = str(metadata["sha256"])
    values = plain(str(metadata["program"]).encode(), "metadata")
    _check_versions(values)
    zeroed = content[:start].replace(digest.encode(), _ZEROS, 1)
    found = hashlib.sha256(zeroed)
    found.update(memoryview(content)[start:])
    if digest != found.hexdigest():
        raise ValueError("content must have the sha256 that it names: it is not as it was written")
    header = from_json(values, Header, "header")
    tensors = _tensors(entries, content, start)
    steps = tuple(
        _made(step, Step, f"steps.{place}", tensors) for place, step in enumerate(header.steps)
    )
    if tensors:
        raise ValueError(f"tensors must be those of the steps, got {brief(min(tensors))} too")
    network = NetworkConfig.from_mapping(header.network, complete=True)
    attention = AttentionConfig.from_mapping(header.attention, complete=True)
    program = Program(network, attention, steps, header.source, header.seed, header.resize)
    if header.network_version != program.version:
        raise ValueError(
            f"network_version must be {program.version}, the first that has all steps, "
            f"got {header.network_version}"
        )
    return program, digest


def _check_versions(values: Any) -> None:
    """Say first what another version of the project would have written."""
    for name, legal in (
        ("format", (FORMAT,)),
        ("network_version", _VERSIONS),
        ("attention_version", (SPECIFICATION_VERSION,)),
    ):
        found = values.get(name) if isinstance(values, dict) else None
        if found not in legal:
            wanted = " or ".join(map(str, legal))
            raise ValueError(f"{name} must be {wanted}, got {brief(found)}")


def _entries(content: bytes) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and where its tensors begin."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f"file must be safetensors: {len(content)} bytes hold no such header")
    entries = plain(content[8 : 8 + length], "header")
    if not isinstance(entries, dict):
        raise ValueError(f"header must be an object, got {brief(entries)}")
    return entries, 8 + length


def _tensors(entries: Mapping[str, Any], content: bytes, start: int) -> dict[str, NDArray[Any]]:
    """Return the tensors by name; they lie one after the other, to the end of the file."""
    found = {}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda each: _offset(each[1])):
        with within(name):
            kind, shape, offsets = _described(entry)
            size = prod(shape) * kind.itemsize
            if offsets != [end, end + size] or start + end + size > len(content):
                raise ValueError(f"data_offsets must be {[end, end + size]}, got {offsets}")
            values = np.frombuffer(content, kind, prod(shape), start + end).reshape(shape)
            if kind == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
                raise ValueError("a BOOL must be 0 or 1")
            found[name], end = values, end + size
    if start + end != len(content):
        raise ValueError(f"tensors must end with the file, at byte {len(content)}")
    return found


def _offset(entry: Any) -> int:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    first = offsets[0] if isinstance(offsets, list) and offsets else 0
    return first if isinstance(first, int) else 0


def _described(entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], list[int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError("a tensor must have dtype, shape and data_offsets")
    kind, shape = _TYPES.get(str(entry["dtype"])), entry["shape"]
    if kind is None:
        raise ValueError(f"dtype must be one of {', '.join(_TYPES)}, got {brief(entry['dtype'])}")
    if not isinstance(shape, list):
        raise ValueError(f"shape must be a list, got {brief(shape)}")
    sides = tuple(check_int("shape", side, 0, 1 << 40) for side in shape)
    return kind, sides, entry["data_offsets"]


def _made(values: Any, hint: Any, name: str, tensors: dict[str, NDArray[Any]]) -> Any:
    """Return a part of a program from its JSON, and take its arrays from the tensors."""
    members: list[Any] = [kind for kind in _members(hint) if is_dataclass(kind)]
    kinds = {kind.__name__: kind for kind in members}
    if not isinstance(values, dict) or values.get(_KIND) not in kinds:
        found = values.get(_KIND) if isinstance(values, dict) else values
        legal = " or ".join(kinds) or "a tensor"
        raise ValueError(f"{name} must be {legal}, got {brief(found)}")
    kind = kinds[values[_KIND]]
    hints = get_type_hints(kind)
    known = [each.name for each in fields(kind)]
    if surplus := sorted(set(values) - {*known, _KIND}):
        raise ValueError(f"{name} must have the fields {', '.join(known)}, got {surplus[0]} too")
    made = {}
    for each in fields(kind):
        path, wanted = f"{name}.{each.name}", hints[each.name]
        if each.name not in values:
            made[each.name] = _tensor(path, wanted, tensors)
            continue
        value = values[each.name]
        absent = value is None and type(None) in _members(wanted)
        as_it_is = absent or wanted is int  # an integer is checked by its class
        made[each.name] = value if as_it_is else _made(value, wanted, path, tensors)
    with within(name):
        return kind(**made)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is UnionType else (hint,)


def _tensor(name: str, hint: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    """Take an array, or a tuple of integers, from the tensors."""
    listed = get_origin(hint) is tuple
    if name not in tensors:
        raise ValueError(f"tensor {name} is missing")
    values = tensors.pop(name)
    if not listed:
        return values
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError(
            f"{name} must be int64 in one axis, got {values.dtype} of shape {values.shape}"
        )
    return tuple(values.tolist())
