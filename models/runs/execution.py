"""Run what is missing of a grid."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..images.data import Batch, Progress, position_batches
from ..ptq.quantize import quantize
from ..sealed import digest_of
from ..watch.check import Checker, Shapes, check_threads
from ..watch.digest import (
    RegisterDigest,
    digest_of_digests,
    exact_float32,
    model_digest,
    pixel_digests,
)
from ..watch.statistics import MapStatistics
from ..watch.watching import watch
from ..watch.watermarks import Watermarks
from ..zoo.checkpoint import QuantizedModel, save_quantized
from ..zoo.task import Task, load_task
from .evaluate import top5, versions
from .folder import BatchRecord, Journal, RunFolder
from .request import Cell, GridRequest, has_registers
from .result import build_result

__all__ = [
    "BatchRun",
    "Workers",
    "run_grid",
    "workers",
]


class BatchRun:
    """A batch being evaluated: `start` runs the model, `finish` waits for the checks.

    The two are apart so that the registers of a batch are checked while the next one is computed.

    Args:
        number: of the batch.
        skipped: names of its images that could not be read.
        check: how registers are checked.
        threads: that check beside inference.
        seed: of a sample of them.
        digest: which registers are digested.
        watermarks: collect the range of every register.
    """

    def __init__(
        self,
        number: int,
        skipped: tuple[str, ...],
        *,
        check: str,
        threads: int,
        seed: int,
        digest: str,
        watermarks: bool,
    ) -> None:
        self._about: dict[str, Any] = {"batch": number, "skipped": skipped}
        self._checker = None if check == "none" else Checker(check, seed, threads=threads)
        self._digest = None if digest == "none" else RegisterDigest(digest)
        self._marks = Watermarks() if watermarks else None

    def start(self, model: nn.Module, batch: Batch, device: str) -> None:
        """Run the model on the batch."""
        watching = filter(None, (self._checker, self._digest, self._marks))
        with watch(model, *watching) as watched:
            logits = watched.run(batch.images.to(device), batch.numbers.tolist()).cpu()
        best, hit = top5(logits, batch.labels)
        self._about |= {
            "numbers": tuple(batch.numbers.tolist()),
            "labels": tuple(batch.labels.tolist()),
            "top1": tuple(best[:, 0].tolist()),
            "hits5": tuple(int(any(row)) for row in hit.tolist()),
            "pixels": pixel_digests(batch.images),
        }

    def finish(self) -> BatchRecord:
        """Return the record, once the registers have been checked."""
        kept = dict(self._about)
        if self._digest is not None:
            kept["registers"] = self._digest.digests
        if self._checker is not None:
            self._checker.finish()
            if self._checker.unchecked:
                raise ValueError(
                    f"check must see every attention layer: {', '.join(self._checker.unchecked)} "
                    "did not run"
                )
            kept["compared"] = dict(self._checker.compared)
            kept["mismatched"] = dict(self._checker.mismatched)
            kept["mismatches"] = tuple(str(each) for each in self._checker.mismatches)
        if self._marks is not None:
            kept["watermarks"] = {
                layer: {
                    name: (mark.smallest, mark.largest, mark.values, mark.saturated)
                    for name, mark in marks.items()
                }
                for layer, marks in self._marks.layers.items()
            }
        return BatchRecord(**kept)


class Workers:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that calibrates and writes the result."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Return what the leading process gave; every process must call it."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        self.share(None)
        if self.size > 1:
            dist.barrier()


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """Join the processes that torchrun started, where it did; else there is one.

    Args:
        device: `cpu` goes by gloo; with `cuda` each process takes the device of its local rank.

    Raises:
        ValueError: torchrun started more processes than there are devices, or all of them are
            asked to take one by its number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Workers()
        return
    if device.startswith("cuda:"):
        raise ValueError(
            f"device must be cuda for the {size} processes of torchrun, each of which takes one by "
            f"its rank, got {device!r}"
        )
    if device == "cuda":
        local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= found:
            raise ValueError(
                f"processes must be at most the {found} CUDA devices of this machine, got rank "
                f"{local}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class _Share:
    """What one of the processes of a run works with."""

    folder: RunFolder
    team: Workers
    progress: Progress
    check_threads: int


def run_grid(
    path: Path,
    request: GridRequest | None,
    progress: Progress,
    threads: int | None = None,
) -> RunFolder:
    """Evaluate every batch that is not in a journal yet, then write the result.

    Under torchrun the processes share the batches; each calls this.

    Args:
        path: the folder of the run.
        request: what it is asked for, a new run or the same again; None goes on with the one that
            is there.
        progress: shows progress.
        threads: of each process, 1 to 256, compare registers beside inference; None for those
            processors that torch leaves free. No result depends on it.

    Returns:
        the run; its result is written by the leading process before any returns.

    Raises:
        ValueError: another process runs it, or it was asked for something else; model, weights or
            images are wrong.
        OSError: weights or images are not there, or the folder cannot be written.
    """
    device = (request or RunFolder.open(path).request).device
    with workers(device) as team, ExitStack() as stack:
        if team.leads:
            new = not RunFolder.is_there(path)
            if request is not None:
                RunFolder.create(path, request, versions())
            stack.enter_context(RunFolder.open(path).locked())
            if new:
                stack.enter_context(_taken_back(path))
        team.wait()
        folder = RunFolder.open(path)
        stack.enter_context(_torch_threads(folder.request.threads))
        exact_float32()
        share = _Share(folder, team, progress, check_threads(device, threads))
        for model in folder.request.models:
            _run_model(share, model)
        team.wait()
        if team.leads:
            folder.write_result(build_result(folder))
        team.wait()
    return folder


@contextmanager
def _taken_back(path: Path) -> Iterator[None]:
    """Remove a new run, which this process holds, if it fails before its first cell.

    Wrong weights or images then do not leave a run that asks for them for ever.
    """
    try:
        yield
    except (ValueError, TypeError, OSError):
        RunFolder.open(path).discard_unstarted()
        raise


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run_model(share: _Share, model: str) -> None:
    """Run the cells of one model; a model of which nothing is missing is not even loaded."""
    folder, team, request = share.folder, share.team, share.folder.request
    cells = request.cells_of(model)
    if team.share(team.leads and all(map(folder.is_finished, cells))):
        return
    if folder.versions != (now := versions()):
        changed = sorted(name for name, value in now.items() if folder.versions.get(name) != value)
        told = ", ".join(f"{name} {folder.versions.get(name)}, not {now[name]}" for name in changed)
        raise ValueError(f"run {folder.path} must go on with what it began with: {told}")
    task = load_task(model, request.device, request.source(model), request.checkpoint(model))
    task.data.scan(request.limit, share.progress)
    _hold_inputs(share, cells[0], task)
    for cell in cells:
        _run_cell(share, cell, task)


#: What a run holds of what it is given, and what errors call it.
_INPUTS = {
    "model": "weights",
    "classes": "number of classes",
    "images": "number of validation images",
    "names": "names of validation images",
    "calibration": "calibration images",
}


def _hold_inputs(share: _Share, cell: Cell, task: Task) -> None:
    """Write what a model is evaluated on, its unquantized `cell`; refuse other than was written."""
    folder, request = share.folder, share.folder.request
    weights = model_digest(task.model)
    if share.team.leads:
        end = task.data.end(request.limit)
        given = {
            "classes": task.data.classes,
            "images": end,
            "names": digest_of([task.data.name(position) for position in range(end)]),
            "notes": task.data.notes,
            "complete": task.data.complete,
            "calibration": {
                str(seed): _calibration(share, task, seed)[1] for seed in request.seeds
            },
        }
        kept = folder.read_cell(cell)
        if kept is None:
            folder.cell_folder(cell).mkdir(parents=True, exist_ok=True)
            folder.write_cell(cell, weights, given)
        else:
            _refuse_others(folder, task.name, kept, {"model": weights, **given})
    share.team.wait()
    _refuse_others(folder, task.name, folder.read_cell(cell) or {}, {"model": weights})


def _refuse_others(
    folder: RunFolder, name: str, kept: dict[str, Any], given: dict[str, Any]
) -> None:
    for key, what in _INPUTS.items():
        if key in given and kept.get(key) != given[key]:
            raise ValueError(
                f"run {folder.path} must go on with the {what} that it began with, got "
                f"others for {name}: give it the same again, or choose another folder"
            )


def _calibration(share: _Share, task: Task, seed: int) -> tuple[Tensor, str]:
    """Return the calibration images of a seed and their digest."""
    images = task.calibration_images(seed, share.folder.request.calibration_images)
    return images, digest_of_digests(pixel_digests(images))


def _run_cell(share: _Share, cell: Cell, task: Task) -> None:
    folder, team, request = share.folder, share.team, share.folder.request
    first = request.cells_of(cell.model)[0]
    missing: list[int] = []
    if team.leads:
        folder.cell_folder(cell).mkdir(parents=True, exist_ok=True)
        done = folder.records(cell)
        batches = position_batches(task.data.end(request.limit), request.batch_size, None)
        missing = [number for number in range(len(batches)) if number not in done]
        if missing:
            _hold_images(folder, task, list(done.values()))
    missing = team.share(missing)
    if not missing:
        return
    model, digest = _model_of(share, cell, task)
    mine = missing[team.rank :: team.size]
    if mine:
        seen = {} if cell == first else folder.records(first)
        with Journal(folder.new_journal(cell, team.rank)) as journal:
            records = _records(share, cell, task, model, mine)
            for record in share.progress(records, cell.name, len(mine)):
                if seen and record.seen != seen[record.batch].seen:
                    raise ValueError(_OTHER_IMAGES.format(folder.path, record.batch))
                journal.add({**folder.bound(cell, digest), **record.as_dict()})
    team.wait()


#: The error where images change under their names.
_OTHER_IMAGES = "run {} must go on with the images that it began with: those of batch {} are others"


def _hold_images(folder: RunFolder, task: Task, done: list[BatchRecord]) -> None:
    """Refuse images that are not those of a batch that was evaluated before."""
    known = next((record for record in done if record.numbers), None)
    if known is None:
        return
    size, limit = folder.request.batch_size, folder.request.limit
    for batch in task.data.batches(size, limit, [known.batch]):
        seen = (*(tuple(each.tolist()) for each in (batch.numbers, batch.labels)),)
        if (*seen, pixel_digests(batch.images)) == known.seen[:3]:
            return
    raise ValueError(_OTHER_IMAGES.format(folder.path, known.batch))


def _model_of(share: _Share, cell: Cell, task: Task) -> tuple[nn.Module, str]:
    """Return the cell's model and its SHA-256.

    A quantized one is calibrated once, and then read from its file.
    """
    folder, team = share.folder, share.team
    if cell.spec is None or cell.seed is None:
        return task.model, model_digest(task.model)
    path = folder.model_file(cell)
    if team.leads and not path.exists():
        images, digest = _calibration(share, task, cell.seed)
        inputs = folder.read_cell(folder.request.cells_of(cell.model)[0]) or {}
        kept = inputs.get("calibration", {}) | {str(cell.seed): digest}
        _refuse_others(folder, task.name, inputs, {"calibration": kept})
        model = quantize(task.model, images, cell.spec)
        shapes, statistics = Shapes(), MapStatistics()
        with watch(model, shapes) as watched:
            watched.run(images[:1])
        with watch(model, statistics) as watched:
            watched.run(images)
        content = {
            "layers": {name: asdict(each) for name, each in statistics.layers.items()},
            "shapes": {name: asdict(each) for name, each in shapes.layers.items()},
        }
        folder.write_cell(cell, model_digest(model), content)
        made = QuantizedModel(model, task.name, task.data.classes, cell.spec, cell.seed)
        save_quantized(path, made)
    team.wait()
    quantized, digest = folder.load_model(cell)
    return quantized.model.to(task.device), digest


def _records(
    share: _Share, cell: Cell, task: Task, model: nn.Module, wanted: list[int]
) -> Iterator[BatchRecord]:
    """Yield the record of each wanted batch; its checks run while the next batch is computed."""
    folder, request = share.folder, share.folder.request
    registers = has_registers(cell)
    waiting: BatchRun | None = None
    seen = set()
    start = time.perf_counter()
    for batch in task.data.batches(request.batch_size, request.limit, wanted):
        number = int(batch.numbers[0]) // request.batch_size
        seen.add(number)
        run = BatchRun(
            number,
            _skipped(task, request.batch_size, request.limit, number, batch.numbers.tolist()),
            check=request.check_of(cell),
            threads=share.check_threads,
            seed=cell.seed or 0,
            digest=request.digest if registers else "none",
            watermarks=request.watermarks and registers,
        )
        run.start(model, batch, task.device)
        if waiting is not None:
            yield waiting.finish()
        waiting = run
        now = time.perf_counter()
        folder.add_timing({"cell": cell.name, "batch": number, "seconds": round(now - start, 6)})
        start = now
    if waiting is not None:
        yield waiting.finish()
    for number in wanted:
        if number not in seen:  # none of its images could be read
            skipped = _skipped(task, request.batch_size, request.limit, number, [])
            yield BatchRecord(number, (), (), (), (), skipped)


def _skipped(
    task: Task, size: int, limit: int | None, number: int, read: list[int]
) -> tuple[str, ...]:
    positions = position_batches(task.data.end(limit), size, None)[number]
    return tuple(task.data.name(position) for position in positions if position not in read)
