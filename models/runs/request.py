"""What a run is asked for: cells, request."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bitlog2.sim import SCHEMES
from bitlog2.sim.checks import brief, check_choice, check_int

from ..images.data import CALIBRATION_IMAGES
from ..ptq.quantize import ARITHMETICS, QuantizationSpec
from ..ptq.quantizers import CONTROLS, FLOAT_ONLY, MODEL_SCHEMES
from ..watch.check import HeadChoice
from ..zoo.task import MODELS, DataSource

__all__ = [
    "DIGESTS",
    "SHORT_NAMES",
    "Cell",
    "GridRequest",
]

#: The letters of SPEC.md for what a datapath is built with.
SHORT_NAMES = {"fraction_bits": "F", "table_bits": "P", "distance_int_bits": "I"}


@dataclass(frozen=True)
class Cell:
    """What is evaluated in one go.

    Attributes:
        model: one of `MODELS`.
        spec: how it is quantized; None for the unquantized model.
        seed: of the calibration; None for the unquantized model.
    """

    model: str
    spec: QuantizationSpec | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """A name of its own within a run, which is also the name of its folder."""
        if self.spec is None:
            return f"{self.model}-unquantized"
        spec = self.spec
        return (
            f"{self.model}-{spec.scheme}-{spec.arithmetic}-w{spec.w_bits}a{spec.a_bits}"
            f"{''.join(f'-{SHORT_NAMES.get(name, name)}{value}' for name, value in spec.datapath)}"
            f"-seed{self.seed}"
        )

    @property
    def scheme(self) -> str:
        """The scheme, or `unquantized`."""
        return "unquantized" if self.spec is None else self.spec.scheme

    def as_dict(self) -> dict[str, Any]:
        """Return what it is as JSON values."""
        quantization = None if self.spec is None else asdict(self.spec)
        return {
            "name": self.name,
            "model": self.model,
            "quantization": quantization,
            "seed": self.seed,
        }


#: Which attention registers go into a cell's digest.
DIGESTS = ("none", "codes", "all")
_LARGEST_SEED = 2**31 - 1
_LISTS = ("models", "schemes", "arithmetics", "bits", "seeds", "datapaths", "checkpoints")


@dataclass(frozen=True)
class GridRequest:
    """The cells of a run, and how each is evaluated. It never changes once a run has begun.

    Attributes:
        models: names of `MODELS`, each once; so the other lists.
        schemes: names of `MODEL_SCHEMES`. A scheme that an arithmetic has no form of is left out
            of that arithmetic.
        arithmetics: of `ARITHMETICS`.
        bits: (w_bits, a_bits) pairs, each 2 to 8.
        seeds: of the calibration, 0 to 2**31 - 1.
        datapaths: as `QuantizationSpec.datapath`, one for each kind of hardware; only the cells
            that are a datapath differ by it.
        check: `none`, `sample`, `sample:K` or `all`: registers held against the simulator, in the
            cells that have any.
        digest: one of `DIGESTS`.
        watermarks: collect the range of every register.
        limit: images at most, None for all.
        batch_size: images a batch, 1 to 4096; a batch is what a stopped run loses at most.
        calibration_images: how many training images calibrate.
        threads: of torch, 1 to 256. It belongs to the request because the order of a float sum may
            depend on it.
        device: torch device.
        data: root of the images, made absolute; None for digits.
        workers: processes that read images.
        skip_unreadable: leave unreadable validation images out, and count them.
        checkpoints: (model, file of weights) pairs, made absolute; without one the hub's are taken.
        classes: file of the models' class names, as `DataSource`, made absolute.

    Raises:
        TypeError, ValueError: a field is out of range, or nothing is left to evaluate.
    """

    models: tuple[str, ...]
    schemes: tuple[str, ...]
    arithmetics: tuple[str, ...] = ("integer",)
    bits: tuple[tuple[int, int], ...] = ((4, 4),)
    seeds: tuple[int, ...] = (0,)
    datapaths: tuple[tuple[tuple[str, int], ...], ...] = ((),)
    check: str = "all"
    digest: str = "codes"
    watermarks: bool = False
    limit: int | None = None
    batch_size: int = 16
    calibration_images: int = CALIBRATION_IMAGES
    threads: int = 1
    device: str = "cpu"
    data: str | None = None
    workers: int = 0
    skip_unreadable: bool = False
    checkpoints: tuple[tuple[str, str], ...] = ()
    classes: str | None = None

    def __post_init__(self) -> None:
        self._make_absolute()
        for name, known in (
            ("models", MODELS),
            ("schemes", MODEL_SCHEMES),
            ("arithmetics", ARITHMETICS),
        ):
            _check_list(name, getattr(self, name))
            for value in getattr(self, name):
                check_choice(name, value, known)
        _check_list("bits", self.bits)
        _check_list("seeds", self.seeds)
        _check_list("datapaths", self.datapaths)
        for seed in self.seeds:
            check_int("seeds", seed, 0, _LARGEST_SEED)
        self._check_numbers()
        check_choice("digest", self.digest, DIGESTS)
        for model, _ in self.checkpoints:
            check_choice("checkpoints", model, self.models)
        if len(self.cells()) == len(self.models):
            raise ValueError(
                f"schemes must have one that {', '.join(self.arithmetics)} arithmetic has, "
                f"got {', '.join(self.schemes)}"
            )

    def _make_absolute(self) -> None:
        """Let files be found wherever the run is resumed from."""
        own = [(name, getattr(self, name)) for name in ("data", "classes")]
        given = [(name, path) for name, path in own if path is not None]
        for name, path in (*given, *self.checkpoints):
            if not isinstance(path, str):
                raise TypeError(f"path of {name} must be text, got {brief(path)}")
        for name, path in given:
            object.__setattr__(self, name, os.path.abspath(path))
        files = tuple((model, os.path.abspath(file)) for model, file in self.checkpoints)
        object.__setattr__(self, "checkpoints", files)

    def _check_numbers(self) -> None:
        if self.limit is not None:
            check_int("limit", self.limit, 1, 10**9)
        check_int("batch_size", self.batch_size, 1, 4096)
        check_int("calibration_images", self.calibration_images, 1, 10**6)
        check_int("threads", self.threads, 1, 256)
        check_int("workers", self.workers, 0, 256)
        if self.check != "none":
            HeadChoice(self.check)

    def specs(self) -> list[QuantizationSpec]:
        """Return how models are quantized, in the order of the table."""
        return [
            QuantizationSpec(scheme, arithmetic, w_bits, a_bits, datapath)
            for arithmetic in self.arithmetics
            for w_bits, a_bits in self.bits
            for scheme in self.schemes
            if not (arithmetic == "integer" and scheme in FLOAT_ONLY)
            for datapath in (
                self.datapaths if arithmetic == "integer" and scheme in SCHEMES else ((),)
            )
        ]

    def cells(self) -> list[Cell]:
        """Return the cells in order: each model unquantized, then seed by seed."""
        return [cell for model in self.models for cell in self.cells_of(model)]

    def cells_of(self, model: str) -> list[Cell]:
        """Return the cells of one model."""
        quantized = [Cell(model, spec, seed) for seed in self.seeds for spec in self.specs()]
        return [Cell(model), *quantized]

    def check_of(self, cell: Cell) -> str:
        """Return how the registers of a cell are checked: `none` where it has none."""
        return self.check if has_registers(cell) else "none"

    def source(self, model: str) -> DataSource:
        """Return where the images of a model come from; among others, digits has its own."""
        if model == "digits" and len(self.models) > 1:
            return DataSource()
        root = None if self.data is None else Path(self.data)
        classes = None if self.classes is None else Path(self.classes)
        return DataSource(root, self.workers, self.skip_unreadable, classes)

    def checkpoint(self, model: str) -> Path | None:
        """Return the file of a model's weights; None for the hub's."""
        found = dict(self.checkpoints).get(model)
        return None if found is None else Path(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {name: _as_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any) -> "GridRequest":
        """Return the request of `as_dict`.

        Raises:
            TypeError, ValueError: a field is unknown, missing or out of range.
        """
        names = {field.name for field in fields(cls)}
        if isinstance(values, Mapping):
            values = {"classes": None, **values}  # runs of before it was an option
        if not isinstance(values, Mapping) or set(values) != names:
            raise ValueError(f"request must be an object of {', '.join(sorted(names))}")
        try:
            given = {name: _as_tuple(value) for name, value in values.items()}
        except RecursionError:
            raise ValueError("request must hold lists of values, got one nested too deep") from None
        for name in (
            "models",
            "schemes",
            "arithmetics",
            "bits",
            "seeds",
            "datapaths",
            "checkpoints",
        ):
            if not isinstance(given[name], tuple):
                raise TypeError(f"{name} must be a list, got {brief(given[name])}")
        datapaths = [pair for pairs in given["datapaths"] for pair in (pairs or ())]
        for name, pairs in (
            ("bits", given["bits"]),
            ("checkpoints", given["checkpoints"]),
            ("datapaths", datapaths),
        ):
            if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
                raise TypeError(f"{name} must be a list of pairs, got {brief(values[name])}")
        for name in ("check", "device"):
            if not isinstance(given[name], str):
                raise TypeError(f"{name} must be text, got {brief(given[name])}")
        return cls(**given)


def has_registers(cell: Cell) -> bool:
    """Whether a cell's attention is the datapath, with registers that the simulator has too."""
    spec = cell.spec
    return spec is not None and spec.arithmetic == "integer" and spec.scheme not in CONTROLS


def _check_list(name: str, values: Sequence[Any]) -> None:
    if not isinstance(values, tuple) or not values:
        raise ValueError(f"{name} must hold at least one, got {brief(values)}")
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{name} must name each once, got {brief(value)} twice")


def _as_json(value: Any) -> Any:
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(each) for each in value) if isinstance(value, list) else value
