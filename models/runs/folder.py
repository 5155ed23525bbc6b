"""The folder of a run: its request, its inputs, and every finished batch."""

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal
from uuid import uuid4

import msgspec
import numpy as np
from msgspec import Meta

from bitlog2.documents import (
    Count,
    Document,
    Positive,
    Sha256,
    brief,
    from_json,
    plain,
)
from bitlog2.sim.files import naming, write_whole
from bitlog2.sim.network.digest import logits_digest

from ..naming import file_name
from ..sealed import Sealed, digest_of, read_sealed, write_sealed
from ..watch.layer_statistics import LayerStatistics
from ..watch.registers import (
    COMPARED,
    NETWORK,
    WATERMARKED,
    Counts,
    HeadChoice,
    LayerShape,
    values_compared,
)
from .request import Cell, EvaluationRequest

if TYPE_CHECKING:
    from torch import Tensor

    from ..zoo.checkpoint import QuantizedModel

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class BatchRecord(Document, frozen=True, kw_only=True):
    """An evaluated batch, checked where the request asks for it: a line of a journal.

    Attributes:
        run, cell, model: digest of the run, name of the cell and SHA-256 of its model.
        batch: its number, from 0, in the order of the images.
        numbers: positions of its images in the validation set; those left out are not among them.
        labels, top1: the class of each image, and the one that the model gave.
        hits5: 1 for an image whose label is among the first five classes.
        skipped: names of the images that could not be read.
        pixels: SHA-256 of each image as the model got it.
        registers: SHA-256 of the attention registers of each image; empty where there are none or
            none was asked.
        logits: SHA-256 of the logits of each image; empty where they are no integers.
        compared, mismatched: values by register; empty where nothing was checked.
        mismatches: the first ones, in words.
        watermarks: (smallest, largest, values, saturated or None) by layer and register.
    """

    run: Sha256
    cell: str
    model: Sha256
    batch: Count
    numbers: tuple[Count, ...] = ()
    labels: tuple[Count, ...] = ()
    top1: tuple[Count, ...] = ()
    hits5: tuple[Count, ...] = ()
    skipped: tuple[str, ...] = ()
    pixels: tuple[Sha256, ...] = ()
    registers: tuple[Sha256, ...] = ()
    logits: tuple[Sha256, ...] = ()
    compared: Counts = msgspec.field(default_factory=dict)
    mismatched: Counts = msgspec.field(default_factory=dict)
    mismatches: tuple[str, ...] = ()
    watermarks: dict[str, dict[str, tuple[Int64, Int64, Count, Count | None]]] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        images = len(self.numbers)
        for name in ("labels", "top1", "hits5"):
            if len(getattr(self, name)) != images:
                raise ValueError(
                    f"{name} must be of {images} images, got {len(getattr(self, name))}"
                )
        for name in ("pixels", "registers", "logits"):
            if len(getattr(self, name)) not in (0, images):
                raise ValueError(
                    f"{name} must be of {images} images or none, got {len(getattr(self, name))}"
                )
        marked = (("watermarks", marks, WATERMARKED) for marks in self.watermarks.values())
        counted = ((name, getattr(self, name), COMPARED) for name in ("compared", "mismatched"))
        for name, values, known in (*counted, *marked):
            if odd := sorted(set(values) - set(known)):
                raise ValueError(f"{name} must be of {', '.join(known)}, got {brief(odd[0])}")

    @property
    def seen(self) -> tuple[tuple[Any, ...], ...]:
        """Inputs of the model: equal in two records of the same images."""
        return self.numbers, self.labels, self.pixels, self.skipped


@dataclass(frozen=True)
class BatchRules:
    """Rules for the batches of a cell: they follow from its request, model and images.

    Attributes:
        images: positions in the validation set, those of images that cannot be read counted.
        batch_size: positions of a batch; the last may be smaller.
        classes: number of classes of the model.
        choice: choice of the heads that are compared; None where none is.
        digest: whether registers are digested.
        marked: layers of which the ranges of registers are collected.
        shapes: shapes of the layers with registers; of a whole network, of all of it.
        network: whether the logits are integers.
    """

    images: int
    batch_size: int
    classes: int
    choice: HeadChoice | None = None
    digest: bool = False
    marked: frozenset[str] = frozenset()
    shapes: Mapping[str, LayerShape] = field(default_factory=dict)
    network: bool = False

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.images // self.batch_size)

    def check(self, record: BatchRecord, path: Path) -> None:
        """Refuse a record that breaks a rule; ValueError names `path`."""
        if fault := self._fault(record):
            raise ValueError(
                f"{path} must hold what its run asks for: batch {record.batch} {fault}"
            )

    def _fault(self, record: BatchRecord) -> str:
        if record.batch >= self.batches:
            return f"is none of {self.batches}"
        start = record.batch * self.batch_size
        positions = range(start, min(start + self.batch_size, self.images))
        numbers, hits = record.numbers, record.hits5
        read = set(numbers)
        left = [number for number in positions if number in read]
        if list(numbers) != left or len(numbers) + len(record.skipped) != len(positions):
            return "is not of its images"
        if max((*record.labels, *record.top1), default=0) >= self.classes:
            return f"names a class above {self.classes - 1}"
        right = [label == top1 for label, top1 in zip(record.labels, record.top1, strict=True)]
        if not all(int(first) <= hit <= 1 for first, hit in zip(right, hits, strict=True)):
            return "counts hits that are none"
        digests = (len(numbers), len(numbers) if self.digest else 0)
        if (len(record.pixels), len(record.registers)) != digests:
            return f"must have {digests[0]} digests of pixels and {digests[1]} of registers"
        if len(record.logits) != (wanted := len(numbers) if self.network else 0):
            return f"must have {wanted} digests of logits, got {len(record.logits)}"
        marked = self.marked if numbers else set()
        if set(record.watermarks) != marked:
            return f"must have watermarks of {len(marked)} layers, got {len(record.watermarks)}"
        return self._count_fault(record)

    def _count_fault(self, record: BatchRecord) -> str:
        wanted = dict.fromkeys(COMPARED, 0)
        if self.choice is not None:
            wanted |= values_compared(self.shapes, self.choice, record.numbers)
        for name, count in wanted.items():
            compared, differing = (
                each.get(name, 0) for each in (record.compared, record.mismatched)
            )
            if compared != count or differing > compared:
                return f"must have compared {count:,} values of {name}, got {compared:,}"
        return ""


class Journal:
    """A journal being written; a context manager.

    Args:
        path: a new file in a folder that exists.
        sync: wait until each line is on the disk.

    Raises:
        OSError: it is there already, or cannot be written.
    """

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self._path, self._sync = path, sync
        self._file: BinaryIO = path.open("xb", buffering=0)
        if sync:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, record: BatchRecord) -> None:
        """Add a line; OSError names the file."""
        text = json.dumps(msgspec.to_builtins(record), separators=(",", ":"), sort_keys=True)
        line = b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())
        with naming(self._path):
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            if self._sync:
                os.fsync(self._file.fileno())


def read_journal(path: Path) -> list[BatchRecord]:
    """Return the records of a journal, but for a torn last line.

    Raises:
        OSError: it cannot be read.
        ValueError: a whole line is damaged, or holds no record.
    """
    *lines, _torn = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            raise ValueError(f"{path} must be a journal: line {number} is damaged")
        what = f"{path}, line {number}"
        records.append(from_json(plain(text, what), BatchRecord, what))
    return records


class RunFile(Sealed, frozen=True, kw_only=True):
    """run.json: request of a run, and the versions of the packages that it began with."""

    format: Literal["bitlog2-run-4"] = "bitlog2-run-4"
    request: EvaluationRequest
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 that the other files of the run name."""
        return digest_of(msgspec.to_builtins(self))


class Inputs(Sealed, frozen=True, kw_only=True):
    """cells/MODEL.json: inputs of the cells of a model.

    Attributes:
        run: digest of the run.
        model: one of the request's models.
        weights: SHA-256 of the model before quantization; of the quantized one that was loaded.
        classes: number of classes of the model.
        images: positions in the validation set, those of images that cannot be read counted.
        names: SHA-256 of the names of the images.
        notes: remarks on the images for the user.
        complete: whether there are validation images of every class.
        calibration: SHA-256 of the calibration images by seed.
    """

    format: Literal["bitlog2-inputs-1"] = "bitlog2-inputs-1"
    run: Sha256
    model: str
    weights: Sha256
    classes: Positive
    images: Count
    names: Sha256
    notes: tuple[str, ...]
    complete: bool
    calibration: dict[str, Sha256]


class CellFile(Sealed, frozen=True, kw_only=True):
    """cells/NAME/cell.json: model, parameters, shapes and statistics of a cell.

    Attributes:
        run, cell, model: as `BatchRecord`.
        layers: statistics of each layer's map on the calibration images.
        shapes: shapes of the layers with registers; of a whole network, `network` alone.
        layer_params: parameters of each attention datapath, by its layer, or step of a program.
    """

    format: Literal["bitlog2-cell-4"] = "bitlog2-cell-4"
    run: Sha256
    cell: str
    model: Sha256
    layers: dict[str, LayerStatistics] = msgspec.field(default_factory=dict)
    shapes: dict[str, LayerShape] = msgspec.field(default_factory=dict)
    layer_params: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is.

    Attributes:
        name: name of the cell.
        batches, images: numbers of finished ones.
        finished: whether none is missing.
        compared, mismatched: values that were held to the simulator's so far, and that differ.
        logits: digest of the logits; empty where they are no integers, or images are missing.
    """

    name: str
    batches: int
    images: int
    finished: bool
    compared: int
    mismatched: int
    logits: str

    def line(self, width: int) -> str:
        """Return the same on one line, the name in this many columns."""
        state = "finished" if self.finished else "started" if self.batches else "waiting"
        differing = f"{self.mismatched:,} mismatch{'es' * (self.mismatched != 1)}"
        checked = differing if self.compared else "nothing compared"
        return (
            f"{self.name:<{width}}  {state:<9}{self.batches:>8,} batches{self.images:>10,} images"
            f"{checked:>19}{'  logits ' * bool(self.logits)}{self.logits}"
        )


class RunFolder:
    """A run on the disk.

    run.json        the request and the versions that the run began with
    lock            held by the process that runs it
    cells/MODEL.json  inputs of the cells of a model
    cells/NAME/     model.safetensors: the quantized model
                    cell.json: its digest, parameters, shapes and statistics
                    batches-*.jsonl: a line per finished batch
                    logits/N: the logits of batch N, int32, little endian
    timings.jsonl   seconds of each batch: nothing else depends on time
    result.json     written when every cell is finished

    Each file names the run's digest, a cell's files the SHA-256 of its model too, and what JSON
    holds no batches the SHA-256 of its own content. A file that was edited, or that belongs to
    another run, cell or model, is refused.

    Attributes:
        path: the folder.
        request: request of the run.
        versions: versions of the packages that it began with.
        digest: SHA-256 of both, 64 hexadecimal digits.
    """

    def __init__(self, path: Path, request: EvaluationRequest, versions: dict[str, str]) -> None:
        self.path, self.request, self.versions = path, request, versions
        self.digest = RunFile(request=request, versions=versions).digest

    @classmethod
    def create(
        cls, path: Path, request: EvaluationRequest, versions: dict[str, str]
    ) -> "RunFolder":
        """Make a new run; one that is there already must have the same request.

        Raises:
            ValueError: the folder holds something else, or a run of another request.
            OSError: it cannot be written.
        """
        if cls.is_there(path):
            found = cls.open(path)
            if found.request != request:
                raise ValueError(
                    f"run {path} was asked for something else: choose another folder, or "
                    f"`bitlog2 resume {path}` for what it was asked for"
                )
            return found if found.has_begun else cls._written(path, request, versions)
        path.mkdir(parents=True, exist_ok=True)
        _remove_partials(path.glob(f".{_REQUEST}.*.partial"))
        if any(each.name != _LOCK or not each.is_file() for each in path.iterdir()):
            raise ValueError(f"run must be a new or empty folder, got {path}, which holds files")
        return cls._written(path, request, versions)

    @classmethod
    def _written(
        cls, path: Path, request: EvaluationRequest, versions: dict[str, str]
    ) -> "RunFolder":
        write_sealed(path / _REQUEST, RunFile(request=request, versions=versions))
        return cls(path, request, versions)

    @staticmethod
    def is_there(path: Path) -> bool:
        """Whether a folder holds a run."""
        return (path / _REQUEST).is_file()

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return a run that is there.

        Raises:
            ValueError: it is no run, or its request cannot be used.
        """
        file = path / _REQUEST
        if not file.is_file():
            raise ValueError(f"run must be a folder with {_REQUEST}, got {path}")
        content = read_sealed(file, RunFile)
        return cls(path, content.request, content.versions)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything of a cell."""
        return (self.path / _CELLS).exists()

    def discard_unstarted(self) -> None:
        """Remove a run of which no cell has begun; any other stays as it is."""
        if not self.has_begun:
            (self.path / _REQUEST).unlink(missing_ok=True)
            (self.path / _LOCK).unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, so that no second process runs it; remove partial files of a killed one.

        Raises:
            ValueError: another process holds it, or its lock is no file.
        """
        path = self.path / _LOCK
        if (path.exists() or path.is_symlink()) and not path.is_file():
            raise ValueError(f"lock of a run must be a file, got {path}")
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"run {self.path} must not be in use: another process is running it"
                ) from None
            _remove_partials((self.path / _CELLS).glob(".*.partial"))
            _remove_partials((self.path / _CELLS).glob("*/.*.partial"))
            _remove_partials((self.path / _CELLS).glob("*/logits/.*.partial"))
            yield

    def cell_folder(self, cell: Cell) -> Path:
        """Return the folder of a cell, which may not be there yet."""
        return self.path / _CELLS / cell.file_name

    def model_file(self, cell: Cell) -> Path:
        """Return the file of a cell's quantized model, which may not be there yet."""
        return self.cell_folder(cell) / "model.safetensors"

    def write_inputs(self, inputs: Inputs) -> None:
        """Write the inputs of a model's cells."""
        (self.path / _CELLS).mkdir(exist_ok=True)
        write_sealed(self.path / _CELLS / f"{file_name(inputs.model)}.json", inputs)

    def inputs(self, model: str) -> Inputs | None:
        """Return the inputs of a model's cells; None where none has begun.

        Raises:
            ValueError: the file was edited, or is of another run or model.
        """
        path = self.path / _CELLS / f"{file_name(model)}.json"
        if not path.is_file():
            return None
        found = read_sealed(path, Inputs)
        _hold(path, found, {"run": self.digest, "model": model})
        return found

    def write_cell(self, cell: Cell, model: str, **content: Any) -> None:
        """Write cell.json: the SHA-256 of the cell's model, and fields of `CellFile`."""
        self.cell_folder(cell).mkdir(parents=True, exist_ok=True)
        write_sealed(
            self._cell_file(cell), CellFile(run=self.digest, cell=cell.name, model=model, **content)
        )

    def cell_file(self, cell: Cell) -> CellFile | None:
        """Return the content of cell.json; None where the cell has not begun.

        Raises:
            ValueError: the file was edited, or is of another run or cell.
        """
        path = self._cell_file(cell)
        if not path.is_file():
            return None
        found = read_sealed(path, CellFile)
        _hold(path, found, self.bound(cell, found.model))
        return found

    def _cell_file(self, cell: Cell) -> Path:
        return self.cell_folder(cell) / "cell.json"

    def bound(self, cell: Cell, model: str) -> dict[str, str]:
        """Return the fields of every file of a cell: run, cell and SHA-256 of the model."""
        return {"run": self.digest, "cell": cell.name, "model": model}

    def load_model(self, cell: Cell) -> "tuple[QuantizedModel, str]":
        """Return a cell's quantized model and its SHA-256.

        Raises:
            ValueError: it is not the one that the cell began with.
            OSError: it is not there.
        """
        from ..zoo.checkpoint import load_quantized

        path = self.model_file(cell)
        found = load_quantized(path, cell.model)
        about, digest = self.cell_file(cell), found.digest
        is_it = (found.name, found.spec, found.seed) == (cell.model, cell.spec, cell.seed)
        if not is_it or about is None or about.model != digest:
            raise ValueError(f"{path} must be the model that {cell.name} began with, got another")
        return found, digest

    def check_model(self, cell: Cell) -> None:
        """Refuse the saved model of a finished cell when it is another cell's.

        Raises:
            ValueError: its file names another model, quantization or seed.
        """
        path = self.model_file(cell)
        if cell.spec is None or not path.is_file():
            return
        from ..zoo.checkpoint import quantized_about

        if quantized_about(path) != (cell.model, cell.spec, cell.seed):
            raise ValueError(f"{path} must be the model that {cell.name} began with, got another")

    def rules(self, cell: Cell) -> BatchRules | None:
        """Return the rules for the batches of a cell; None where it has not begun."""
        request = self.request
        inputs, about = self.inputs(cell.model), self.cell_file(cell)
        if inputs is None or about is None:
            return None
        check, marks = request.check_of(cell), cell.has_registers and request.watermarks
        layers = (*about.layer_params, *((NETWORK,) if cell.is_network else ()))
        return BatchRules(
            inputs.images,
            request.batch_size,
            inputs.classes,
            None if check == "none" else HeadChoice(check, cell.seed or 0),
            digest=cell.has_registers and request.digest != "none",
            marked=frozenset(layers if marks else ()),
            shapes=about.shapes,
            network=cell.is_network,
        )

    def is_finished(self, cell: Cell) -> bool:
        """Whether every batch of a cell is in its journals; errors as `records`."""
        rules = self.rules(cell)
        return rules is not None and len(self.records(cell)) == rules.batches

    def new_journal(self, cell: Cell, rank: int) -> Path:
        """Return the path of a new journal."""
        return self.cell_folder(cell) / f"batches-{rank}-{uuid4().hex}.jsonl"

    def records(self, cell: Cell) -> dict[int, BatchRecord]:
        """Return the finished batches of a cell by number, in order.

        Raises:
            ValueError: a journal is damaged, or of another run, cell or model; a batch breaks the
                rules, or two of its records differ.
        """
        found: dict[int, BatchRecord] = {}
        folder = self.cell_folder(cell)
        journals = sorted(folder.glob("batches-*.jsonl"))
        if not journals:
            return {}
        rules, about = self.rules(cell), self.cell_file(cell)
        if rules is None or about is None:
            raise ValueError(f"{folder} must hold cell.json, got journals without it")
        bound = self.bound(cell, about.model)
        for path in journals:
            for record in read_journal(path):
                _hold(path, record, bound)
                rules.check(record, path)
                if found.setdefault(record.batch, record) != record:
                    raise ValueError(
                        f"{folder} holds two different results of batch {record.batch}: it was "
                        "run on machines or versions that do not compute the same"
                    )
        return dict(sorted(found.items()))

    def write_logits(self, cell: Cell, batch: int, logits: "Tensor") -> tuple[str, ...]:
        """Keep the logits of a batch, (B, classes) int32; return the SHA-256 of each image's."""
        folder = self.cell_folder(cell) / "logits"
        folder.mkdir(exist_ok=True)
        rows = logits.numpy().astype("<i4")
        write_whole(folder / str(batch), rows.tobytes())
        return tuple(map(logits_digest, rows))

    def logits_digest(self, cell: Cell) -> str:
        """Return the digest of all logits, as `bitlog2 run` gives it; empty without any.

        Raises:
            ValueError: a file of logits is not there, or not as its batch says.
        """
        total = hashlib.sha256()
        for number, record in self.records(cell).items():
            if not record.logits:
                continue
            path = self.cell_folder(cell) / "logits" / str(number)
            content = path.read_bytes() if path.is_file() else b""
            found = np.frombuffer(content[: len(content) // 4 * 4], "<i4")
            rows = np.array_split(found, len(record.logits))
            if len(content) % 4 or tuple(map(logits_digest, rows)) != record.logits:
                raise ValueError(f"{path} must be the logits of its batch, got others")
            total.update(content)
        return total.hexdigest() if cell.is_network else ""

    def add_timing(self, cell: Cell, batch: int, seconds: float) -> None:
        """Add a line to the timings; a torn one is no harm."""
        timing = {"run": self.digest, "cell": cell.name, "batch": batch, "seconds": seconds}
        line = (json.dumps(timing, sort_keys=True) + "\n").encode()
        with naming(self._timings), self._timings.open("ab", buffering=0) as file:
            file.write(line)

    def images_per_second(self, cell: Cell) -> float:
        """Return the rate of a cell's batches, checking included; 0 where no time is known."""
        seconds: dict[int, float] = {}
        lines = self._timings.read_text().splitlines() if self._timings.is_file() else ()
        for line in lines:
            try:
                timing = json.loads(line)
                if timing["cell"] == cell.name:
                    seconds[int(timing["batch"])] = float(timing["seconds"])
            except (ValueError, TypeError, KeyError):
                continue  # torn
        known = [record for batch, record in self.records(cell).items() if batch in seconds]
        total = sum(seconds[record.batch] for record in known)
        return sum(len(record.numbers) for record in known) / total if total > 0 else 0.0

    @property
    def _timings(self) -> Path:
        return self.path / "timings.jsonl"

    @property
    def result_file(self) -> Path:
        """The file of the result, which may not be there yet."""
        return self.path / "result.json"

    def status(self) -> list[CellStatus]:
        """Return how far each cell is, in order; nothing of the run is touched.

        Raises:
            ValueError: a journal is damaged.
        """
        return [self._status_of(cell) for cell in self.request.cells()]

    def _status_of(self, cell: Cell) -> CellStatus:
        records, rules = self.records(cell).values(), self.rules(cell)
        finished = rules is not None and len(records) == rules.batches
        return CellStatus(
            name=cell.name,
            batches=len(records),
            images=sum(len(record.numbers) for record in records),
            finished=finished,
            compared=sum(sum(record.compared.values()) for record in records),
            mismatched=sum(sum(record.mismatched.values()) for record in records),
            logits=self.logits_digest(cell) if finished else "",
        )

    def status_lines(self, cells: Sequence[CellStatus]) -> list[str]:
        """Return what `status` gave in words, and how many cells are finished."""
        width = max(len(cell.name) for cell in cells)
        done = sum(cell.finished for cell in cells)
        written = f", result in {self.result_file}" if self.result_file.exists() else ""
        total = f"{done} of {len(cells)} cells finished{written}"
        return [*(cell.line(width) for cell in cells), total]


_REQUEST, _LOCK, _CELLS = "run.json", "lock", "cells"


def _hold(path: Path, content: Document, bound: dict[str, str]) -> None:
    for name, value in bound.items():
        if (found := getattr(content, name)) != value:
            raise ValueError(
                f"{path} must be of the {name} {brief(value)} as its folder is, got one of "
                f"{brief(found)}"
            )


def _remove_partials(files: Iterable[Path]) -> None:
    """Remove files that a killed process had not written to their end."""
    for file in files:
        file.unlink(missing_ok=True)
