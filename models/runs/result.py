"""The result of an evaluation, made of its request and its journals alone."""

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from scipy.stats import binomtest

from bitlog2.documents import Document, Exact, Percent, Positive, Sha256, matching, of
from bitlog2.names import ZOO, is_random, map_bits
from bitlog2.sim import AttentionConfig
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.datapath import NETWORK_REGISTERS

from ..images.data import ImageData
from ..images.labels import IMAGENET_CLASSES
from ..ptq.specification import DATAPATH_FIELDS, QuantizationSpec
from ..sealed import Sealed, read_sealed
from ..watch.digest import digest_of_digests
from ..watch.layer_statistics import LayerStatistics
from ..watch.registers import COMPARED, WATERMARKED, Counts
from ..watch.watermarks import (
    Mark,
    is_signed,
    join_marks,
    provided_bits,
)
from ..zoo.architectures import published
from .folder import BatchRecord, Inputs, Int64, RunFile, RunFolder
from .paired import Paired, holm, what_differs
from .request import Cell, EvaluationRequest

#: Mismatches of a cell that are kept in words.
_SHOWN = 5
#: Points by which the unquantized model may miss its published top-1.
_LARGEST_DEVIATION = 0.3
#: Images of the published accuracies.
_PUBLISHED_IMAGES = 50_000

Digest = Annotated[str, matching("([0-9a-f]{64})?")]


class Share(Document, frozen=True, kw_only=True):
    """Hits of a total, as a percentage with its Wilson 95 % interval.

    Source: Wilson (1927), score interval without continuity correction.
    """

    hits: Annotated[Exact, of("Number of hits.")]
    total: Annotated[Positive, of("Number of images.")]
    percent: Annotated[Percent, of("Hits in percent of the total.")]
    wilson95: Annotated[tuple[Percent, Percent], of("Both ends of the interval, percent.")]

    def __post_init__(self) -> None:
        if self.hits > self.total:
            raise ValueError(f"hits must be from 0 to {self.total}, the total, got {self.hits}")

    @classmethod
    def of(cls, hits: int, total: int) -> "Share":
        """Return the share of hits in a total of at least 1."""
        interval = binomtest(hits, total).proportion_ci(method="wilson")
        low = 0.0 if hits == 0 else 100.0 * float(interval.low)
        high = 100.0 if hits == total else 100.0 * float(interval.high)
        return cls(hits=hits, total=total, percent=100.0 * hits / total, wilson95=(low, high))


class CheckCounts(Document, frozen=True, kw_only=True):
    """Registers compared with the simulator."""

    mode: Annotated[
        str,
        matching("(sample(:[0-9]+)?|all)"),
        of("Share of the heads that is compared; in `integer` of the images."),
    ]
    compared: Annotated[Counts, of("Values compared, by register.")]
    mismatched: Annotated[Counts, of("Values that differ, by register.")]
    total_compared: Annotated[Exact, of("Values compared, of all registers.")]
    total_mismatched: Annotated[Exact, of("Values that differ, of all registers.")]
    passed: Annotated[bool, of("Whether every register was compared and none differed.")]
    first_mismatches: Annotated[tuple[str, ...], of("First mismatches in words.")]

    @classmethod
    def of(
        cls,
        mode: str,
        compared: Mapping[str, int],
        mismatched: Mapping[str, int],
        in_words: Iterable[str],
    ) -> "CheckCounts":
        """Return the counts by register of a check in that mode, with its first mismatches."""
        return cls(
            mode=mode,
            compared=dict(compared),
            mismatched=dict(mismatched),
            total_compared=sum(compared.values()),
            total_mismatched=sum(mismatched.values()),
            passed=bool(compared) and all(compared.values()) and not any(mismatched.values()),
            first_mismatches=tuple(in_words)[:_SHOWN],
        )


class MarkRecord(Document, frozen=True, kw_only=True):
    """Range of values that a register has held, and its bits."""

    smallest: Annotated[Int64, of("Smallest value.")]
    largest: Annotated[Int64, of("Largest value.")]
    values: Annotated[Exact, of("Number of values.")]
    saturated: Annotated[
        Exact | None, of("Values limited; null where the register cannot saturate.")
    ]
    bits_used: Annotated[Positive, of("Bits that these values take.")]
    bits_provided: Annotated[Positive, of("Bits of the register.")]

    @classmethod
    def of(cls, mark: Mark, register: str, config: AttentionConfig | NetworkConfig) -> "MarkRecord":
        """Return the mark of a register of that hardware."""
        return cls(
            **vars(mark),
            bits_used=mark.bits(signed=is_signed(register, config)),
            bits_provided=provided_bits(register, config),
        )


def _hardware_of(register: str, spec: QuantizationSpec) -> AttentionConfig | NetworkConfig:
    """Return the configuration that a register with watermarks is of."""
    return spec.network_config() if register in NETWORK_REGISTERS else spec.attention_config()


class Digests(Document, frozen=True, kw_only=True):
    """SHA-256 of the digests of all images: of their pixels, and of their attention registers.

    That of the logits is of their bytes.
    """

    pixels: Annotated[Digest, of("Of the images as the model gets them.")]
    registers: Annotated[Digest, of("Of the attention registers; empty where there are none.")]
    logits: Annotated[
        Digest,
        of(
            "Of the logits, int32, little endian, image after image, as `bitlog2 run` gives it; "
            "empty where they are no integers."
        ),
    ]


class CellResult(Document, frozen=True, kw_only=True):
    """A cell: a row of the table."""

    name: Annotated[str, of("Name within the evaluation.")]
    model: Annotated[str, of("Name of the model.")]
    quantization: Annotated[QuantizationSpec | None, of("Null for the unquantized model.")]
    seed: Annotated[int | None, of("Seed of the calibration; null for the unquantized model.")]
    map_bits: Annotated[
        int | None,
        of("Storage of one attention value, a zero flag counted; null for floats."),
    ]
    images: Annotated[Positive, of("Images that were read.")]
    skipped: Annotated[tuple[str, ...], of("Names of the images that could not be read.")]
    top1: Annotated[Share, of("Images whose label is the likeliest class.")]
    top5: Annotated[Share, of("Images whose label is among the five likeliest classes.")]
    agreement_with_unquantized: Annotated[
        Share | None,
        of("Images that get the unquantized model's class; null where that was not evaluated."),
    ]
    published_top1: Annotated[
        Percent | None, of("Published accuracy; null where none was published for such images.")
    ]
    warning: Annotated[
        str | None,
        of(
            "Why no figure of the model can be compared with a published one, or is an accuracy; "
            "stands in the model's first cell."
        ),
    ]
    digests: Annotated[Digests, of("Digests of pixels, registers and logits.")]
    check: Annotated[CheckCounts | None, of("Null where no register was compared.")]
    watermarks: Annotated[
        dict[str, dict[str, MarkRecord]] | None,
        of(
            "Ranges of the attention registers by layer, and of those around attention, all layers "
            "together, as `network`; null where none were collected."
        ),
    ]
    model_sha256: Annotated[Sha256, of("Of the model's tensors; in `integer` of the program.")]
    attention_map: Annotated[
        dict[str, LayerStatistics],
        of(
            "Statistics by layer, in `integer` of the calibrated model before it was lowered; "
            "empty where none were collected."
        ),
    ]
    layer_params: Annotated[
        dict[str, dict[str, int]],
        of(
            "Parameters of each attention datapath by layer, in `integer` by step of the program; "
            "empty without any."
        ),
    ]

    def __post_init__(self) -> None:
        spec = self.quantization
        stored = None if spec is None else map_bits(spec.scheme, spec.a_bits)
        if self.map_bits != stored:
            raise ValueError(
                f"map_bits must be {stored}, the bits of {self.scheme}, got {self.map_bits}"
            )
        for name in ("top1", "top5", "agreement_with_unquantized"):
            share = getattr(self, name)
            if share is not None and share.total != self.images:
                raise ValueError(
                    f"{name}.total must be {self.images}, the images of the cell, got {share.total}"
                )
        for layer, marks in (self.watermarks or {}).items():
            if odd := sorted(set(marks) - set(WATERMARKED)):
                raise ValueError(f"watermarks of {layer} must be of registers, got {odd[0]!r}")

    @property
    def scheme(self) -> str:
        """The scheme, or `unquantized`."""
        return "unquantized" if self.quantization is None else self.quantization.scheme

    @property
    def config(self) -> AttentionConfig:
        """Configuration of the hardware."""
        assert self.quantization is not None
        return self.quantization.attention_config()

    def is_signed(self, register: str) -> bool:
        """Whether a register of the hardware is two's complement."""
        assert self.quantization is not None
        return is_signed(register, _hardware_of(register, self.quantization))

    def overall_marks(self) -> dict[str, MarkRecord]:
        """Return the watermarks over all layers by register; empty where there are none."""
        total: dict[str, Mark] = {}
        for marks in (self.watermarks or {}).values():
            new = {n: Mark(m.smallest, m.largest, m.values, m.saturated) for n, m in marks.items()}
            join_marks(total, new)
        spec = self.quantization
        return {
            name: MarkRecord.of(total[name], name, _hardware_of(name, spec))
            for name in WATERMARKED
            if name in total and spec is not None
        }


class Comparison(Document, frozen=True, kw_only=True):
    """Two quantizations of a model that differ in the scheme alone, image by image."""

    model: Annotated[str, of("Name of the model.")]
    a: Annotated[QuantizationSpec | None, of("Null for the unquantized model.")]
    b: Annotated[QuantizationSpec, of("Another one.")]
    seeds: Annotated[Positive, of("Number of calibration seeds.")]
    top1: Annotated[Paired, of("Images whose label is the likeliest class.")]
    agreement: Annotated[
        Paired | None,
        of(
            "Images that get the unquantized model's class; null beside that model itself, and "
            "where it was not evaluated."
        ),
    ]

    @property
    def scheme_a(self) -> str:
        """The scheme of a, or `unquantized`."""
        return "unquantized" if self.a is None else self.a.scheme

    def measures(self) -> Iterator[tuple[str, Paired]]:
        """Yield the measures that there are, by name."""
        for name, paired in (("top-1", self.top1), ("agreement", self.agreement)):
            if paired is not None:
                yield name, paired

    @property
    def significant(self) -> bool:
        """Whether a measure differs significantly."""
        return any(paired.significant for _, paired in self.measures())


class Spread(Document, frozen=True, kw_only=True):
    """An accuracy over several calibration seeds, percent."""

    mean: Annotated[Percent, of("Mean.")]
    least: Annotated[Percent, of("Smallest value.")]
    most: Annotated[Percent, of("Largest value.")]
    deviation: Annotated[Percent, of("Standard deviation of a sample.")]
    seeds: Annotated[int, Meta(ge=2, description="Number of seeds.")]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least two values."""
        return cls(
            mean=statistics.fmean(values),
            least=min(values),
            most=max(values),
            deviation=statistics.stdev(values),
            seeds=len(values),
        )


class SchemeSpread(Document, frozen=True, kw_only=True):
    """Top-1 and agreement of a quantization over its seeds."""

    model: Annotated[str, of("Name of the model.")]
    quantization: Annotated[QuantizationSpec, of("The same for all seeds.")]
    top1: Annotated[Spread, of("Spread of the accuracy.")]
    agreement: Annotated[
        Spread | None, of("Spread of the agreement with the unquantized model; null without it.")
    ]


class Result(Sealed, frozen=True, kw_only=True):
    """The same bytes on every resumption: nothing but `timings` depends on time."""

    format: Annotated[Literal["bitlog2-result-6"], of("Kind and version of the document.")] = (
        "bitlog2-result-6"
    )
    request: Annotated[EvaluationRequest, of("What was evaluated, and how.")]
    versions: Annotated[
        dict[str, str], of("Versions of the packages that the evaluation began with.")
    ]
    data: Annotated[
        dict[str, tuple[str, ...]],
        of("Remarks on the images of a model."),
    ]
    cells: Annotated[
        tuple[CellResult, ...], Meta(min_length=1, description="In the order of the request.")
    ]
    comparisons: Annotated[
        tuple[Comparison, ...], of("Quantizations that differ in the scheme alone, in pairs.")
    ]
    spread: Annotated[
        tuple[SchemeSpread, ...], of("Quantizations that were calibrated with several seeds.")
    ]
    timings: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        of("Images per second by cell; empty in the folder of a run."),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bitlog2", "specification", "torch"):
            if name not in self.versions:
                raise ValueError(f"versions must name {name}")
        asked = [(cell.name, cell.model, cell.spec, cell.seed) for cell in self.request.cells()]
        found = [(cell.name, cell.model, cell.quantization, cell.seed) for cell in self.cells]
        if found != asked:
            raise ValueError("cells must be those that were asked for, in their order")

    @property
    def run_digest(self) -> str:
        """The digest of the run that it is of."""
        return RunFile(request=self.request, versions=self.versions).digest

    @property
    def passed(self) -> bool:
        """Whether every register that was to be compared was, and none differed."""
        return all(cell.check is None or cell.check.passed for cell in self.cells)

    @property
    def warnings(self) -> list[str]:
        """Why the figures of a model are not to be taken as they stand, model by model."""
        return [f"{cell.model}: {cell.warning}" for cell in self.cells if cell.warning]


def read_result(run: Path) -> Result:
    """Return the result of a finished run.

    Args:
        run: its folder, or the result's file.

    Raises:
        ValueError: there is none yet, or it was edited, or its cells are not those of its request.
    """
    path = run / "result.json" if run.is_dir() else run
    if not path.is_file():
        raise ValueError(f"run must be finished, got {run} without result.json")
    found = read_sealed(path, Result)
    if run.is_dir() and RunFolder.is_there(run) and found.run_digest != RunFolder.open(run).digest:
        raise ValueError(f"{path} must be the result of the run in its folder, got another's")
    return found


class CellAnswers:
    """The classes that a cell's model gave every image, from its journals.

    Attributes:
        numbers, labels, top1: (n,) int64, in the order of the images.
        hits5: number of labels among the first five classes.
        pixels, registers, logits: digests, image by image; none where none were taken.
        records: batch by batch.
    """

    def __init__(self, folder: RunFolder, cell: Cell) -> None:
        self.cell, self.records = cell, list(folder.records(cell).values())
        self.numbers, self.labels, self.top1 = (
            np.array([value for record in self.records for value in getattr(record, which)], "i8")
            for which in ("numbers", "labels", "top1")
        )
        self.hits5 = sum(sum(record.hits5) for record in self.records)
        self.pixels, self.registers, self.logits = (
            [digest for record in self.records for digest in getattr(record, which)]
            for which in ("pixels", "registers", "logits")
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the most likely class is the label."""
        hits: NDArray[np.bool_] = self.top1 == self.labels
        return hits


def build_result(folder: RunFolder) -> Result:
    """Return the result of a run whose cells are finished.

    Raises:
        ValueError: a journal is damaged, or cells saw different images.
        OSError: a file of the run cannot be read.
    """
    request = folder.request
    cells: list[CellResult] = []
    comparisons: list[Comparison] = []
    data: dict[str, tuple[str, ...]] = {}
    for model in request.models:
        answers = [CellAnswers(folder, cell) for cell in request.cells_of(model)]
        inputs = folder.inputs(model)
        data |= {model: inputs.notes} if inputs is not None and inputs.notes else {}
        cells += [cell_result(folder, each, answers[0]) for each in answers]
        comparisons += _comparisons(answers)
    return Result(
        request=request,
        versions=folder.versions,
        data=data,
        cells=tuple(cells),
        comparisons=tuple(comparisons),
        spread=tuple(_spreads(cells)),
    )


def cell_result(folder: RunFolder, answers: CellAnswers, first: CellAnswers) -> CellResult:
    """Return a cell's part of the result; `first` are the answers of its model's first cell.

    Raises:
        ValueError: as `build_result`, or no image could be read.
    """
    cell, spec, total = answers.cell, answers.cell.spec, len(answers.numbers)
    if total == 0:
        raise ValueError("data must hold at least one image that can be read")
    if [r.seen for r in answers.records] != [r.seen for r in first.records]:
        raise ValueError(
            f"cells of a model must see the same images: {cell.name} and {first.cell.name} do not"
        )
    about, inputs = folder.cell_file(cell), folder.inputs(cell.model)
    assert about is not None
    assert inputs is not None
    comparable = is_comparable(cell.model, inputs)
    top1, agreement = Share.of(int(answers.right.sum()), total), None
    if spec is not None and first.cell.spec is None:
        agreement = Share.of(int((answers.top1 == first.top1).sum()), total)
    return CellResult(
        name=cell.name,
        model=cell.model,
        quantization=spec,
        seed=cell.seed,
        map_bits=None if spec is None else map_bits(spec.scheme, spec.a_bits),
        images=total,
        skipped=tuple(name for record in answers.records for name in record.skipped),
        top1=top1,
        top5=Share.of(answers.hits5, total),
        agreement_with_unquantized=agreement,
        published_top1=_published(cell) if comparable else None,
        warning=_warning(cell, top1, folder, comparable) if answers is first else None,
        digests=Digests(
            pixels=digest_of_digests(answers.pixels),
            registers=digest_of_digests(answers.registers),
            logits=folder.logits_digest(cell),
        ),
        check=_check(folder, answers),
        watermarks=_watermarks(answers),
        model_sha256=about.model,
        attention_map=about.layers,
        layer_params=about.layer_params,
    )


def is_comparable(model: str, data: ImageData | Inputs) -> bool:
    """Whether published accuracies of a model are of such images: of every class of ImageNet."""
    return model in ZOO and data.classes == IMAGENET_CLASSES and data.complete


def _published(cell: Cell) -> float | None:
    if cell.spec is None:
        return ZOO[cell.model].published_top1
    if (cell.spec.w_bits, cell.spec.a_bits) != (4, 4):
        return None
    found = published(cell.spec.scheme, cell.model)
    return None if found is None else found[0]


#: Why an accuracy is none.
RANDOM_WEIGHTS = "its weights are random (pretrained=False): no figure here is an accuracy"


def _warning(cell: Cell, top1: Share, folder: RunFolder, comparable: bool) -> str | None:
    if is_random(cell.model):
        return RANDOM_WEIGHTS
    if not comparable:
        return None
    reached = top1.percent if cell.spec is None else None
    limit = folder.request.limit
    return not_comparable(ZOO[cell.model].published_top1, reached, top1.total, limit)


def not_comparable(
    published: float | None, reached: float | None, images: int, limit: int | None
) -> str | None:
    """Return why no figure can be compared with a published one; None where there is no reason.

    Args:
        published: top-1 of the unquantized model, percent; None where nothing was published.
        reached: top-1 of it here; None where it was not evaluated.
        images: number of evaluated images.
        limit: most images of the request; None for all.
    """
    if published is None:
        return None
    if reached is None:
        why = "the unquantized model was not evaluated: data, weights or preprocessing may differ"
    elif limit is not None and images < _PUBLISHED_IMAGES:
        why = f"published are figures of {_PUBLISHED_IMAGES:,} images, these are of {images:,}"
    elif abs(reached - published) > _LARGEST_DEVIATION:
        why = (
            f"the unquantized model reaches {reached:.2f} % top-1, published are "
            f"{published:.2f} %: data, weights or preprocessing differ"
        )
    else:
        return None
    return f"{why}, so that no figure here can be compared with a published one"


def _check(folder: RunFolder, answers: CellAnswers) -> CheckCounts | None:
    mode = folder.request.check_of(answers.cell)
    if mode == "none":
        return None
    compared, mismatched = (
        _summed([getattr(record, which) for record in answers.records])
        for which in ("compared", "mismatched")
    )
    in_words = (text for record in answers.records for text in record.mismatches)
    return CheckCounts.of(mode, compared, mismatched, in_words)


def _summed(counts: list[dict[str, int]]) -> dict[str, int]:
    seen = [name for name in COMPARED if any(name in count for count in counts)]
    return {name: sum(count.get(name, 0) for count in counts) for name in seen}


def _watermarks(answers: CellAnswers) -> dict[str, dict[str, MarkRecord]] | None:
    spec, marks = answers.cell.spec, _joined_marks(answers.records)
    if spec is None or not marks:
        return None
    return {
        layer: {
            name: MarkRecord.of(mark, name, _hardware_of(name, spec)) for name, mark in held.items()
        }
        for layer, held in marks.items()
    }


def _joined_marks(records: list[BatchRecord]) -> dict[str, dict[str, Mark]]:
    marks: dict[str, dict[str, Mark]] = {}
    for record in records:
        for layer, by_register in record.watermarks.items():
            new = {name: Mark(*values) for name, values in by_register.items()}
            join_marks(marks.setdefault(layer, {}), new)
    return marks


def _comparisons(answers: list[CellAnswers]) -> list[Comparison]:
    """Return the paired comparisons of a model's quantizations that differ in the scheme alone.

    Each is over all seeds; `holm` is corrected for all pairs of the same arithmetic and bits.
    """
    first = answers[0] if answers[0].cell.spec is None else None
    by_spec: dict[QuantizationSpec, list[CellAnswers]] = {}
    for each in answers:
        if each.cell.spec is not None:
            by_spec.setdefault(each.cell.spec, []).append(each)
    families: dict[tuple[Any, ...], list[QuantizationSpec]] = {}
    for spec in by_spec:
        families.setdefault(spec.beside_scheme, []).append(spec)
    found: list[Comparison] = []
    for specs in families.values():
        unquantized = [] if first is None else [(None, spec) for spec in specs]
        pairs = [
            _comparison(first, None if a is None else by_spec[a], by_spec[b])
            for a, b in (*unquantized, *combinations(specs, 2))
        ]
        found += _corrected(pairs)
    return found


def _comparison(
    first: CellAnswers | None, a: list[CellAnswers] | None, b: list[CellAnswers]
) -> Comparison:
    """Return the comparison of two quantizations' answers, a list by seed; None is `first`."""
    if a is None:
        assert first is not None
        a = [first] * len(b)
    labels, agreement = b[0].labels, None
    tops = [np.stack([each.top1 for each in answers]) for answers in (a, b)]
    if first is not None and a[0] is not first:
        agreement = Paired.of_differences(*(top == first.top1 for top in tops))
    spec = b[0].cell.spec
    assert spec is not None
    return Comparison(
        model=b[0].cell.model,
        a=a[0].cell.spec,
        b=spec,
        seeds=len(b),
        top1=Paired.of_differences(*(top == labels for top in tops)),
        agreement=agreement,
    )


def _corrected(pairs: list[Comparison]) -> list[Comparison]:
    """Return a family of comparisons, both measures corrected by Holm."""
    for measure in ("top1", "agreement"):
        known = [n for n, each in enumerate(pairs) if getattr(each, measure) is not None]
        corrected = holm([getattr(pairs[n], measure).p for n in known])
        for n, value in zip(known, corrected, strict=True):
            one = msgspec.structs.replace(getattr(pairs[n], measure), holm=value)
            pairs[n] = msgspec.structs.replace(pairs[n], **{measure: one})
    return pairs


def by_quantization(
    cells: Iterable[CellResult],
) -> dict[tuple[str, QuantizationSpec | None], list[CellResult]]:
    """Return the cells of each model and quantization, one per seed, in their order."""
    groups: dict[tuple[str, QuantizationSpec | None], list[CellResult]] = {}
    for cell in cells:
        groups.setdefault((cell.model, cell.quantization), []).append(cell)
    return groups


def _spreads(cells: list[CellResult]) -> list[SchemeSpread]:
    """Return the spread over the seeds of each model and quantization, where there are several."""
    spreads = []
    for (model, how), members in by_quantization(cells).items():
        if how is not None and len(members) > 1:
            agreeing = [each.agreement_with_unquantized for each in members]
            known = [share.percent for share in agreeing if share is not None]
            spreads.append(
                SchemeSpread(
                    model=model,
                    quantization=how,
                    top1=Spread.of([each.top1.percent for each in members]),
                    agreement=Spread.of(known) if known else None,
                )
            )
    return spreads


def significance(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a sentence for each model, arithmetic, bits and measure: which schemes differ.

    Significant are pairs with p below 5 % after Holm's correction.
    """
    families: dict[str, list[tuple[str, str, Paired]]] = {}
    for pair in comparisons:
        for measure, paired in pair.measures():
            title = f"{pair.model}, {pair.b.arithmetic}, {pair.b.form}"
            title += f", {pair.seeds} seeds" * (pair.seeds > 1)
            known = families.setdefault(f"{title}, {measure}", [])
            known.append((pair.scheme_a, pair.b.scheme, paired))
    return [f"{title}: {what_differs(known)}" for title, known in families.items()]


#: Heads of the table of paired comparisons as CSV.
_PAIR_COLUMNS = (
    *("model", "arithmetic", "w_bits", "a_bits", "calibration", "seeds", "measure", "a", "b"),
    *("only_a", "only_b", "difference", "detectable", "p", "holm"),
)


def pairs_table(results: Sequence[Result]) -> str:
    """Return every paired comparison of finished runs as CSV, a line for each measure."""
    lines = [",".join(_PAIR_COLUMNS)]
    for pair in (pair for result in results for pair in result.comparisons):
        spec = pair.b
        how = (spec.arithmetic, spec.w_bits, spec.a_bits, spec.calibration, pair.seeds)
        for measure, x in pair.measures():
            points = (f"{x.difference:.3f}", f"{x.detectable:.3f}", f"{x.p:.3g}", f"{x.holm:.3g}")
            names = (measure, pair.scheme_a, spec.scheme)
            row = (pair.model, *how, *names, x.only_a, x.only_b, *points)
            lines.append(csv_line(row))
    return "\n".join([*lines, ""])


#: Heads of the table of runs as CSV.
_COLUMNS = (
    *("model", "scheme", "arithmetic", "w_bits", "a_bits", "calibration", "seed", "images", "top1"),
    *("agrees_unquantized", "agrees_attention"),
)


def csv_table(folders: Sequence[RunFolder]) -> str:
    """Return every quantized cell of finished runs as CSV, percentages with two digits.

    Beside top-1 stand the images with the class of the unquantized model, and of the same
    quantization in the arithmetic `attention`; empty where its run has no such cell.
    """
    lines = [",".join(_COLUMNS)]
    for folder in folders:
        answers = {cell: CellAnswers(folder, cell) for cell in folder.request.cells()}
        known = {_form(cell): found.top1 for cell, found in answers.items()}
        for cell, found in answers.items():
            if cell.spec is None:
                continue
            spec, form = cell.spec, _form(cell)
            agreeing = [
                _percent(found.top1 == known[each]) if each in known else ""
                for each in (_form(Cell(cell.model)), (*form[:-1], "attention"))
            ]
            how = (spec.scheme, spec.arithmetic, spec.w_bits, spec.a_bits, spec.calibration)
            shares = (_percent(found.right), *agreeing)
            row = (cell.model, *how, cell.seed, len(found.top1), *shares)
            lines.append(csv_line(row))
    return "\n".join([*lines, ""])


def csv_line(values: Iterable[Any]) -> str:
    """Return a line of CSV; a value with a comma, as the name of a model with keys, is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _form(cell: Cell) -> tuple[Any, ...]:
    """Return what a cell is of, its arithmetic last."""
    spec = cell.spec
    if spec is None:
        return (cell.model, None)
    hardware = tuple(spec.hardware(DATAPATH_FIELDS).items())
    widths = (spec.w_bits, spec.a_bits)
    how = (spec.scheme, *widths, spec.calibration, hardware)
    return (cell.model, cell.seed, *how, spec.arithmetic)


def _percent(hits: NDArray[np.bool_]) -> str:
    return f"{100 * hits.mean():.2f}"
