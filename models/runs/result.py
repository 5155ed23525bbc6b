"""The result of a run, made of its request and its journals alone."""

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import REGISTERS

from ..ptq.attention import IntegerAttention
from ..ptq.quantizers import map_bits
from ..sealed import check_seal, read_object
from ..watch.digest import digest_of_digests
from ..watch.watermarks import Mark
from ..zoo.architectures import ZOO, published
from ..zoo.task import IMAGENET_CLASSES
from .evaluate import not_comparable
from .folder import BatchRecord, RunFolder, run_digest
from .request import Cell, GridRequest
from .statistics import Proportion, Spread, mcnemar

__all__ = [
    "RESULT_SCHEMA",
    "CellAnswers",
    "CellStatus",
    "build_result",
    "read_result",
    "status_of",
    "warnings_of",
]

_SCHEMA = Path(__file__).parent / "result.schema.json"


def read_result(run: Path) -> dict[str, Any]:
    """Return the result of a finished run.

    Args:
        run: its folder, or the result's file.

    Raises:
        ValueError: there is none yet, or it is not what the schema says, or its cells are not those
            of its request.
    """
    path = run / "result.json" if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"run must be finished, got {run} without result.json")
    content = read_object(path)
    try:
        error = jsonschema.exceptions.best_match(_validator().iter_errors(content))
    except RecursionError:
        raise ValueError(f"{path} must follow result.schema.json: nested too deep") from None
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the file"
        raise ValueError(f"{path} must follow result.schema.json: {place}: {error.message[:200]}")
    check_seal(path, content)
    _check_cells(content, path)
    if run.is_dir() and RunFolder.is_there(run):
        folder = RunFolder.open(run)
        if run_digest(content["request"], content["versions"]) != folder.digest:
            raise ValueError(f"{path} must be the result of the run in its folder, got another's")
    return content


def _check_cells(content: dict[str, Any], path: Path) -> None:
    """Refuse a result whose cells are not those of its request, or count other than they hold."""
    try:
        request = GridRequest.from_dict(content["request"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    asked = [json.loads(json.dumps(cell.as_dict())) for cell in request.cells()]
    found = [{name: cell[name] for name in asked[0]} for cell in content["cells"]]
    if found != asked:
        raise ValueError(f"{path} must hold the cells that it was asked for, in their order")
    for cell in content["cells"]:
        for name in ("top1", "top5", "agreement_with_unquantized"):
            share = cell[name]
            if share is not None and not share["hits"] <= share["total"] == cell["images"]:
                raise ValueError(
                    f"{path} must count at most {cell['images']} images of {cell['name']}, got "
                    f"{name} of {share['hits']} in {share['total']}"
                )


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


RESULT_SCHEMA = "bitlog2-result-2"
#: Mismatches of a cell that are kept in words.
_SHOWN = 5


class CellAnswers:
    """What a cell's model said of every image, from its journals.

    Attributes:
        numbers, labels, top1: (n,) int64, in the order of the images.
        hits5: how many labels are among the first five classes.
        pixels, registers: a digest an image; no registers where none were digested.
        records: batch by batch.
    """

    def __init__(self, cell: Cell, records: list[BatchRecord]) -> None:
        self.cell, self.records = cell, records
        self.numbers = _joined([record.numbers for record in records])
        self.labels = _joined([record.labels for record in records])
        self.top1 = _joined([record.top1 for record in records])
        self.hits5 = sum(sum(record.hits5) for record in records)
        self.pixels, self.registers = (
            [digest for record in records for digest in getattr(record, which)]
            for which in ("pixels", "registers")
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the most likely class is the label."""
        hits: NDArray[np.bool_] = self.top1 == self.labels
        return hits


def _joined(parts: list[tuple[int, ...]]) -> NDArray[np.int64]:
    return np.array([value for part in parts for value in part], np.int64)


def build_result(folder: RunFolder) -> dict[str, Any]:
    """Return the result of a run whose cells are finished, as JSON values.

    Raises:
        ValueError: a journal is damaged, or cells saw different images.
        OSError: a file of the run cannot be read.
    """
    request = folder.request
    cells: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    data: dict[str, list[str]] = {}
    for model in request.models:
        answers = [
            CellAnswers(cell, list(folder.records(cell).values()))
            for cell in request.cells_of(model)
        ]
        for other in answers[1:]:
            if [r.seen for r in other.records] != [r.seen for r in answers[0].records]:
                raise ValueError(
                    f"cells of a model must see the same images: {other.cell.name} and "
                    f"{answers[0].cell.name} do not"
                )
        known = folder.read_cell(answers[0].cell) or {}
        notes = known.get("notes")
        data |= {model: notes} if notes else {}
        comparable = known.get("classes") == IMAGENET_CLASSES and known.get("complete", False)
        cells += [_cell(folder, each, answers[0], comparable=comparable) for each in answers]
        comparisons += _comparisons(answers)
    return {
        "schema": RESULT_SCHEMA,
        "request": request.as_dict(),
        "versions": folder.versions,
        "data": data,
        "cells": cells,
        "comparisons": comparisons,
        "spread": _spreads(cells),
    }


def warnings_of(result: dict[str, Any]) -> list[str]:
    """Return why the figures of a model cannot be compared with published ones, model by model."""
    return [
        f"{cell['model']}: {why}"
        for cell in result["cells"]
        if cell["quantization"] is None
        and (
            why := not_comparable(
                cell["published_top1"],
                cell["top1"]["percent"],
                cell["images"],
                result["request"]["limit"],
            )
        )
    ]


def _cell(
    folder: RunFolder, answers: CellAnswers, reference: CellAnswers, *, comparable: bool
) -> dict[str, Any]:
    """Return a cell's part of the result; `comparable` with what was published for ImageNet."""
    cell, total = answers.cell, len(answers.numbers)
    if total == 0:
        raise ValueError(f"{cell.name} must have seen an image, got none that could be read")
    agreement = Proportion(int((answers.top1 == reference.top1).sum()), total)
    spec = cell.spec
    return {
        **cell.as_dict(),
        "map_bits": None if spec is None else map_bits(spec.scheme, spec.a_bits),
        "images": total,
        "skipped": [name for record in answers.records for name in record.skipped],
        "top1": Proportion(int(answers.right.sum()), total).as_dict(),
        "top5": Proportion(answers.hits5, total).as_dict(),
        "agreement_with_unquantized": None if spec is None else agreement.as_dict(),
        "published_top1": _published(cell) if comparable else None,
        "digests": {
            "pixels": digest_of_digests(answers.pixels),
            "registers": digest_of_digests(answers.registers),
        },
        "check": _check(folder, answers),
        "watermarks": _watermarks(answers.records),
        **_model(folder, cell),
    }


def _published(cell: Cell) -> float | None:
    if cell.model not in ZOO:
        return None
    if cell.spec is None:
        return ZOO[cell.model].published_top1
    if (cell.spec.w_bits, cell.spec.a_bits) != (4, 4):
        return None
    found = published(cell.spec.scheme, cell.model)
    return None if found is None else found[0]


def _check(folder: RunFolder, answers: CellAnswers) -> dict[str, Any] | None:
    mode = folder.request.check_of(answers.cell)
    if mode == "none":
        return None
    compared = _summed([record.compared for record in answers.records])
    mismatched = _summed([record.mismatched for record in answers.records])
    told = [text for record in answers.records for text in record.mismatches]
    return {
        "mode": mode,
        "compared": compared,
        "mismatched": mismatched,
        "total_compared": sum(compared.values()),
        "total_mismatched": sum(mismatched.values()),
        "passed": all(compared.values()) and not any(mismatched.values()),
        "first_mismatches": told[:_SHOWN],
    }


def _summed(counts: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(count.get(name, 0) for count in counts) for name in REGISTERS}


def _watermarks(records: list[BatchRecord]) -> dict[str, dict[str, dict[str, int | None]]] | None:
    marks: dict[str, dict[str, Mark]] = {}
    for record in records:
        for layer, by_register in record.watermarks.items():
            held = marks.setdefault(layer, {})
            for name, values in by_register.items():
                new = Mark(*values)
                held[name] = held[name].joined(new) if name in held else new
    if not marks:
        return None
    return {
        layer: {name: vars(mark) for name, mark in by_register.items()}
        for layer, by_register in marks.items()
    }


def _model(folder: RunFolder, cell: Cell) -> dict[str, Any]:
    """Return what a cell's datapaths load, and the digest of its quantized model."""
    if cell.spec is None:
        about = folder.read_cell(cell) or {}
        return {"model_sha256": about["model"], "layer_params": {}, "attention_map": {}}
    quantized, digest = folder.load_model(cell)
    return {
        "model_sha256": digest,
        "attention_map": (folder.read_cell(cell) or {})["layers"],
        "layer_params": {
            name: module.params().as_dict()
            for name, module in quantized.model.named_modules()
            if isinstance(module, IntegerAttention)
        },
    }


def _comparisons(answers: list[CellAnswers]) -> list[dict[str, Any]]:
    """Return the paired comparisons of a model's cells that differ in the scheme alone."""
    found = []
    for a, b in combinations(answers, 2):
        if b.cell.spec is None or not _comparable(a.cell, b.cell):
            continue
        only_a = int((a.right & ~b.right).sum())
        only_b = int((b.right & ~a.right).sum())
        found.append(
            {
                "a": a.cell.name,
                "b": b.cell.name,
                "only_a_right": only_a,
                "only_b_right": only_b,
                "mcnemar_p": mcnemar(only_a, only_b),
            }
        )
    return found


def _comparable(a: Cell, b: Cell) -> bool:
    if a.spec is None or b.spec is None:
        return True
    how = [
        (c.spec.arithmetic, c.spec.w_bits, c.spec.a_bits, c.spec.datapath, c.seed)
        for c in (a, b)
        if c.spec
    ]
    return how[0] == how[1]


def _spreads(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return top-1 over the seeds of each model and quantization, where there are several."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["quantization"] is not None:
            key = (cell["model"], *cell["quantization"].values())
            groups.setdefault(key, []).append(cell)
    return [
        {
            "model": group[0]["model"],
            "quantization": group[0]["quantization"],
            "top1": Spread.of([each["top1"]["percent"] for each in group]).as_dict(),
        }
        for group in groups.values()
        if len(group) > 1
    ]


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is.

    Attributes:
        name: of the cell.
        batches, images: finished ones.
        finished: whether none is missing.
        mismatched: values that differ from the simulator's so far.
    """

    name: str
    batches: int
    images: int
    finished: bool
    mismatched: int


def status_of(folder: RunFolder) -> list[CellStatus]:
    """Return the status of each cell in order; nothing of the run is touched.

    Raises:
        ValueError: a journal is damaged.
    """
    found = []
    for cell in folder.request.cells():
        records, rules = folder.records(cell).values(), folder.rules(cell)
        found.append(
            CellStatus(
                name=cell.name,
                batches=len(records),
                images=sum(len(record.numbers) for record in records),
                finished=rules is not None and len(records) == rules.batches,
                mismatched=sum(sum(record.mismatched.values()) for record in records),
            )
        )
    return found
