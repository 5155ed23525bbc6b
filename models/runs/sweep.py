"""Cost and accuracy of each choice of hardware: the rows of a sweep, from its result."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import msgspec

from bitlog2.documents import Positive, Sha256
from bitlog2.sim.network import NetworkConfig

from ..ptq.specification import DATAPATH_FIELDS, NETWORK_FIELDS
from ..sealed import Sealed, read_sealed, write_sealed
from ..watch.layer_statistics import mean_attention_error
from .folder import RunFolder
from .request import Cell
from .result import CellAnswers, CellResult, Result

_FILE = "gates.json"
#: Fields of the hardware in a row.
WIDTHS = ("fraction_bits", "table_bits", "distance_int_bits", "m_bits", "m2_bits", "t_bits")


class Gates(Sealed, frozen=True, kw_only=True):
    """gates.json: gates of the cells of a run by name, and what counted them, with its version."""

    format: Literal["bitlog2-gates-3"] = "bitlog2-gates-3"
    run: Sha256
    counted_by: str
    gates: dict[str, Positive]


def read_gates(run: Path, result: Result, tool: str | None = None) -> dict[str, int]:
    """Return the gates of each cell that were counted, by its name.

    Args:
        run: folder of a run, or the file of its result, which has none beside it.
        result: result of the run.
        tool: name of the tool that must have counted them, else there are none; None for any.

    Raises:
        ValueError: the file was edited, or is of another run.
    """
    path = run / _FILE
    if not path.is_file():
        return {}
    content = read_sealed(path, Gates)
    if content.run != result.run_digest:
        raise ValueError(f"{path} must be of the run in its folder, got one of another")
    return content.gates if tool in (None, content.counted_by) else {}


def write_gates(run: Path, result: Result, gates: Mapping[str, int], tool: str) -> None:
    """Write the gates of each cell, whole or not at all.

    Args:
        run: folder of the run.
        result: result of the run.
        gates: gates by name of the cell, all counted by the tool.
        tool: name of the tool, with its version.

    Raises:
        OSError: the file cannot be written.
    """
    content = Gates(run=result.run_digest, counted_by=tool, gates=dict(gates))
    write_sealed(run / _FILE, content)


@dataclass(frozen=True)
class SweepRow:
    """One configuration of a datapath on one model with one seed.

    Attributes:
        cell: name of the cell.
        model, scheme, seed: fields of the cell.
        fraction_bits, table_bits, distance_int_bits, m_bits, m2_bits, t_bits: F, P, I and widths.
        top1, low, high: accuracy with its Wilson 95 % interval, percent.
        changed_levels: levels that an exact softmax of the same scores gives otherwise, percent.
        output_error: relative error of the accumulators that this makes, percent.
        map_error: relative error of the decoded map, percent.
        attention_error: relative error of the attention output, mean over layers, percent.
        register_bits: bits of one key's lane: every register of SPEC.md, section 6.
        storage_bits: bits of one attention value, the zero flag counted.
        gates: gates of the units that the choices change; None where they were not counted.
    """

    cell: str
    model: str
    scheme: str
    seed: int
    fraction_bits: int
    table_bits: int
    distance_int_bits: int
    m_bits: int
    m2_bits: int
    t_bits: int
    top1: float
    low: float
    high: float
    changed_levels: float
    output_error: float
    map_error: float
    attention_error: float
    register_bits: int
    storage_bits: int
    gates: int | None = None


def sweep_rows(result: Result, gates: Mapping[str, int] | None = None) -> list[SweepRow]:
    """Return a row for each cell of a result that is a datapath.

    Args:
        result: result of a run.
        gates: gates by name of the cell, where they were counted.
    """
    known = {} if gates is None else gates
    return [_row(cell, known.get(cell.name)) for cell in result.cells if is_datapath(cell)]


def is_datapath(cell: CellResult) -> bool:
    """Whether the attention of a result's cell is the datapath, with statistics of its map."""
    return any(layer.changed is not None for layer in cell.attention_map.values())


def _row(cell: CellResult, gates: int | None) -> SweepRow:
    config, layers = cell.config, cell.attention_map.values()
    changed, values = (sum((layer.changed or (0, 0))[i] for layer in layers) for i in (0, 1))
    low, high = cell.top1.wilson95
    assert cell.seed is not None
    assert cell.map_bits is not None
    return SweepRow(
        cell=cell.name,
        model=cell.model,
        scheme=cell.scheme,
        seed=cell.seed,
        **{name: getattr(config, name) for name in WIDTHS},
        top1=cell.top1.percent,
        low=low,
        high=high,
        changed_levels=100 * changed / values,
        output_error=_mean_root([layer.output_error or 0.0 for layer in layers]),
        map_error=_mean_root([layer.error for layer in layers]),
        attention_error=mean_attention_error(layers) or 0.0,
        register_bits=sum(register.bits for register in config.registers.values()),
        storage_bits=cell.map_bits,
        gates=gates,
    )


def _mean_root(errors: list[float]) -> float:
    """Return the root of the mean squared relative error over layers, percent."""
    return 100.0 * float((sum(errors) / len(errors)) ** 0.5)


@dataclass(frozen=True)
class WidthRow:
    """Widths of a whole network on one model with one seed.

    Attributes:
        cell: name of the cell.
        model, scheme, w_bits, a_bits, seed: fields of the cell.
        stream_bits, z_fraction_bits, root_bits, gain_bits, u_bits: W_r, Z and widths.
        top1, low, high: accuracy with its Wilson 95 % interval, percent.
        agrees: images that get the unquantized model's class, percent.
        same: images that get the class of the same cell with widths that are all default, percent;
            None where the run has no such cell.
        residual_saturated, u_saturated: values that were limited.
        register_bits: bits of every register of SPEC.md, section 10, one of each.
    """

    cell: str
    model: str
    scheme: str
    w_bits: int
    a_bits: int
    seed: int
    stream_bits: int
    z_fraction_bits: int
    root_bits: int
    gain_bits: int
    u_bits: int
    top1: float
    low: float
    high: float
    agrees: float
    same: float | None
    residual_saturated: int
    u_saturated: int
    register_bits: int


def width_rows(run: Path, result: Result) -> list[WidthRow]:
    """Return a row for each whole network of a run whose widths are varied; none where none are.

    Args:
        run: its folder.
        result: its result, with watermarks.

    Raises:
        ValueError: a journal is damaged.
    """
    specs = [cell.quantization for cell in result.cells if cell.quantization is not None]
    if not any(spec.hardware(NETWORK_FIELDS) for spec in specs):
        return []
    folder = RunFolder.open(run)
    answers = {cell: CellAnswers(folder, cell).top1 for cell in folder.request.cells()}
    usual = {_usual(cell): top1 for cell, top1 in answers.items() if _is_usual(cell)}
    return [
        _width_row(found, top1, usual.get(_usual(cell)))
        for (cell, top1), found in zip(answers.items(), result.cells, strict=True)
        if cell.is_network
    ]


def _is_usual(cell: Cell) -> bool:
    """Whether the widths of a network are all default."""
    spec = cell.spec
    return spec is not None and spec.network_config() == NetworkConfig(spec.a_bits, spec.w_bits)


def _usual(cell: Cell) -> Cell | None:
    """Return the cell of which one differs in widths of the network alone."""
    if cell.spec is None:
        return None
    attention = tuple(cell.spec.hardware(DATAPATH_FIELDS).items())
    return replace(cell, spec=msgspec.structs.replace(cell.spec, datapath=attention))


def _width_row(cell: CellResult, top1: Any, usual: Any) -> WidthRow:
    spec, marks = cell.quantization, cell.overall_marks()
    assert spec is not None
    assert cell.seed is not None
    config, (low, high) = spec.network_config(), cell.top1.wilson95
    agreement = cell.agreement_with_unquantized
    return WidthRow(
        cell=cell.name,
        model=cell.model,
        scheme=cell.scheme,
        w_bits=spec.w_bits,
        a_bits=spec.a_bits,
        seed=cell.seed,
        **{name: getattr(config, name) for name in NETWORK_FIELDS},
        top1=cell.top1.percent,
        low=low,
        high=high,
        agrees=0.0 if agreement is None else agreement.percent,
        same=None if usual is None else 100.0 * float((top1 == usual).mean()),
        residual_saturated=marks["residual"].saturated or 0,
        u_saturated=marks["u"].saturated or 0,
        register_bits=sum(register.bits for register in config.registers.values()),
    )


def rows_csv(rows: Sequence[SweepRow | WidthRow]) -> str:
    """Return rows of one kind as CSV, fields as heads; an empty field where a value is None."""
    names = [field.name for field in fields(rows[0])] if rows else []
    text = StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = {name: getattr(row, name) for name in names}
        writer.writerow({n: f"{v:.6g}" if isinstance(v, float) else v for n, v in values.items()})
    return text.getvalue()


def front(points: list[tuple[float, float]]) -> list[int]:
    """Return which points no other one beats: less or as much in both, and less in one.

    Args:
        points: (cost, error) pairs.
    """
    return [
        i
        for i, (x, y) in enumerate(points)
        if not any(a <= x and b <= y and (a < x or b < y) for a, b in points)
    ]
