"""Verify a vector set, and the outputs of a device under test against it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from bitlog2 import __version__
from bitlog2.sim.files import read_regular

from ..stimulus.unit import Progress, Target, Unit, no_progress
from ..words.memfile import MemoryImage, refuse_other_base
from .comparison import UnitComparison, compare_unit
from .emission import emit, set_files
from .folder import SUMS_NAME, checksums, names_in, names_in_sums, render_checksums, sha256
from .manifest import Manifest
from .reading import image_of, inputs_of, open_set
from .vector_set import UnitVectors, VectorSet, make_vectors

__all__ = [
    "Verification",
    "emit_and_verify_seconds",
    "verify",
]


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
    `bitlog2_pkg.sv` held to their checksums only, and so are its testbenches.

    Args:
        folder: the set.
        actual: files of a device under test, by `unit` (its expected stream) or `unit.stream`.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` is no usable set, a file of `actual` is malformed or names no output.
        OSError: a file cannot be read.
    """
    opened = _opened(Path(folder))
    manifest, target = opened.manifest, opened.manifest.target
    given = _files_given(manifest, actual or {})
    failures = _check_sums(opened)
    parts: list[UnitVectors] = []
    inside, devices = [], []
    for unit in manifest.units:
        try:
            part = _simulated(opened, unit, progress)
        except ValueError as error:
            failures.append(str(error))
            continue
        parts.append(part)
        failures += _check_counts(manifest, part)
        inside.append(compare_unit(target, part, _own_images(opened, part, failures)))
        if files := given.get(unit.name):
            devices.append(_compared(files, target, part))
    if len(parts) == len(manifest.units):
        failures += _check_made(opened, parts)
    return Verification(opened.root, tuple(failures), tuple(inside), tuple(devices))


@dataclass(frozen=True)
class _Opened:
    """A set's folder, its manifest, and the content and the SHA-256 of its files by name."""

    root: Path
    manifest: Manifest
    files: dict[str, bytes]
    sums: dict[str, str]


def _opened(root: Path) -> _Opened:
    manifest = open_set(root)
    files = {
        name: (root / name).read_bytes()
        for name in names_in(root, manifest.testbench)
        if (root / name).is_file()
    }
    return _Opened(root, manifest, files, checksums(files))


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


def _compared(paths: Mapping[str, Path], target: Target, part: UnitVectors) -> UnitComparison:
    """Return the comparison of a device's files, by stream, with what the simulator gives.

    Raises:
        ValueError: a file is malformed, or gives the right numbers in another base.
    """
    images: dict[str, MemoryImage] = {}
    for stream in part.unit.outputs:
        if (path := paths.get(stream.name)) is None:
            continue
        data, fields = read_regular(path), stream.fields(target)
        try:
            images[stream.name] = image_of(data, path, target, stream, part.words(stream))
        except ValueError:
            refuse_other_base(data, str(path), fields, part.tables[stream.name])
            raise
    comparison = compare_unit(target, part, images)
    for stream in () if comparison.ok else part.unit.outputs:
        if (path := paths.get(stream.name)) is not None:
            columns = part.tables[stream.name]
            refuse_other_base(read_regular(path), str(path), stream.fields(target), columns)
    return comparison


def _check_sums(opened: _Opened) -> list[str]:
    """Return what the checksums find: the file is rendered again and compared byte for byte."""
    files = opened.files
    names = sorted(names_in(opened.root, opened.manifest.testbench))
    failures = [f"{name} is no file of a set" for name in names if name not in files]
    if SUMS_NAME not in files:
        return [*failures, f"{SUMS_NAME} is missing"]
    found, expected = files[SUMS_NAME], render_checksums(opened.sums)
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


def _simulated(opened: _Opened, unit: Unit, progress: Progress) -> UnitVectors:
    manifest = opened.manifest
    inputs = inputs_of(opened.root, opened.files, manifest, unit)
    return make_vectors(manifest.target, unit, manifest.groups[unit.name], inputs, progress)


def _own_images(opened: _Opened, part: UnitVectors, failures: list[str]) -> dict[str, MemoryImage]:
    """Return the words of the set's own outputs; a malformed file is a failure of the set."""
    images: dict[str, MemoryImage] = {}
    for stream in part.unit.outputs:
        path = opened.root / part.unit.file_name(stream)
        data = opened.files.get(path.name)
        if data is None:
            continue
        try:
            images[stream.name] = image_of(
                data, path, opened.manifest.target, stream, part.words(stream)
            )
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


def _check_made(opened: _Opened, parts: Sequence[UnitVectors]) -> list[str]:
    """Return the files that are not what the stimulus and the manifest give."""
    manifest, files = opened.manifest, opened.files
    vectors = VectorSet(
        target=manifest.target,
        seed=manifest.seed,
        sources=manifest.sources,
        units=tuple(parts),
        random_cases=manifest.random_cases,
        testbench=manifest.testbench,
    )

    def checksum(name: str, data: bytes) -> str:
        return opened.sums[name] if files.get(name) == data else sha256(data)

    same_maker = manifest.package_version == __version__
    failures, made = [], set()
    for name, data in set_files(vectors, manifest.package_version, checksum):
        made.add(name)
        derived = not name.endswith(".mem")
        if name == SUMS_NAME or (derived and not same_maker):
            continue
        if name not in files:
            failures.append(f"{name} is missing")
        elif files[name] != data:
            failures.append(f"{name} is not what the stimulus gives")
    if not same_maker:
        made |= set(manifest.attachments)
    strangers = set(names_in(opened.root, manifest.testbench)) - made
    failures += [f"{name} is no file of this set" for name in sorted(strangers)]
    return failures


_UNIT = "log2_quantizer"
_EXPECTED = f"{_UNIT}.expected.mem"
#: Cases of the set that is made first: it loads the kernels and the manifest's schema.
_WARM = 1000


def emit_and_verify_seconds(words: int) -> tuple[float, float, int]:
    """Return the seconds of `emit`, the seconds of `verify`, and the bytes of the memory files.

    The set holds random cases of the log2 quantizer, one word of stimulus and one of output each,
    in a temporary folder that is removed. The device's file is a copy of the expected one, so
    `verify` compares every output twice: the set's own, and the device's.

    Args:
        words: cases, 1 to 10**8.

    Raises:
        TypeError, ValueError: `words` is no integer or out of range.
        RuntimeError: the verification failed or left words out.
    """
    with TemporaryDirectory() as folder:
        _emit_and_verify(Path(folder) / "warm", _WARM)
        return _emit_and_verify(Path(folder) / "timed", words)


def _emit_and_verify(root: Path, words: int) -> tuple[float, float, int]:
    start = perf_counter()
    emission = emit(root / "set", units=[_UNIT], sources=["random"], random_cases=words)
    emitted = perf_counter() - start
    size = sum(size for name, size in emission.sizes.items() if name.endswith(".mem"))
    del emission
    actual = root / "device.mem"
    shutil.copyfile(root / "set" / _EXPECTED, actual)
    start = perf_counter()
    verification = verify(root / "set", {_UNIT: actual})
    verified = perf_counter() - start
    _refuse_unless_whole(verification, words)
    return emitted, verified, size


def _refuse_unless_whole(verification: Verification, words: int) -> None:
    """Refuse a verification that failed, or compared fewer words than there are."""
    compared = [
        count.compared
        for comparisons in (verification.inside, verification.devices)
        for comparison in comparisons
        for count in comparison.counts
    ]
    if not verification.ok or compared != [words, words]:
        raise RuntimeError("\n".join(["the set must verify", *verification.lines()]))
