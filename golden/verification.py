"""Verify a vector set, and the outputs of a device under test against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitlog2 import __version__

from .compare import UnitComparison, compare_unit
from .emission import set_files
from .manifest import Manifest
from .memfile import MemoryImage
from .reading import open_set, read_image, read_inputs
from .sums import SUMS_NAME, names_in_sums, render_sums
from .target import Target
from .unit import Progress, Unit, no_progress
from .vector_set import UnitVectors, VectorSet, make_vectors

__all__ = ["Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """What was compared, and what came of it.

    Attributes:
        folder: the set.
        failures: what is wrong with the set itself, one sentence each.
        inside: the set's own outputs against the simulator.
        devices: the outputs of a device against the simulator.
    """

    folder: Path
    failures: tuple[str, ...]
    inside: tuple[UnitComparison, ...]
    devices: tuple[UnitComparison, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done and agreed."""
        return not self.failures and all(each.ok for each in (*self.inside, *self.devices))

    @property
    def status(self) -> int:
        """Exit status: 0 when `ok`, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """Return the report."""
        lines = [f"{self.folder}: {failure}" for failure in self.failures]
        for title, comparisons in (("set", self.inside), ("device", self.devices)):
            for comparison in comparisons:
                lines += [f"{title}: {line}" for line in comparison.lines()]
        return [*lines, "agrees" if self.ok else "DIFFERS"]


def verify(
    folder: str | Path,
    actual: Mapping[str, str | Path] | None = None,
    *,
    progress: Progress = no_progress,
) -> Verification:
    """Check a set by its checksums, simulate its stimulus again, and compare every word.

    The whole set is made again from its stimulus and manifest, so that edited outputs with renewed
    checksums are found. A set of another package version has its manifest, `vectors.npz` and
    `bitlog2_pkg.sv` held to their checksums only.

    Args:
        folder: the set.
        actual: files of a device under test, by `unit` (its expected stream) or `unit.stream`.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` is no usable set, a file of `actual` is malformed or names no output.
        OSError: a file cannot be read.
    """
    root = Path(folder)
    manifest = open_set(root)
    given = _files_given(manifest, actual or {})
    failures = _check_sums(root)
    parts: dict[str, UnitVectors] = {}
    inside, devices = [], []
    for unit in manifest.units:
        try:
            part = _simulated(root, manifest, unit, progress)
        except ValueError as error:
            failures.append(str(error))
            continue
        parts[unit.name] = part
        failures += _check_counts(manifest, part)
        inside.append(
            compare_unit(manifest.target, part, _own_images(root, manifest.target, part, failures))
        )
        if files := given.get(unit.name):
            images = _images(files, manifest.target, part)
            devices.append(compare_unit(manifest.target, part, images))
    if len(parts) == len(manifest.units):
        vectors = VectorSet(manifest.target, manifest.seed, manifest.sources, tuple(parts.values()))
        failures += _check_made(root, manifest, vectors)
    return Verification(root, tuple(failures), tuple(inside), tuple(devices))


def _files_given(
    manifest: Manifest, actual: Mapping[str, str | Path]
) -> dict[str, dict[str, Path]]:
    """Return the device's files by unit and stream."""
    outputs = {
        f"{unit.name}.{stream.name}": (unit.name, stream.name)
        for unit in manifest.units
        for stream in unit.outputs
    }
    files: dict[str, dict[str, Path]] = {}
    for name, path in actual.items():
        full = name if "." in name else f"{name}.expected"
        if full not in outputs:
            raise ValueError(f"actual must be one of {', '.join(outputs)}, got {name!r}")
        unit, stream = outputs[full]
        if stream in files.setdefault(unit, {}):
            raise ValueError(f"actual must give {full} once, got it twice")
        files[unit][stream] = Path(path)
    return files


def _images(files: Mapping[str, Path], target: Target, part: UnitVectors) -> dict[str, MemoryImage]:
    """Return the words of files by stream, as many as the simulator gives."""
    return {
        stream.name: read_image(files[stream.name], target, stream, part.words(stream))
        for stream in part.unit.outputs
        if stream.name in files
    }


def _check_sums(root: Path) -> list[str]:
    """Return what the checksums find: the file is rendered again and compared byte for byte."""
    entries = sorted(root.iterdir())
    failures = [f"{path.name} is no file of a set" for path in entries if not path.is_file()]
    files = {path.name: path.read_bytes() for path in entries if path.is_file()}
    if SUMS_NAME not in files:
        return [*failures, f"{SUMS_NAME} is missing"]
    found, expected = files[SUMS_NAME], render_sums(files)
    if found == expected:
        return failures
    failures += [f"{name} is missing" for name in sorted(names_in_sums(found) - set(files))]
    listed = set(found.decode("utf-8", "replace").split("\n"))
    for line in expected.decode().splitlines():
        if line not in listed:
            failures.append(f"{line[66:]} has not the checksum that {SUMS_NAME} gives")
    if not failures:
        failures.append(f"{SUMS_NAME} must list every other file once, sorted by name")
    return failures


def _simulated(root: Path, manifest: Manifest, unit: Unit, progress: Progress) -> UnitVectors:
    inputs = read_inputs(root, manifest, unit)
    return make_vectors(manifest.target, unit, manifest.groups[unit.name], inputs, progress)


def _own_images(
    root: Path, target: Target, part: UnitVectors, failures: list[str]
) -> dict[str, MemoryImage]:
    """Return the words of the set's own outputs; a malformed file is a failure of the set."""
    images: dict[str, MemoryImage] = {}
    for stream in part.unit.outputs:
        path = root / part.unit.file_name(stream)
        if not path.is_file():
            continue
        try:
            images |= _images({stream.name: path}, target, part)
        except ValueError as error:
            failures.append(str(error))
    return images


def _check_counts(manifest: Manifest, part: UnitVectors) -> list[str]:
    """Return the outputs of which the manifest counts other words than the stimulus gives."""
    return [
        f"{part.unit.file_name(stream)} must hold {part.words(stream)} words by its stimulus, "
        f"the manifest counts {manifest.words[part.unit.file_name(stream)]}"
        for stream in part.unit.outputs
        if manifest.words[part.unit.file_name(stream)] != part.words(stream)
    ]


def _check_made(root: Path, manifest: Manifest, vectors: VectorSet) -> list[str]:
    """Return the files that are not what the stimulus and the manifest give."""
    made = set_files(vectors, manifest.package_version)
    same_maker = manifest.package_version == __version__
    failures = []
    for name, data in made.items():
        derived = not name.endswith(".mem")
        if name == SUMS_NAME or (derived and not same_maker):
            continue
        path = root / name
        if not path.is_file():
            failures.append(f"{name} is missing")
        elif path.read_bytes() != data:
            failures.append(f"{name} is not what the stimulus gives")
    strangers = {path.name for path in root.iterdir()} - set(made)
    failures += [f"{name} is no file of this set" for name in sorted(strangers)]
    return failures
