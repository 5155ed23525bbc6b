"""Verification of a vector set, an export, and a device's outputs."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from msgspec.structs import replace as msgspec_replace
from numpy.typing import NDArray

from bitlog2 import __version__
from bitlog2.documents import render
from bitlog2.sim.checks import check_choice, check_int
from bitlog2.sim.files import read_regular

from ..junit import JunitCase, JunitSuite
from ..stimulus.unit import Progress, Target, no_progress
from ..words.memfile import MemoryImage, refuse_other_base
from ..words.npz import render_npz
from .comparison import SHOWN, UnitComparison, compare_unit, hex_of
from .emission import emit
from .export import OUTPUTS, attention_arrays, fed_back, layer_memories
from .export_manifest import AttentionLayer, ExportManifest, arrays_path
from .folder import Folder, open_folder, sha256
from .manifest import MANIFEST_NAME, File, FolderManifest, MemoryFile
from .reading import image_of, open_set, read_tables
from .vector_manifest import VectorManifest
from .vector_set import (
    UnitVectors,
    VectorSet,
    content_files,
    make_vectors,
    manifest_of,
    select_cases,
    words_of_cases,
)


@dataclass(frozen=True)
class Verification:
    """Report of a verification.

    Attributes:
        folder: the vector set or export.
        failures: faults of the folder itself, one sentence each.
        inside: a set's own outputs against the simulator.
        devices: the outputs of a device against the simulator.
        fed_back: an export's outputs against the simulator, where its files have no fault.
        seconds: wall time of each unit of a set, its outputs made again and compared.
        actual: the files of a device, as `verify` was given them.
    """

    folder: Path
    failures: tuple[str, ...]
    inside: tuple[UnitComparison, ...] = ()
    devices: tuple[UnitComparison, ...] = ()
    fed_back: "FedBack | None" = None
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    actual: Mapping[str, str | Path] = field(default_factory=dict, compare=False)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done and agreed."""
        wrong = self.fed_back is not None and self.fed_back.mismatches
        compared = all(each.ok for each in (*self.inside, *self.devices))
        return not self.failures and not wrong and compared

    @property
    def status(self) -> int:
        """Exit status: 0 when `ok`, else 1."""
        return 0 if self.ok else 1

    def suites(self) -> list[JunitSuite]:
        """Return the files of the folder, then the set and the device with a case per unit."""
        wrong = bool(self.failures)
        suites = [JunitSuite("files", [JunitCase("verify", "files", 0.0, wrong, self.failures)])]
        for title, comparisons in (("set", self.inside), ("device", self.devices)):
            cases = [
                JunitCase(
                    f"verify.{title}",
                    each.unit,
                    self.seconds.get(each.unit, 0.0),
                    not each.ok,
                    each.lines(),
                )
                for each in comparisons
            ]
            if cases:
                suites.append(JunitSuite(title, cases, sum(case.seconds for case in cases)))
        if self.fed_back is not None:
            lines, wrong = self.fed_back.lines(), bool(self.fed_back.mismatches)
            case = JunitCase("verify", "fed_back", 0.0, wrong, lines)
            suites.append(JunitSuite("export", [case]))
        return suites

    def lines(self, command: str = "") -> list[str]:
        """Return the report; `command` is a command line that verifies the set again."""
        lines = [f"{self.folder}: {failure}" for failure in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            lines.append(f"  ... {len(self.failures)} in all")
        for title, comparisons in (("set", self.inside), ("device", self.devices)):
            for each in comparisons:
                lines += [f"{title}: {line}" for line in each.lines()]
                if each.mismatches and command and not each.whole:
                    given = self._given(each.unit) if title == "device" else ""
                    case = f"{each.unit}={each.mismatches[0].case}"
                    lines.append(f"{title}:   alone: {command}{given} --case {case}")
        lines += [] if self.fed_back is None else self.fed_back.lines()
        return [*lines, "agrees" if self.ok else "DIFFERS"]

    def _given(self, unit: str) -> str:
        """Return the options that give the files of a unit."""
        words = [
            f"{name}={path}" for name, path in self.actual.items() if name.split(".")[0] == unit
        ]
        return "".join(f" --actual {shlex.quote(each)}" for each in words)


def verify(
    folder: str | Path,
    actual: Mapping[str, str | Path] | None = None,
    *,
    progress: Progress = no_progress,
) -> Verification:
    """Check the files of a vector set or an export, and compare every output with the simulator's.

    A set is made again from its stimulus and manifest, so that edited outputs with renewed
    checksums are found. A set of another package version has its manifest, but for the command,
    and its memory files compared; its other files are held to their checksums.

    Of an export, in this order and no further than the first stage with a fault: names, sizes and
    checksums; `arrays.npz` against the memories, and parameters against the manifest; levels,
    nibbles, flags and output codes against what the simulator makes of q, k and v. Weights, scales
    and biases are held to checksums and to `arrays.npz` alone: nothing else determines them.

    Args:
        folder: the vector set or export.
        actual: files of a device under test, by `unit` (its expected stream) or `unit.stream`; for
            a set alone.
        progress: shows how far it is.

    Raises:
        ValueError: `folder` cannot be used, a file of `actual` is missing or malformed, or names no
            output.
        OSError: a file cannot be read.
    """
    opened = open_folder(Path(folder))
    return _verified(opened.manifest, opened, actual or {}, progress)


def verify_case(
    folder: str | Path, unit: str, case: int, actual: Mapping[str, str | Path] | None = None
) -> Verification:
    """Return the comparison of one case of a vector set, with all of its words.

    Args:
        folder: the vector set.
        unit: one of its units.
        case: number of the case, from 0.
        actual: files of a device under test, as for `verify`, of this unit alone; without them the
            set's own.

    Raises:
        ValueError: `folder` cannot be used, it has no such unit or case, or a file is missing or
            malformed.
        OSError: a file cannot be read.
    """
    root, actual = Path(folder), actual or {}
    manifest = open_set(root)
    check_choice("unit", unit, manifest.unit_names)
    given = _files_given(manifest, actual)
    for name in given:
        if name != unit:
            raise ValueError(f"actual must be of {unit}, as the case is, got {name}")
    target, golden = manifest.target, next(u for u in manifest.units if u.name == unit)
    inputs = read_tables(root, manifest, golden, golden.inputs)
    part = make_vectors(target, golden, manifest.groups[unit], inputs)
    check_int(f"case of {unit}", case, 0, part.cases - 1)
    own = {stream.name: root / golden.file_name(stream) for stream in golden.outputs}
    found = (_of_case(given.get(unit, own), target, part, case),)
    inside, devices = ((), found) if given else (found, ())
    return Verification(root, (), inside, devices, actual=actual)


def _of_case(
    paths: Mapping[str, Path], target: Target, part: UnitVectors, case: int
) -> UnitComparison:
    """Return the comparison of a case with what files hold, by stream."""
    words, images = words_of_cases(part, [case]), {}
    for stream in part.unit.outputs:
        if (path := paths.get(stream.name)) is not None:
            count = part.words(stream)
            image = image_of(read_regular(path), path, target, stream, count)
            chosen = words[count]
            images[stream.name] = MemoryImage(image.digits[chosen], image.present[chosen], 0)
    return compare_unit(target, select_cases(part, [case]), images, cases=[case], whole=True)


_Actual = Mapping[str, str | Path]


@singledispatch
def _verified(
    manifest: FolderManifest, opened: Folder, actual: _Actual, progress: Progress
) -> Verification:
    """Return the verification of a folder of the manifest's kind."""
    raise ValueError(f"{manifest.title} {opened.root} must have outputs that can be compared")


@_verified.register
def _(
    manifest: VectorManifest, opened: Folder, actual: _Actual, progress: Progress
) -> Verification:
    root, target = opened.root, manifest.target
    given = _files_given(manifest, actual)
    failures = opened.faults()
    files = {name: (root / name).read_bytes() for name in opened.there if (root / name).is_file()}
    parts: list[UnitVectors] = []
    inside, devices, seconds = [], [], dict[str, float]()
    for unit in manifest.units:
        begun = perf_counter()
        try:
            inputs = read_tables(root, manifest, unit, unit.inputs)
            part = make_vectors(target, unit, manifest.groups[unit.name], inputs, progress)
        except ValueError as error:
            failures.append(str(error))
            continue
        parts.append(part)
        failures += _check_counts(manifest, part)
        inside.append(compare_unit(target, part, _own_images(root, files, target, part, failures)))
        if paths := given.get(unit.name):
            devices.append(_compared(paths, target, part))
        seconds[unit.name] = perf_counter() - begun
    if len(parts) == len(manifest.units):
        vectors = VectorSet(
            target=target,
            seed=manifest.seed,
            sources=manifest.sources,
            units=tuple(parts),
            random_cases=manifest.random_cases,
            testbench=manifest.testbench,
        )
        failures += _check_made(opened, manifest, files, vectors)
    return Verification(
        root, tuple(failures), tuple(inside), tuple(devices), seconds=seconds, actual=actual
    )


def _files_given(manifest: VectorManifest, actual: _Actual) -> dict[str, dict[str, Path]]:
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
        if not os.path.lexists(path):
            raise ValueError(f"actual must give {full} in a file that exists, got {path}")
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
        data, fields = read_regular(path), target.fields(stream)
        try:
            images[stream.name] = image_of(data, path, target, stream, part.words(stream))
        except ValueError:
            refuse_other_base(data, str(path), fields, part.tables[stream.name])
            raise
    comparison = compare_unit(target, part, images)
    for stream in () if comparison.ok else part.unit.outputs:
        if (path := paths.get(stream.name)) is not None:
            columns = part.tables[stream.name]
            refuse_other_base(read_regular(path), str(path), target.fields(stream), columns)
    return comparison


def _own_images(
    root: Path,
    files: Mapping[str, bytes],
    target: Target,
    part: UnitVectors,
    failures: list[str],
) -> dict[str, MemoryImage]:
    """Return the words of the set's own outputs; a malformed file is a failure of the set."""
    images: dict[str, MemoryImage] = {}
    for stream in part.unit.outputs:
        path = root / part.unit.file_name(stream)
        data = files.get(path.name)
        if data is None:
            continue
        try:
            images[stream.name] = image_of(data, path, target, stream, part.words(stream))
        except ValueError as error:
            failures.append(str(error))
    return images


def _check_counts(manifest: VectorManifest, part: UnitVectors) -> list[str]:
    """Return the outputs of which the manifest counts other words than the stimulus gives."""
    return [
        f"{part.unit.file_name(stream)} must hold {part.words(stream)} words by its stimulus, "
        f"the manifest counts {manifest.words[part.unit.file_name(stream)]}"
        for stream in part.unit.outputs
        if manifest.words[part.unit.file_name(stream)] != part.words(stream)
    ]


def _check_made(
    folder: Folder, manifest: VectorManifest, files: Mapping[str, bytes], vectors: VectorSet
) -> list[str]:
    """Return the files that are not what the stimulus and the manifest give."""
    same_maker = manifest.package_version == __version__
    failures, made = [], {}
    for name, data in content_files(vectors):
        same, listed = files.get(name) == data, folder.listed.get(name)
        known = same and listed is not None  # its checksum was compared
        made[name] = File(
            path=name, bytes=len(data), sha256=listed.sha256 if known and listed else sha256(data)
        )
        if not same and (same_maker or name.endswith(".mem")):
            found = "is not what the stimulus gives" if name in files else "is missing"
            failures.append(f"{name} {found}")
    wanted = manifest_of(vectors, made, manifest.package_version)
    if same_maker:
        agrees = files[MANIFEST_NAME] == render(wanted)
    else:
        agrees = _of_any_maker(wanted, manifest) == _of_any_maker(manifest, manifest)
    return failures if agrees else [*failures, f"{MANIFEST_NAME} is not what the stimulus gives"]


def _of_any_maker(manifest: VectorManifest, found: VectorManifest) -> VectorManifest:
    """Return a manifest without what another version of the package writes in another way.

    Of the bins those that the found one has, and no planted faults: a version may add to both.
    """
    known = {each.unit: each.bins.keys() for each in found.coverage}
    coverage = tuple(each.of_bins(known.get(each.unit, ())) for each in manifest.coverage)
    return msgspec_replace(manifest, command="", files=manifest.memories, coverage=coverage)


@dataclass(frozen=True)
class ExportMismatch:
    """First value of a memory that is not what the simulator gives.

    `window` is None where an image has one; `index` counts what `place` names, channel or key.
    """

    layer: str
    register: str
    image: int
    window: int | None
    head: int
    row: int
    place: str
    index: int
    expected: int
    actual: int
    bits: int
    differing: int

    def __str__(self) -> str:
        window = "" if self.window is None else f" window {self.window}"
        expected, actual = (hex_of(value, 0, self.bits) for value in (self.expected, self.actual))
        return (
            f"{self.layer} {self.register}: image {self.image}{window} head {self.head} row "
            f"{self.row} {self.place} {self.index}: expected 0x{expected} ({self.expected}), "
            f"actual 0x{actual} ({self.actual}); {self.differing} differ in this memory"
        )


@dataclass(frozen=True)
class FedBack:
    """Outputs of an export, compared with the simulator's.

    Attributes:
        compared: values compared, by register.
        mismatches: one per memory that differs, in execution order.
    """

    compared: dict[str, int]
    mismatches: tuple[ExportMismatch, ...]

    def lines(self) -> list[str]:
        """Return the report."""
        lines = []
        for name, count in self.compared.items():
            wrong = sum(each.differing for each in self.mismatches if each.register == name)
            lines.append(f"fed back: {name}: {count} values compared, {wrong} differ")
        return [*lines, *(f"  {mismatch}" for mismatch in self.mismatches[:SHOWN])]


@_verified.register
def _(export: ExportManifest, opened: Folder, actual: _Actual, progress: Progress) -> Verification:
    if actual:
        raise ValueError(f"actual must go with a vector set, got the export {opened.root}")
    root, compared = opened.root, dict[str, int]()
    found: list[ExportMismatch] = []
    failures = opened.faults() or _check_arrays(opened, export)
    if failures:
        return Verification(root, tuple(failures))
    for layer in progress(export.attention, "feed back", len(export.attention)):
        try:
            found += _mismatches(opened, export, layer, compared)
        except ValueError as error:
            failures.append(str(error))
    return Verification(root, tuple(failures), fed_back=FedBack(compared, tuple(found)))


def _check_arrays(folder: Folder, export: ExportManifest) -> list[str]:
    """Return the layers whose `arrays.npz` holds other numbers than their memories."""
    failures = []
    for layer in export.layers:
        try:
            numbers = layer_memories(folder, export, layer)
        except ValueError as error:
            failures.append(str(error))
            continue
        if (folder.root / arrays_path(layer)).read_bytes() != render_npz(numbers.items()):
            failures.append(f"{arrays_path(layer)} is not what the memories of its layer give")
    return failures


def _mismatches(
    folder: Folder, export: ExportManifest, layer: AttentionLayer, compared: dict[str, int]
) -> Iterator[ExportMismatch]:
    """Yield the first mismatch of each output memory of a layer; count into `compared`."""
    numbers = attention_arrays(folder, export, layer)
    expected = fed_back(export, layer, numbers)
    for memory in export.owned(layer):
        name = memory.name
        if name not in OUTPUTS:
            continue
        differ = expected[name] != numbers[name]
        compared[name] = compared.get(name, 0) + differ.size
        if differ.any():
            yield _mismatch(export, memory, differ, expected[name], numbers[name])


def _mismatch(
    export: ExportManifest,
    memory: MemoryFile,
    differ: NDArray[np.bool_],
    expected: NDArray[Any],
    actual: NDArray[Any],
) -> ExportMismatch:
    where = tuple(int(place) for place in np.argwhere(differ)[0])
    image, window, head, row, index = where
    return ExportMismatch(
        layer=memory.owner,
        register=memory.name,
        image=export.images[image],
        window=window if differ.shape[1] > 1 else None,
        head=head,
        row=row,
        place=memory.lane_axis or "",
        index=index,
        expected=int(expected[where]),
        actual=int(actual[where]),
        bits=memory.fields[0].bits,
        differing=int(differ.sum()),
    )


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
