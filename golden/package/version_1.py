"""Manifests of schema version 1, which package version 0.1 wrote, in version 2."""

from collections.abc import Callable
from typing import Any

#: The format of a manifest that gives none.
VECTORS = "bitlog2-vectors"


def upgraded(values: dict[str, Any], size: Callable[[str], int]) -> dict[str, Any]:
    """Return the JSON values of a manifest in schema version 2; they are not judged here.

    Args:
        values: the manifest; it has no `format` where it is that of a vector set.
        size: path -> bytes of a file in its folder: version 1 gives that of memory files alone.

    Raises:
        ValueError: it has not the lists of files of version 1.
    """
    entry = _layer_file if "format" in values else _stream_file
    try:
        memories = [entry(dict(each)) for each in values["files"]]
        others = [_other_file(dict(each), size) for each in values["attachments"]]
        covered = [{**each, "planted_faults": []} for each in values.get("coverage", ())]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"files, attachments and coverage must be those of version 1: {error!r}"
        ) from None
    rest = {name: value for name, value in values.items() if name != "attachments"}
    if "format" not in values:
        rest = {"format": VECTORS, "random_cases": None, **rest, "coverage": covered}
    quantization = rest.get("quantization")
    if isinstance(quantization, dict) and quantization.get("arithmetic") == "integer":
        rest["quantization"] = {**quantization, "arithmetic": "attention"}
    files = [*memories, *others]
    return {**rest, "schema_version": 2, "datapath": "attention", "files": files}


def _stream_file(entry: dict[str, Any]) -> dict[str, Any]:
    unit, stream, per = entry.pop("unit"), entry.pop("stream"), entry.pop("per")
    return {
        **entry,
        "path": entry["name"],
        "owner": unit,
        "name": stream,
        "description": f"{stream} of {unit}, one word per {per}",
        "number": "integer",
        "axes": [per],
        "shape": [entry["words"]],
        "lane_axis": None,
        **_memory(entry),
    }


def _layer_file(entry: dict[str, Any]) -> dict[str, Any]:
    owner, what, _ = entry.pop("layer"), entry.pop("what"), entry.pop("count")
    name = entry["path"].rpartition("/")[2].removesuffix(".mem")
    described = {"owner": owner, "name": name, "description": what}
    return {"lane_axis": None, **entry, **described, **_memory(entry)}


def _memory(entry: dict[str, Any]) -> dict[str, Any]:
    words, width = entry["words"], entry["width"]
    if type(words) is not int or type(width) is not int:
        raise ValueError("words and width must be integers")
    return {"kind": "memory", "bytes": words * (-(-width // 4) + 1)}


def _other_file(entry: dict[str, Any], size: Callable[[str], int]) -> dict[str, Any]:
    path = entry.pop("path") if "path" in entry else entry.pop("name")
    return {**entry, "kind": "file", "path": path, "bytes": size(path)}
