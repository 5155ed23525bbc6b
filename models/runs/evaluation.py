"""Execution of an evaluation: missing batches are run, then the result is made."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor, nn

from bitlog2 import SPEC_VERSION, __version__
from bitlog2.names import MODELS
from bitlog2.sim.network.program import Attention
from bitlog2.sim.network.simulator import Simulator

from ..images.data import ImageBatch, Progress, position_batches
from ..network.check import NetworkCheck, NetworkChecker
from ..network.lower import lower_named, require_form
from ..network.network import ImageNetwork
from ..network.replay import Replay
from ..network.watermarks import network_marks
from ..ptq.attention import IntegerAttention
from ..ptq.quantize import quantize
from ..ptq.specification import DATAPATH_FIELDS, QuantizationSpec
from ..sealed import digest_of, write_sealed
from ..watch.check import Checker, RegisterMismatch, Shapes, check_threads
from ..watch.digest import RegisterDigest, digest_of_digests, pixel_digests
from ..watch.registers import NETWORK, HeadChoice, LayerShape
from ..watch.statistics import MapStatistics
from ..watch.watching import watch
from ..watch.watermarks import Watermarks
from ..zoo.checkpoint import QuantizedModel, load_quantized, model_digest, save_quantized
from ..zoo.task import Task
from .folder import BatchRecord, Inputs, Journal, RunFolder
from .request import Cell, EvaluationRequest
from .result import CellAnswers, CellResult, Result, build_result, cell_result


def _ignore(*_: Any) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Events:
    """Calls as an evaluation goes on; each process makes `mismatch`, the leading one all others.

    Attributes:
        inputs: before the cells of a model, with their inputs.
        model: with each quantized model, once it is calibrated or loaded; None where nobody needs
            the models of cells that are finished.
        mismatch: with the first mismatch of each batch: its row of attention, or its part of the
            network.
        cell: with each finished cell, in order, and its images per second.
    """

    inputs: Callable[[Inputs], None] = _ignore
    model: Callable[[QuantizedModel], None] | None = None
    mismatch: Callable[[Cell, RegisterMismatch | Replay], None] = _ignore
    cell: Callable[[CellResult, float], None] = _ignore


class Team:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
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
def join_team(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started, where it did; else there is one.

    Args:
        device: `cpu` goes by gloo; with `cuda` each process takes the device of its local rank.

    Raises:
        ValueError: torchrun started more processes than there are devices, or all of them are
            asked to take one by its number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Team()
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
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("numpy", "numba", "torch", "torchvision", "timm")
    return {
        "bitlog2": __version__,
        "specification": str(SPEC_VERSION),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def evaluate(
    path: Path | None,
    request: EvaluationRequest | None,
    progress: Progress,
    events: Events | None = None,
    threads: int | None = None,
) -> Result:
    """Evaluate every batch that is not in a journal yet; return the result, which is written too.

    Under torchrun the processes share the batches; each calls this.

    Args:
        path: the folder of the run; None for a temporary one.
        request: request of a new run, or the same again; None goes on with the run that is there.
        progress: shows progress.
        events: is called as it goes on.
        threads: comparing threads of each process, 1 to 256; None for the processors that torch
            leaves free. No result depends on it.

    Raises:
        ValueError: another process runs it, or its request is another; model, weights or
            images are wrong.
        OSError: weights or images are not there, or the folder cannot be written.
    """
    if path is None:
        with TemporaryDirectory(prefix="bitlog2-") as folder:
            return _evaluate(Path(folder), request, progress, events, threads, keep=False)
    return _evaluate(path, request, progress, events, threads, keep=True)


def _evaluate(
    path: Path,
    request: EvaluationRequest | None,
    progress: Progress,
    events: Events | None,
    threads: int | None,
    *,
    keep: bool,
) -> Result:
    device = (request or RunFolder.open(path).request).device
    with join_team(device) as team, ExitStack() as stack:
        if team.leads:
            new = not RunFolder.is_there(path)
            if request is not None:
                RunFolder.create(path, request, versions())
            stack.enter_context(RunFolder.open(path).locked())
            if new:
                stack.enter_context(_taken_back(path))
        team.wait()
        folder = RunFolder.open(path)
        stack.enter_context(torch_threads(folder.request.threads))
        exact_float32()
        count = check_threads(device, threads)
        share = _Share(folder, team, progress, events or Events(), count, keep)
        for model in folder.request.models:
            _run_model(share, model)
        team.wait()
        result = build_result(folder)
        if team.leads:
            write_sealed(folder.result_file, result)
        team.wait()
        return result


@contextmanager
def _taken_back(path: Path) -> Iterator[None]:
    """Remove a new run, which this process holds, if it fails before its first cell.

    A run with wrong weights or images would ask for them at every resumption.
    """
    try:
        yield
    except (ValueError, TypeError, OSError):
        RunFolder.open(path).discard_unstarted()
        raise


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Give torch so many threads for a while: the order of a float sum may depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def exact_float32() -> None:
    """Keep reduced precision off for good: float32 products are then float32 on every device.

    Attention registers do not depend on it (`exact_matmul`), nor does any product of the integer
    arithmetic; the float arithmetic and the unquantized model do.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@dataclass
class _Share:
    """State of one process of a run; `keep` is False where the folder is removed afterwards."""

    folder: RunFolder
    team: Team
    progress: Progress
    events: Events
    check_threads: int
    keep: bool
    loaded: QuantizedModel | None = None
    calibration: dict[int, tuple[Tensor, str]] = field(default_factory=dict)
    calibrated: dict[tuple[str, QuantizationSpec, int], nn.Module] = field(default_factory=dict)

    def calibration_of(self, task: Task, seed: int) -> tuple[Tensor, str]:
        """Return the calibration images of a seed and their digest; the last ones are kept."""
        if seed not in self.calibration:
            images = task.calibration_images(seed, self.folder.request.calibration_images)
            self.calibration = {seed: (images, digest_of_digests(pixel_digests(images)))}
        return self.calibration[seed]

    def model_of(self, task: Task, cell: Cell) -> nn.Module:
        """Return the calibrated model of a cell; networks that differ in width share the last one.

        Nothing changes a model that was lowered.
        """
        assert cell.spec is not None
        assert cell.seed is not None
        images, _ = self.calibration_of(task, cell.seed)
        if not cell.is_network:
            return quantize(task.model, images, cell.spec, progress=self.progress)
        attention = tuple(cell.spec.hardware(DATAPATH_FIELDS).items())
        spec = msgspec.structs.replace(cell.spec, datapath=attention)
        key = cell.model, spec, cell.seed
        if key not in self.calibrated:
            self.calibrated = {key: quantize(task.model, images, spec, progress=self.progress)}
        return self.calibrated[key]


def _run_model(share: _Share, model: str) -> None:
    """Run the cells of one model; a model of which nothing is missing is not even loaded."""
    folder, team, request = share.folder, share.team, share.folder.request
    cells = request.cells_of(model)
    finished = team.leads and all(map(folder.is_finished, cells)) and share.events.model is None
    if team.share(finished):
        if team.leads:
            inputs = folder.inputs(model)
            assert inputs is not None
            share.events.inputs(inputs)
            for cell in cells:
                folder.check_model(cell)
                _finish(share, cell)
        return
    if folder.versions != (now := versions()):
        changed = sorted(name for name, value in now.items() if folder.versions.get(name) != value)
        differing = ", ".join(
            f"{name} {folder.versions.get(name)}, not {now[name]}" for name in changed
        )
        raise ValueError(f"run {folder.path} must go on with what it began with: {differing}")
    share.loaded = None if request.load is None else load_quantized(Path(request.load), model)
    share.calibration = {}
    task = request.task(model, share.loaded)
    if model not in MODELS and share.loaded is None:
        image = task.calibration_images(0, 1)
        for spec in {cell.spec.arithmetic: cell.spec for cell in cells if cell.spec}.values():
            require_form(task.model, image, spec)
    task.data.scan(request.limit, share.progress)
    _hold_inputs(share, task)
    for cell in cells:
        _run_cell(share, cell, task)


#: Inputs that must stay the same as a run goes on, by their names in errors.
_INPUTS = {
    "weights": "weights",
    "classes": "number of classes",
    "images": "number of validation images",
    "names": "names of validation images",
    "calibration": "calibration images",
}


def _hold_inputs(share: _Share, task: Task) -> None:
    """Write the inputs of a model's cells; refuse others than those written before."""
    folder, request = share.folder, share.folder.request
    weights = model_digest(task.model)
    if share.team.leads:
        end = task.data.end(request.limit)
        seeds = () if request.load is not None else request.seeds
        given = Inputs(
            run=folder.digest,
            model=task.name,
            weights=weights,
            classes=task.data.classes,
            images=end,
            names=digest_of([task.data.name(position) for position in range(end)]),
            notes=tuple(task.data.notes),
            complete=task.data.complete,
            calibration={str(seed): share.calibration_of(task, seed)[1] for seed in seeds},
        )
        kept = folder.inputs(task.name)
        if kept is None:
            folder.write_inputs(given)
        for name in _INPUTS if kept is not None else ():
            _refuse_other(folder, task.name, name, getattr(kept, name) == getattr(given, name))
        share.events.inputs(given)
    share.team.wait()
    held = folder.inputs(task.name)
    _refuse_other(folder, task.name, "weights", held is not None and held.weights == weights)


def _refuse_other(folder: RunFolder, model: str, name: str, same: bool) -> None:
    if not same:
        raise ValueError(
            f"run {folder.path} must go on with the {_INPUTS[name]} that it began with, got "
            f"others for {model}: give it the same again, or choose another folder"
        )


def _run_cell(share: _Share, cell: Cell, task: Task) -> None:
    folder, team, request = share.folder, share.team, share.folder.request
    missing: list[int] = []
    if team.leads:
        folder.cell_folder(cell).mkdir(parents=True, exist_ok=True)
        done = folder.records(cell)
        batches = position_batches(task.data.end(request.limit), request.batch_size, None)
        missing = [number for number in range(len(batches)) if number not in done]
        if missing:
            _hold_images(folder, task, list(done.values()))
    missing = team.share(missing)
    if missing or share.events.model is not None:
        model, digest = _model_of(share, cell, task)
        if mine := missing[team.rank :: team.size]:
            _run_batches(share, cell, task, model, digest, mine)
        team.wait()
    if team.leads:
        _finish(share, cell)


def _finish(share: _Share, cell: Cell) -> None:
    """Report a finished cell."""
    folder = share.folder
    first = CellAnswers(folder, folder.request.cells_of(cell.model)[0])
    answers = first if first.cell == cell else CellAnswers(folder, cell)
    share.events.cell(cell_result(folder, answers, first), folder.images_per_second(cell))


#: The error where images change under their names.
_OTHER_IMAGES = "run {} must go on with the images that it began with: those of batch {} are others"


def _hold_images(folder: RunFolder, task: Task, done: list[BatchRecord]) -> None:
    """Refuse images that are not those of a batch that was evaluated before."""
    known = next((record for record in done if record.numbers), None)
    if known is None:
        return
    size, limit = folder.request.batch_size, folder.request.limit
    for batch in task.data.batches(size, limit, [known.batch]):
        seen = tuple(tuple(each.tolist()) for each in (batch.numbers, batch.labels))
        if (*seen, pixel_digests(batch.images)) == known.seen[:3]:
            return
    raise ValueError(_OTHER_IMAGES.format(folder.path, known.batch))


def _model_of(share: _Share, cell: Cell, task: Task) -> tuple[nn.Module, str]:
    """Return the cell's model and its SHA-256.

    A quantized one is calibrated or loaded once; in a folder that stays it is then read from its
    file, as a resumed run reads it.
    """
    folder, team = share.folder, share.team
    if cell.spec is None:
        digest = model_digest(task.model)
        if team.leads and folder.cell_file(cell) is None:
            folder.write_cell(cell, digest)
        team.wait()
        return task.model, digest
    path, made = folder.model_file(cell), None
    if team.leads and not path.exists():
        made = _made(share, cell, task)
        if share.keep:
            save_quantized(path, made)
    team.wait()
    if made is not None and not share.keep:
        about = folder.cell_file(cell)
        assert about is not None
        quantized, digest = made, about.model
    else:
        quantized, digest = folder.load_model(cell)
    if share.events.model is not None and team.leads:
        share.events.model(quantized)
    return quantized.executed().to(task.device), digest


def _made(share: _Share, cell: Cell, task: Task) -> QuantizedModel:
    """Return a cell's quantized model, calibrated now or the loaded one, and write its cell.json.

    The shapes of its layers are those of a calibration image; where the model was loaded, and
    images that calibrate may be missing, of the first one that can be read.
    """
    folder, request, made = share.folder, share.folder.request, share.loaded
    assert cell.spec is not None
    assert cell.seed is not None
    statistics = MapStatistics()
    if made is None:
        images, digest = share.calibration_of(task, cell.seed)
        inputs = folder.inputs(task.name)
        kept = {} if inputs is None else inputs.calibration
        _refuse_other(folder, task.name, "calibration", kept.get(str(cell.seed)) == digest)
        model = share.model_of(task, cell)
        program = None
        if cell.is_network:
            program, _ = lower_named(task.name, model, images, cell.spec, cell.seed)
        made = QuantizedModel(model, task.name, task.data.classes, cell.spec, cell.seed, program)
        if request.statistics:
            with watch(model, statistics) as watched:
                watched.run(images)
    else:
        first = next(iter(task.data.batches(1, request.limit)), None)
        if first is None:
            raise ValueError("data must hold at least one image that can be read")
        images = first.images.to(task.device)
    folder.write_cell(
        cell,
        made.digest,
        layers=statistics.layers,
        shapes=_shapes_of(made, images[:1]) if cell.has_registers else {},
        layer_params=_layer_params(made),
    )
    return made


def _shapes_of(made: QuantizedModel, image: Tensor) -> dict[str, LayerShape]:
    """Return the shapes of what has registers, of one image: of layers, or of the whole network."""
    network = made.executed()
    if isinstance(network, ImageNetwork):
        checker = NetworkChecker(network.program)
        checker(network.normalization.of(image.cpu()))
        return {NETWORK: LayerShape(heads=1, sizes=checker.counts)}
    shapes = Shapes()
    with watch(network, shapes) as watched:
        watched.run(image)
    return shapes.layers


def _layer_params(made: QuantizedModel) -> dict[str, dict[str, int]]:
    """Return the parameters of each attention datapath, by the name of its layer or its step."""
    if made.program is not None:
        return {
            f"steps.{place}": step.params.as_dict()
            for place, step in enumerate(made.program.steps)
            if isinstance(step, Attention)
        }
    return {
        name: module.params().as_dict()
        for name, module in made.model.named_modules()
        if isinstance(module, IntegerAttention)
    }


def _run_batches(
    share: _Share, cell: Cell, task: Task, model: nn.Module, digest: str, wanted: list[int]
) -> None:
    """Put a record of each wanted batch into a journal of this process."""
    folder = share.folder
    first = folder.request.cells_of(cell.model)[0]
    seen = {} if cell == first else folder.records(first)
    with Journal(folder.new_journal(cell, share.team.rank), sync=share.keep) as journal:
        records = _records(share, cell, task, model, digest, wanted)
        for record in share.progress(records, cell.name, len(wanted)):
            if seen and record.seen != seen[record.batch].seen:
                raise ValueError(_OTHER_IMAGES.format(folder.path, record.batch))
            journal.add(record)


def _records(
    share: _Share, cell: Cell, task: Task, model: nn.Module, digest: str, wanted: list[int]
) -> Iterator[BatchRecord]:
    """Yield the record of each wanted batch; its checks run while the next batch is computed."""
    folder, request = share.folder, share.folder.request
    bound: dict[str, Any] = dict(folder.bound(cell, digest))
    waiting: tuple[_Watchers, dict[str, Any]] | None = None
    seen = set()
    simulator = _simulator_of(model, share.check_threads)
    start = time.perf_counter()
    try:
        for batch in task.data.batches(request.batch_size, request.limit, wanted):
            number = int(batch.numbers[0]) // request.batch_size
            seen.add(number)
            skipped = _skipped(task, request, number, batch.numbers.tolist())
            watchers = _Watchers.of(request, cell, share.check_threads, model, simulator)
            logits = watchers.run(model, batch, task.device)
            about = {**bound, "batch": number, "skipped": skipped, **_answers(logits, batch)}
            if cell.is_network:
                about["logits"] = folder.write_logits(cell, number, logits)
            ready, waiting = waiting, (watchers, about)
            if ready is not None:
                yield _record(share.events, cell, *ready)
            now = time.perf_counter()
            folder.add_timing(cell, number, round(now - start, 6))
            start = now
        if waiting is not None:
            yield _record(share.events, cell, *waiting)
    finally:
        if waiting is not None:
            waiting[0].cancel()
    for number in wanted:
        if number not in seen:  # none of its images could be read
            skipped = _skipped(task, request, number, [])
            yield BatchRecord(**bound, batch=number, skipped=skipped)


def _skipped(
    task: Task, request: EvaluationRequest, number: int, read: list[int]
) -> tuple[str, ...]:
    end = task.data.end(request.limit)
    positions = position_batches(end, request.batch_size, None)[number]
    return tuple(task.data.name(position) for position in positions if position not in read)


def _simulator_of(model: nn.Module, threads: int) -> Simulator | None:
    """Return the simulator that a whole network is held to; None for any other model."""
    return Simulator(model.program, threads) if isinstance(model, ImageNetwork) else None


@dataclass(frozen=True)
class _Watchers:
    """Watchers of a batch: check, digests and watermarks of its registers, as asked for."""

    checker: Checker | NetworkCheck | None
    digest: RegisterDigest | None
    marks: Watermarks | None

    @classmethod
    def of(
        cls,
        request: EvaluationRequest,
        cell: Cell,
        threads: int,
        model: nn.Module,
        simulator: Simulator | None,
    ) -> "_Watchers":
        """Return fresh ones for a batch of a cell."""
        check, registers, seed = request.check_of(cell), cell.has_registers, cell.seed or 0
        checker: Checker | NetworkCheck | None = None
        if check != "none" and isinstance(model, ImageNetwork) and simulator is not None:
            checker = NetworkCheck(HeadChoice(check, seed), model, simulator)
        elif check != "none":
            checker = Checker(check, seed, threads=threads)
        return cls(
            checker,
            RegisterDigest(request.digest) if registers and request.digest != "none" else None,
            Watermarks() if registers and request.watermarks else None,
        )

    def run(self, model: nn.Module, batch: ImageBatch, device: str) -> Tensor:
        """Return the model's logits on the CPU; the check goes on.

        Raises:
            ValueError: the check of a whole network found other logits than those of the batch.
        """
        checker, numbers = self.checker, batch.numbers.tolist()
        images = batch.images.to(device)
        attention = checker if isinstance(checker, Checker) else None
        watching = [each for each in (attention, self.digest, self.marks) if each is not None]
        if isinstance(checker, NetworkCheck) and not watching:
            return checker.run(images, numbers).cpu()
        with ExitStack() as stack:
            watched = stack.enter_context(watch(model, *watching))
            if self.marks is not None:
                stack.enter_context(network_marks(model, self.marks.layers))
            logits = watched.run(images, numbers)
        if isinstance(checker, NetworkCheck) and not checker.run(images, numbers).equal(logits):
            raise ValueError("logits must not depend on the batch: those of the check are others")
        return logits.cpu()

    def cancel(self) -> None:
        """Give up what waits to be checked."""
        if isinstance(self.checker, Checker):
            self.checker.cancel()
        elif self.checker is not None:
            self.checker.found.cancel()


def _answers(logits: Tensor, batch: ImageBatch) -> dict[str, Any]:
    best, hit = top5(logits, batch.labels)
    return {
        "numbers": tuple(batch.numbers.tolist()),
        "labels": tuple(batch.labels.tolist()),
        "top1": tuple(best[:, 0].tolist()),
        "hits5": tuple(int(any(row)) for row in hit.tolist()),
        "pixels": pixel_digests(batch.images),
    }


def top5(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the five likeliest classes (B, 5) int64 of logits (B, classes), and where they hit.

    With fewer than five classes, all of them. Among equal integers the lower class is the first.
    """
    if logits.is_floating_point():
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    else:
        best = logits.sort(dim=1, descending=True, stable=True).indices[:, :5]
    return best, best == labels.unsqueeze(1)


def _record(events: Events, cell: Cell, watchers: _Watchers, about: dict[str, Any]) -> BatchRecord:
    """Return the record of a batch, once its registers have been checked."""
    kept = dict(about)
    if watchers.digest is not None:
        kept["registers"] = watchers.digest.digests
    checker = watchers.checker
    if isinstance(checker, NetworkCheck):
        kept["compared"], kept["mismatched"] = checker.found.counts, checker.found.wrong
        kept["mismatches"] = tuple(map(str, checker.found.first))
        if checker.found.replay is not None:
            events.mismatch(cell, checker.found.replay)
    elif checker is not None:
        checker.finish()
        if checker.unchecked:
            raise ValueError(
                f"check must see every attention layer: {', '.join(checker.unchecked)} did not run"
            )
        kept["compared"] = dict(checker.compared)
        kept["mismatched"] = dict(checker.mismatched)
        kept["mismatches"] = tuple(str(each) for each in checker.mismatches)
        if checker.mismatches:
            events.mismatch(cell, checker.mismatches[0])
    if watchers.marks is not None:
        kept["watermarks"] = {
            layer: {name: astuple(mark) for name, mark in marks.items()}
            for layer, marks in watchers.marks.layers.items()
        }
    return BatchRecord(**kept)
