"""`manifest.json`: what a set is, rendered from a set and read back."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitlog2 import SPEC_VERSION
from bitlog2.sim import config_from_mapping

from ..stimulus.unit import CaseGroup, Origin, Stream, Target, Unit
from ..stimulus.units import UNITS
from ..words.fields import word_width
from .folder import MAKEFILE_NAME, MANIFEST_NAME
from .presets import preset_of
from .schema import read_json, render_json, shortened
from .vector_set import UnitVectors, VectorSet

__all__ = ["Manifest", "emit_command", "read_manifest", "render_manifest"]

_SCHEMA_VERSION = 1
_SCHEMA = "manifest.schema.json"


@dataclass(frozen=True)
class Manifest:
    """What a manifest says, checked.

    Attributes:
        target: configuration and head dimension.
        seed: of the stimulus; None for captured rows and a user's stimulus.
        random_cases: of each unit; None for the usual number.
        units: in the order of the set.
        sources: what was asked for.
        groups: the case groups of each unit by its name.
        words: words of each memory file by its name.
        sha256: checksum of each memory file by its name.
        package_version: of the package that made the set.
        attachments: the other files, but for the manifest and the checksums.
    """

    target: Target
    seed: int | None
    random_cases: int | None
    units: tuple[Unit, ...]
    sources: tuple[str, ...]
    groups: dict[str, tuple[CaseGroup, ...]]
    words: dict[str, int]
    sha256: dict[str, str]
    package_version: str
    attachments: tuple[str, ...]

    @property
    def testbench(self) -> bool:
        """Whether testbenches belong to the set."""
        return MAKEFILE_NAME in self.attachments


def emit_command(
    target: Target,
    units: Sequence[str],
    sources: Sequence[str],
    seed: int | None,
    random_cases: int | None = None,
    testbench: bool = False,
) -> str:
    """Return the command that makes the set again, its output folder left out.

    A configuration that is no preset is taken from the manifest itself, and so are the cases of a
    model or a user.
    """
    if seed is None:
        return f"bitlog2 golden emit --from {MANIFEST_NAME}"
    source = "all" if len(sources) > 1 else sources[0]
    words = ["--config", preset_of(target.config) or MANIFEST_NAME]
    for unit in units:
        words += ["--unit", unit]
    words += ["--source", source, "--seed", str(seed), "--head-dim", str(target.head_dim)]
    if random_cases is not None:
        words += ["--count", str(random_cases)]
    if testbench:
        words.append("--testbench")
    return "bitlog2 golden emit " + shlex.join(words)


def render_manifest(vectors: VectorSet, sums: Mapping[str, str], package_version: str) -> bytes:
    """Return the manifest of a set whose other files, in order, have these SHA-256.

    It holds no clock and no path.
    """
    names = [part.unit.name for part in vectors.units]
    manifest = {
        "schema_version": _SCHEMA_VERSION,
        "specification_version": SPEC_VERSION,
        "package_version": package_version,
        "command": emit_command(
            vectors.target,
            names,
            vectors.sources,
            vectors.seed,
            vectors.random_cases,
            vectors.testbench,
        ),
        "configuration": vectors.target.config.as_dict(),
        "head_dim": vectors.target.head_dim,
        "seed": vectors.seed,
        **({} if vectors.random_cases is None else {"random_cases": vectors.random_cases}),
        "units": names,
        "sources": list(vectors.sources),
        "files": [
            _file_entry(vectors.target, part, stream, sums[part.unit.file_name(stream)])
            for part in vectors.units
            for stream in part.unit.streams
        ],
        "attachments": [
            {"name": name, "sha256": sums[name]} for name in sums if not name.endswith(".mem")
        ],
        "groups": [entry for part in vectors.units for entry in _group_entries(part)],
        "coverage": [_coverage_entry(part) for part in vectors.units],
    }
    return render_json(manifest, _SCHEMA)


def _file_entry(target: Target, part: UnitVectors, stream: Stream, sha256: str) -> dict[str, Any]:
    fields = stream.fields(target)
    return {
        "name": part.unit.file_name(stream),
        "unit": part.unit.name,
        "stream": stream.name,
        "per": stream.per,
        "width": word_width(fields),
        "fields": [asdict(field) for field in fields],
        "words": part.words(stream),
        "sha256": sha256,
    }


def _group_entries(part: UnitVectors) -> list[dict[str, Any]]:
    entries, first = [], 0
    for group in part.groups:
        entry: dict[str, Any] = {
            "unit": part.unit.name,
            "first": first,
            "count": group.count,
            "source": group.source,
            "reason": group.reason,
        }
        if group.origin is not None:
            entry["origin"] = asdict(group.origin)
        entries.append(entry)
        first += group.count
    return entries


def _coverage_entry(part: UnitVectors) -> dict[str, Any]:
    return {
        "unit": part.unit.name,
        "declared": len(part.bins),
        "reached": len(part.bins) - len(part.empty),
        "empty": part.empty,
        "bins": part.bins,
    }


def read_manifest(data: bytes) -> Manifest:
    """Return what a manifest says.

    Raises:
        ValueError: it is not JSON, breaks the schema, follows another specification version, or
            contradicts itself: one line that says where.
    """
    values = read_json(data, _SCHEMA)
    try:
        return _manifest_of(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{MANIFEST_NAME}: {shortened(str(error), 500)}") from None


def _manifest_of(values: dict[str, Any]) -> Manifest:
    for unit in values["units"]:
        if unit not in UNITS:
            raise ValueError(f"units must be among {', '.join(UNITS)}, got {unit!r}")
    given = values["sources"] in (["model"], ["user"])
    if given != (values["seed"] is None):
        raise ValueError("seed must be null exactly where sources are the model or the user alone")
    if not given and not {"model", "user"}.isdisjoint(values["sources"]):
        raise ValueError("sources must be the model or the user alone, or corners and random")
    target = Target(config_from_mapping(values["configuration"], complete=True), values["head_dim"])
    units = tuple(UNITS[name] for name in values["units"])
    listed = [entry["name"] for entry in values["files"]]
    expected = [unit.file_name(stream) for unit in units for stream in unit.streams]
    if listed != expected:
        raise ValueError(f"files must be {', '.join(expected)}, got {', '.join(listed)}")
    groups = {unit.name: _groups_of(values["groups"], unit.name) for unit in units}
    random_cases = values.get("random_cases")
    if random_cases is not None:
        _check_random_cases(random_cases, groups)
    return Manifest(
        target=target,
        seed=values["seed"],
        random_cases=random_cases,
        units=units,
        sources=tuple(values["sources"]),
        groups=groups,
        words={entry["name"]: entry["words"] for entry in values["files"]},
        sha256={entry["name"]: entry["sha256"] for entry in values["files"]},
        package_version=values["package_version"],
        attachments=tuple(entry["name"] for entry in values["attachments"]),
    )


def _check_random_cases(count: int, groups: Mapping[str, Sequence[CaseGroup]]) -> None:
    for unit, listed in groups.items():
        counted = sum(group.count for group in listed if group.source == "random")
        if counted != count:
            raise ValueError(
                f"groups must count {count} random cases of {unit}, as random_cases says, "
                f"they count {counted}"
            )


def _groups_of(entries: list[dict[str, Any]], unit: str) -> tuple[CaseGroup, ...]:
    return tuple(
        CaseGroup(
            entry["source"],
            entry["reason"],
            entry["count"],
            {},
            Origin(**entry["origin"]) if "origin" in entry else None,
        )
        for entry in entries
        if entry["unit"] == unit
    )
