"""An evaluation with its table: a row as each cell is finished, and what follows the rows."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from bitlog2.golden import RowCase, emit_rows
from bitlog2.models.images.data import Progress
from bitlog2.models.naming import file_name
from bitlog2.models.network.replay import Replay, write_replay
from bitlog2.models.runs.evaluation import Events, evaluate
from bitlog2.models.runs.folder import Inputs, RunFolder
from bitlog2.models.runs.request import Cell, EvaluationRequest, labels
from bitlog2.models.runs.result import CellResult, Result, Share, is_comparable, significance
from bitlog2.models.sealed import write_sealed
from bitlog2.models.watch.check import RegisterMismatch
from bitlog2.models.watch.layer_statistics import mean_attention_error
from bitlog2.models.watch.registers import COMPARED, NETWORK, WATERMARKED
from bitlog2.models.zoo.checkpoint import QuantizedModel, dump_quantizers, save_quantized
from bitlog2.sim.scheme import scheme_label
from bitlog2.table import Columns

from .capture import origin_of

_SKIPPED_SHOWN = 5
_SHORT = {
    "row_max": "max",
    "row_sum": "sum",
    "weight_sum": "sum",
    "m2_row": "m2",
    "n2_row": "n2",
    "out_product": "out_prod",
    "nibble": "nibb",
}


@dataclass(frozen=True)
class Outputs:
    """Files of an evaluation beside its run; None for those that are not written.

    Attributes:
        result: the result with its timings.
        model: the quantized model.
        quantizers: scales, zero points and reparameterizations.
        mismatches: folder of the rows that differ; None for `mismatch` in the folder of a run, or
            `bitlog2-mismatch`.
    """

    result: Path | None = None
    model: Path | None = None
    quantizers: Path | None = None
    mismatches: Path | None = None

    def writer(self, request: EvaluationRequest) -> Callable[[QuantizedModel], None] | None:
        """Return what writes a quantized model; None where it is not wanted.

        Raises:
            ValueError: there are several.
        """
        cells = sum(cell.spec is not None for cell in request.cells())
        for file, name in ((self.model, "save"), (self.quantizers, "dump_quantizers")):
            if file is not None and cells != 1:
                raise ValueError(f"{name} must go with one scheme and one seed, got {cells} cells")

        def write(quantized: QuantizedModel) -> None:
            if self.model is not None:
                save_quantized(self.model, quantized)
            if self.quantizers is not None:
                dump_quantizers(self.quantizers, quantized)

        return None if self.model is None and self.quantizers is None else write


def evaluated(
    folder: Path | None,
    request: EvaluationRequest | None,
    check_threads: int | None,
    progress: Progress,
    outputs: Outputs | None = None,
    expect: str | None = None,
) -> int:
    """Evaluate, or go on with a run; print its table and return the exit status.

    Args:
        folder: folder of the run; None for a temporary one.
        request: request of the evaluation; None for that of the run.
        check_threads: threads that compare registers; None for a number by the processors.
        progress: shows progress.
        outputs: files beside the run.
        expect: digest that the logits of the one cell in integer arithmetic must have.

    Raises:
        ValueError, OSError: as `evaluate`, `RunFolder.open`, `Outputs.writer`; or a digest is
            expected, and there is not one such cell.
    """
    outputs = outputs or Outputs()
    mismatches = outputs.mismatches or Path("bitlog2-mismatch")
    if folder is not None:
        mismatches = outputs.mismatches or folder / "mismatch"
        request = request or RunFolder.open(folder).request
    assert request is not None
    networks = sum(cell.is_network for cell in request.cells())
    if expect is not None and networks != 1:
        raise ValueError(f"expect must go with one cell in integer arithmetic, got {networks}")
    table = Table(request, mismatches)
    events = Events(table.header, outputs.writer(request), table.replay, table.row)
    result = evaluate(folder, request, progress, events, check_threads)
    if os.environ.get("RANK", "0") != "0":
        return 0
    status = table.finish(result, expect)
    if folder is not None:
        print(f"result in {folder / 'result.json'}")
    if outputs.result is not None:
        write_sealed(outputs.result, msgspec.structs.replace(result, timings=table.timings))
    return status


class Table:
    """Prints an evaluation as it goes on, and writes the row of each cell's first mismatch.

    Args:
        request: what is evaluated.
        mismatch_dir: folder of the rows that differ, a vector set per cell.

    Attributes:
        timings: images per second by cell.
    """

    def __init__(self, request: EvaluationRequest, mismatch_dir: Path) -> None:
        self._request, self._folder = request, mismatch_dir
        cells = request.cells()
        self._labels = {cell.name: label for cell, label in labels(cells).items()}
        self._width = max(19, *map(len, self._labels.values()))
        short = any(cell.name != self._labels[cell.name] for cell in cells)
        self._seeds = short and len(request.seeds) > 1
        self._published: bool | None = None
        self._replayed: set[Cell] = set()
        self.timings: dict[str, float] = {}

    def header(self, inputs: Inputs) -> None:
        """Print what a model is evaluated on; before the first one's rows the table's head."""
        request = self._request
        seeds = ", ".join(str(seed) for seed in request.seeds)
        bits = ", ".join(f"W{w_bits}A{a_bits}" for w_bits, a_bits in request.bits)
        print(
            f"{inputs.model}: {bits}, {', '.join(request.arithmetics)} arithmetic, "
            f"seed{'s' * (len(request.seeds) > 1)} {seeds}, check {request.check}, "
            f"{inputs.images:,} images of {inputs.classes} classes"
        )
        for note in inputs.notes:
            print(f"data: {note}")
        if self._published is not None:
            return
        self._published = len(request.models) > 1 or is_comparable(inputs.model, inputs)
        print(self._table.line(self._head), flush=True)

    @property
    def _head(self) -> list[str]:
        seed, published = ["seed"] * self._seeds, ["published"] * bool(self._published)
        first = ["scheme" if self._width == 19 else "cell", "map", *seed, "top-1 % [Wilson 95 %]"]
        return [*first, *published, "top-5 %", "agrees %", "images/s", "differ"]

    @cached_property
    def _table(self) -> Columns:
        """The columns of the rows, by the widest cells that are to be expected."""
        seed, published = ["1000"] * self._seeds, ["81.39"] * bool(self._published)
        label = max(self._labels.values(), key=len)
        first = [label, "5b", *seed, "100.00 [99.99, 100.00]"]
        widest = [*first, *published, "100.00", "100.00", "1000.0", "100,000"]
        sides = "<>" + ">" * self._seeds + "<" + ">" * (len(widest) - 3 - self._seeds)
        return Columns([self._head, widest], sides)

    def row(self, cell: CellResult, images_per_second: float) -> None:
        """Print one row of the table, and warn where no figure of its model can be compared."""
        self.timings[cell.name] = images_per_second
        if cell.warning is not None:
            warnings.warn(f"{cell.model}: {cell.warning}", stacklevel=2)
        agreement = cell.agreement_with_unquantized
        seed = ["-" if cell.seed is None else str(cell.seed)] * self._seeds
        published = "-" if cell.published_top1 is None else f"{cell.published_top1:.2f}"
        cells = [
            *(self._labels[cell.name], "-" if cell.map_bits is None else f"{cell.map_bits}b"),
            *(*seed, _share(cell.top1), *[published] * bool(self._published)),
            *(f"{cell.top5.percent:.2f}", "-" if agreement is None else f"{agreement.percent:.2f}"),
            f"{images_per_second:.1f}" if images_per_second else "-",
            "-" if cell.check is None else f"{cell.check.total_mismatched:,}",
        ]
        print(self._table.line(cells), flush=True)

    def finish(self, result: Result, expect: str | None = None) -> int:
        """Print what follows the rows; return 1 where a register or the digest differed, else 0."""
        for spread in result.spread:
            top1, how = spread.top1, spread.quantization
            name = f"{scheme_label(how.scheme):<19}"
            if self._width > 19:
                name = f"{spread.model} {scheme_label(how.scheme)} {how.arithmetic} {how.form}:"
            print(
                f"{name} top-1 over {top1.seeds} seeds: mean {top1.mean:.2f} %, {top1.least:.2f} "
                f"to {top1.most:.2f}, standard deviation {top1.deviation:.2f}"
                + ("" if spread.agreement is None else f"; agrees: {spread.agreement.mean:.2f} %")
            )
        for sentence in significance(result.comparisons):
            print(sentence)
        for cell in result.cells:
            if cell.watermarks is not None:
                print("\n".join(_watermarks(self._title(cell), cell)))
        for model in result.request.models:
            cells = [cell for cell in result.cells if cell.model == model]
            of_model = f" of {model}" * (len(result.request.models) > 1)
            print(f"pixels{of_model}: SHA-256 {cells[0].digests.pixels}")
            for cell in cells:
                title, found = self._title(cell), cell.digests
                if found.registers:
                    print(f"attention registers of {title}: SHA-256 {found.registers}")
                if found.logits:
                    print(f"logits of {title}: SHA-256 {found.logits}")
            _print_skipped(cells[0], of_model)
        print("map: bits that the code of one attention value takes, a zero flag counted")
        self._print_errors(result)
        return max(self._print_check(result), _print_expected(result, expect))

    def _print_errors(self, result: Result) -> None:
        """Print the error of each cell's attention output, where statistics were collected."""
        errors = {
            self._title(cell): mean_attention_error(cell.attention_map.values())
            for cell in result.cells
        }
        found = [f"  {name:<{self._width}}{e:>7.2f}" for name, e in errors.items() if e is not None]
        if found:
            print("error of the attention output, %, mean over layers, on the calibration images:")
            print("\n".join(found))

    def _title(self, cell: CellResult) -> str:
        seed = f", seed {cell.seed}" if self._seeds else ""
        return self._labels[cell.name] + seed

    def _print_check(self, result: Result) -> int:
        """Print values compared by register, and mismatches; return the exit status."""
        checks = [(cell, cell.check) for cell in result.cells if cell.check is not None]
        if not checks:
            print("no register was compared (check none, or a map that has no registers)")
            return 0
        for name in (name for name in COMPARED if any(name in c.compared for _, c in checks)):
            compared = sum(check.compared.get(name, 0) for _, check in checks)
            differing = sum(check.mismatched.get(name, 0) for _, check in checks)
            print(f"  {name:<15}{compared:>17,} compared{differing:>12,} mismatches")
        total = sum(check.total_compared for _, check in checks)
        differing = sum(check.total_mismatched for _, check in checks)
        print(f"{total:,} values compared, {differing:,} mismatches")
        for cell, check in checks:
            for mismatch in check.first_mismatches:
                print(f"MISMATCH {self._title(cell)}: {mismatch}")
            if check.first_mismatches and (self._folder / file_name(cell.name)).is_dir():
                folder = self._folder / file_name(cell.name)
                print(f"the first one's row is a vector set: bitlog2 golden verify {folder}")
            if check.first_mismatches and self._file_of(cell.name).is_file():
                print(f"the first one, again: bitlog2 replay {self._file_of(cell.name)}")
        if not result.passed:
            print("check FAILED")
            return 1
        return 0

    def replay(self, cell: Cell, mismatch: RegisterMismatch | Replay) -> None:
        """Write the first mismatch of a cell: its row as a vector set, or its part's inputs."""
        if cell in self._replayed:
            return
        self._replayed.add(cell)
        if isinstance(mismatch, Replay):
            write_replay(self._file_of(cell.name), mismatch)
            return
        place = (mismatch.layer, mismatch.window, mismatch.head, mismatch.image, mismatch.row)
        row = RowCase(
            scores=mismatch.score,
            v=mismatch.v,
            params=mismatch.params,
            masked=mismatch.masked,
            bias=mismatch.bias,
            reason=f"register {mismatch.register} differed",
            origin=origin_of(cell.model, *place),
        )
        emit_rows(self._folder / file_name(cell.name), mismatch.config, [row])

    def _file_of(self, cell: str) -> Path:
        return self._folder / f"{file_name(cell)}.json"


def _print_expected(result: Result, expect: str | None) -> int:
    """Print the digest of the logits beside the expected one where they differ; return the status.

    There is one cell with such logits where a digest is expected.
    """
    for found in (cell.digests.logits for cell in result.cells if cell.digests.logits):
        if expect not in (None, found):
            print(f"logits must have the digest {expect}, got {found}: digest DIFFERS")
            return 1
    return 0


def _print_skipped(cell: CellResult, of_model: str) -> None:
    if cell.skipped:
        more = len(cell.skipped) - _SKIPPED_SHOWN
        names = ", ".join(cell.skipped[:_SKIPPED_SHOWN]) + f", and {more} more" * (more > 0)
        print(f"{len(cell.skipped)} unreadable images left out{of_model}: {names}")


def _share(share: Share) -> str:
    low, high = share.wilson95
    return f"{share.percent:6.2f} [{low:.2f}, {high:.2f}]"


def _watermarks(title: str, cell: CellResult) -> list[str]:
    """Return bits used by attention's registers by layer, then the range of every register."""
    overall, layers = cell.overall_marks(), dict(cell.watermarks or {})
    layers.pop(NETWORK, None)
    names = [name for name in WATERMARKED if any(name in held for held in layers.values())]
    lines = [f"watermarks of attention, {title}: bits used, by layer"]
    lines.append(_line("layer", [_SHORT.get(name, name) for name in names]))
    for layer, held in layers.items():
        lines.append(_line(layer, [held[name].bits_used for name in names]))
    lines.append(_line("provided", [overall[name].bits_provided for name in names]))
    lines.append(
        f"  {'register':<16}{'smallest':>20}{'largest':>20}{'bits':>6}{'provided':>10}"
        f"{'values':>17}{'saturated':>15}"
    )
    for name, mark in overall.items():
        limited = "cannot" if mark.saturated is None else f"{mark.saturated:,}"
        lines.append(
            f"  {name:<16}{mark.smallest:>20,}{mark.largest:>20,}{mark.bits_used:>6}"
            f"{mark.bits_provided:>10}{mark.values:>17,}{limited:>15}"
        )
    return lines


def _line(first: str, columns: Sequence[str | int]) -> str:
    return f"  {first:<24}" + "".join(f"{column:>9}" for column in columns)
