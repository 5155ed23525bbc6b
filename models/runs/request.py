"""Requests for an evaluation: its cells, and how each is evaluated."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from bitlog2.documents import Document, brief, check_once, of
from bitlog2.names import (
    ARITHMETICS,
    CALIBRATION_IMAGES,
    CALIBRATIONS,
    DIGESTS,
    EMBEDDED,
    LARGEST_SEED,
    MODELS,
    NORMALIZED,
    SCHEMES_OF,
    USUAL_SCHEMES,
    ZOO,
    canonical_model,
    has_form,
    model_scheme,
)
from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.checks import check_choice, check_int
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.own_scheme import is_coded
from bitlog2.sim.scheme import scheme_label

from ..naming import file_name
from ..ptq.specification import QuantizationSpec
from ..watch.registers import HeadChoice

if TYPE_CHECKING:
    from ..zoo.checkpoint import QuantizedModel
    from ..zoo.task import Task

#: The name that a sweep takes for a field of the configuration.
SHORT_NAMES = {
    field: name
    for config in (AttentionConfig, NetworkConfig)
    for name, field in config.swept().items()
}


@dataclass(frozen=True)
class Cell:
    """A model in one form: a row of the table.

    Attributes:
        model: as `canonical_model` returns it.
        spec: its quantization; None for the unquantized model.
        seed: seed of the calibration; None for the unquantized model.
    """

    model: str
    spec: QuantizationSpec | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Its name within an evaluation."""
        if self.spec is None:
            return f"{self.model}-unquantized"
        spec = self.spec
        return (
            f"{self.model}-{scheme_label(spec.scheme)}-{spec.arithmetic}-w{spec.w_bits}a{spec.a_bits}"
            f"{''.join(f'-{SHORT_NAMES.get(name, name)}{value}' for name, value in spec.datapath)}"
            f"{'' if spec.calibration == CALIBRATIONS[0] else f'-{spec.calibration}'}"
            f"-seed{self.seed}"
        )

    @property
    def file_name(self) -> str:
        """The name of its folder."""
        return file_name(self.name)

    @property
    def scheme(self) -> str:
        """The scheme, or `unquantized`."""
        return "unquantized" if self.spec is None else scheme_label(self.spec.scheme)

    @property
    def has_registers(self) -> bool:
        """Whether its attention is the datapath, with registers that the simulator has too."""
        spec = self.spec
        return spec is not None and spec.arithmetic != "float" and is_coded(spec.scheme)

    @property
    def is_network(self) -> bool:
        """Whether it is a program: integers from pixels to logits."""
        return self.spec is not None and self.spec.arithmetic == "integer"


class EvaluationRequest(Document, frozen=True, kw_only=True):
    """The cells of an evaluation, and how each is evaluated. It never changes once it has begun.

    Raises:
        TypeError, ValueError: a field is out of range, or fields do not go with one another.
    """

    models: Annotated[tuple[str, ...], of("Names of models, each once; so the other lists.")]
    schemes: Annotated[
        tuple[str, ...],
        of(
            "Codes of the attention map, each with a form in at least one of the arithmetics, and "
            "left out of the others."
        ),
    ]
    arithmetics: Annotated[tuple[str, ...], of("Some of `float`, `attention` and `integer`.")] = (
        "integer",
    )
    bits: Annotated[
        tuple[tuple[int, int], ...], of("Widths of weight and activation codes, 2 to 8 each.")
    ] = ((4, 4),)
    seeds: Annotated[tuple[int, ...], of("Seeds of the calibration, 0 to 2**31 - 1.")] = (0,)
    datapaths: Annotated[
        tuple[tuple[tuple[str, int], ...], ...],
        of(
            "Fields of the hardware that differ from their defaults, with their values, for each "
            "kind of hardware; cells without a datapath do not differ by it."
        ),
    ] = ((),)
    calibrations: Annotated[
        tuple[str, ...], of("How scales, weight codes and biases are chosen.")
    ] = CALIBRATIONS[:1]
    check: Annotated[
        str,
        of(
            "Registers compared with the simulator, in the cells that have any: `none`, `sample`, "
            "`sample:K` or `all`; `none` where no cell has any. In `integer` those of the whole "
            "network, else those of attention."
        ),
    ] = "all"
    digest: Annotated[str, of("Attention registers in a digest: `none`, `codes` or `all`.")] = (
        "codes"
    )
    watermarks: Annotated[
        bool,
        of(
            "Whether the range of every attention register is collected; false where no cell has "
            "any."
        ),
    ] = False
    statistics: Annotated[
        bool, of("Whether the effect of each code on the map of calibration images is collected.")
    ] = True
    limit: Annotated[int | None, of("Most images; null for all.")] = None
    batch_size: Annotated[
        int, of("Images per batch, 1 to 4096: the most that a stopped run loses.")
    ] = 16
    calibration_images: Annotated[int, of("Training images that calibrate.")] = CALIBRATION_IMAGES
    threads: Annotated[
        int, of("Threads of torch, 1 to 4096: the order of a float sum may depend on them.")
    ] = 1
    device: Annotated[str, of("Device of torch.")] = "cpu"
    data: Annotated[str | None, of("Absolute path of the images; null for an embedded model.")] = (
        None
    )
    workers: Annotated[int, of("Processes that read images.")] = 0
    skip_unreadable: Annotated[
        bool, of("Whether unreadable validation images are left out, and counted.")
    ] = False
    checkpoints: Annotated[
        tuple[tuple[str, str], ...],
        of("Models with the absolute paths of their weights; any other takes the hub's."),
    ] = ()
    ema: Annotated[bool, of("Whether the averaged weights of checkpoints are taken.")] = False
    classes: Annotated[
        str | None, of("Absolute path of the models' class names; null where the data has them.")
    ] = None
    load: Annotated[
        str | None,
        of(
            "Absolute path of a quantized model. Its cell, which the lists must name, is then the "
            "only one; weights are not looked for."
        ),
    ] = None

    def __post_init__(self) -> None:
        self._make_absolute()
        self._check_lists()
        self._check_numbers()
        self._check_files()
        self._check_registers()

    def _make_absolute(self) -> None:
        """Let files be found wherever the run is resumed from."""
        for name in ("data", "classes", "load"):
            if (path := getattr(self, name)) is not None:
                msgspec.structs.force_setattr(self, name, _absolute(name, path))
        files = tuple(
            (canonical_model(model), _absolute("checkpoints", file))
            for model, file in self.checkpoints
        )
        msgspec.structs.force_setattr(self, "checkpoints", files)

    def _check_lists(self) -> None:
        known = {
            "arithmetics": ARITHMETICS,
            "calibrations": CALIBRATIONS,
        }
        for name in ("models", "schemes", *known, "bits", "seeds", "datapaths"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values:
                raise ValueError(f"{name} must hold at least one, got {brief(values)}")
            if name == "models":
                values = tuple(map(canonical_model, values))
                msgspec.structs.force_setattr(self, name, values)
            elif name == "schemes":
                values = tuple(map(model_scheme, values))
                msgspec.structs.force_setattr(self, name, values)
                check_once("labels of schemes", tuple(map(scheme_label, values)))
            check_once(name, values)
            for value in values if name in known else ():
                check_choice(name, value, known[name])
        low, high = (0, LARGEST_SEED) if self.load is None else (-(1 << 63), (1 << 64) - 1)
        for seed in self.seeds:
            check_int("seeds", seed, low, high)
        for scheme in self.schemes:
            if not any(has_form(scheme, each) for each in self.arithmetics):
                QuantizationSpec(scheme, self.arithmetics[0])  # refuses it
        for calibration in self.calibrations:
            if not any(spec.calibration == calibration for spec in self.specs()):
                first = self.schemes[0], self.arithmetics[0]
                QuantizationSpec(*first, calibration=calibration)  # refuses it

    def _check_numbers(self) -> None:
        if self.limit is not None:
            check_int("limit", self.limit, 1, 10**9)
        check_int("batch_size", self.batch_size, 1, 4096)
        check_int("calibration_images", self.calibration_images, 1, 10**6)
        check_int("threads", self.threads, 1, 4096)
        check_int("workers", self.workers, 0, 256)
        check_choice("digest", self.digest, DIGESTS)
        if self.check != "none":
            HeadChoice(self.check)

    def _check_files(self) -> None:
        for model, _ in self.checkpoints:
            check_choice("checkpoints", model, self.models)
        if self.ema and not self.checkpoints:
            raise ValueError("ema must go with a checkpoint")
        if self.load is not None:
            if self.checkpoints:
                raise ValueError("checkpoint must be left out with load")
            if len(self.cells()) != 1:
                raise ValueError(f"load must go with one cell, got {len(self.cells())}")

    def _check_registers(self) -> None:
        if any(cell.has_registers for cell in self.cells()):
            return
        why = f"{', '.join(self.schemes)}, which has no registers"
        if self.arithmetics == ("float",):
            why = "float arithmetic"
        for name, none in (("check", "none"), ("watermarks", False)):
            if (asked := getattr(self, name)) != none:
                raise ValueError(f"{name} must be {none} for {why}, got {asked!r}")

    def specs(self) -> list[QuantizationSpec]:
        """Return how models are quantized, in the order of the table."""
        return [
            QuantizationSpec(scheme, arithmetic, w_bits, a_bits, datapath, calibration)
            for arithmetic in self.arithmetics
            for w_bits, a_bits in self.bits
            for scheme in self.schemes
            if has_form(scheme, arithmetic)
            for datapath in (
                self.datapaths if arithmetic != "float" and is_coded(scheme) else ((),)
            )
            for calibration in self.calibrations
            if has_form(scheme, arithmetic, calibration)
        ]

    def cells(self) -> list[Cell]:
        """Return the cells in order: each model unquantized, then seed by seed."""
        return [cell for model in self.models for cell in self.cells_of(model)]

    def cells_of(self, model: str) -> list[Cell]:
        """Return the cells of one model; where one is loaded, there is no unquantized one."""
        reference = [Cell(model)] if self.load is None else []
        return reference + [Cell(model, spec, seed) for seed in self.seeds for spec in self.specs()]

    def check_of(self, cell: Cell) -> str:
        """Return how the registers of a cell are checked: `none` where it has none."""
        return self.check if cell.has_registers else "none"

    def task(self, model: str, loaded: "QuantizedModel | None" = None) -> "Task":
        """Return a model with its data; among other models, an embedded one has data of its own.

        Raises:
            ValueError, OSError: as `load_task`.
        """
        from ..zoo.task import DataSource, load_task

        source = DataSource(
            _path(self.data), self.workers, self.skip_unreadable, _path(self.classes)
        )
        if model in EMBEDDED and len(self.models) > 1:
            source = DataSource()
        file = dict(self.checkpoints).get(model)
        ready = None if loaded is None else loaded.model
        ema = self.ema and file is not None
        return load_task(model, self.device, source, _path(file), ready, ema=ema)


def usual_request(
    *,
    load: Path | None = None,
    checkpoint: Path | None = None,
    keep: bool = False,
    **given: Any,
) -> EvaluationRequest:
    """Return the request with the given fields, and the usual choice of all others.

    Args:
        load: file of a quantized model, which gives the fields of its quantization.
        checkpoint: weights of the one model.
        keep: whether the evaluation is kept in a folder. Statistics are then collected, and torch
            has one thread: the order of a float sum may depend on them, and a run gives the same
            on every machine.
        given: fields of `EvaluationRequest`; None for the usual choice. `("all",)` stands for the
            pretrained models, and for every scheme and control of the arithmetics;
            `("normalized",)` for RowMax_16 and the codes to hold it against.

    Raises:
        TypeError, ValueError, OSError: as `EvaluationRequest`, or a file cannot be used.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    fields |= {name: str(fields[name]) for name in ("data", "classes") if name in fields}
    if load is not None:
        fields |= fields_of_file(load, *fields.get("models", ()))
    models = fields.get("models", MODELS[:1])
    models = tuple(ZOO) if models == ("all",) else models
    arithmetics = fields.get("arithmetics", ("integer",))
    schemes = fields.get("schemes", (QuantizationSpec().scheme,))
    if schemes == ("all",):
        known = {scheme for each in arithmetics for scheme in SCHEMES_OF.get(each, ())}
        schemes = tuple(scheme for scheme in USUAL_SCHEMES if scheme in known)
    elif schemes == ("normalized",):
        schemes = (*(name for name, each in SCHEMES.items() if each.row_max), *NORMALIZED)
    if checkpoint is not None:
        if len(models) > 1:
            raise ValueError("--checkpoints MODEL=FILE must be used for several models")
        fields["checkpoints"] = ((models[0], str(checkpoint)),)
    if "data" not in fields:
        fields["workers"] = 0
    has_registers = set(arithmetics) != {"float"} and any(map(is_coded, schemes))
    import torch

    usual = {
        "check": "all" if has_registers else "none",
        "statistics": keep,
        "batch_size": 16 if fields.get("device", "cpu") == "cpu" else 128,
        "threads": 1 if keep else torch.get_num_threads(),
    }
    return EvaluationRequest(**usual | fields | {"models": models, "schemes": schemes})


def fields_of_file(path: Path, name: str | None = None) -> dict[str, Any]:
    """Return the fields of a request for the quantized model in a file.

    Raises:
        ValueError, OSError: as `quantized_about`; `name` is that of the model that it must be, and
            must be given where a function makes it.
    """
    from ..zoo.checkpoint import quantized_about, refuse_unnamed_function

    model, spec, seed = quantized_about(path, name)
    refuse_unnamed_function(path, model, name)
    return {
        "models": (model,),
        "schemes": (spec.scheme,),
        "arithmetics": (spec.arithmetic,),
        "bits": ((spec.w_bits, spec.a_bits),),
        "datapaths": (spec.datapath,),
        "calibrations": (spec.calibration,),
        "seeds": (seed,),
        "load": str(path),
    }


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _absolute(name: str, path: Any) -> str:
    if not isinstance(path, str):
        raise TypeError(f"path of {name} must be text, got {brief(path)}")
    return os.path.abspath(path)


def labels(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return the label of each cell in a table: its scheme where that is enough, else its name."""
    forms = {cell.spec.beside_scheme for cell in cells if cell.spec}
    short = len({c.model for c in cells}) == 1 and len(forms) <= 1
    return {c: c.scheme if short else c.name for c in cells}
