"""Cycles, images per second and memory of a model's attention on the reference RTL."""

from fractions import Fraction
from typing import Annotated, Any, NamedTuple

import torch
from msgspec import Meta
from torch import nn

from bitlog2.documents import Count, Document, Positive, parse
from bitlog2.golden.assurance.cost import CHOICES_TABLE, PLACED_TABLE, CostTable, PlaceTable
from bitlog2.golden.assurance.cost.measure import elaborated, row_cycles
from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.testbench import reference_files
from bitlog2.models.ptq.quantize import QuantizationSpec, uncalibrated
from bitlog2.models.ptq.supported import attentions
from bitlog2.models.zoo.architectures import build_zoo_model, data_config
from bitlog2.models.zoo.embedded import EMBEDDED
from bitlog2.names import canonical_model, zoo_model
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_int
from bitlog2.sim.network.datapath import NETWORK
from bitlog2.table import aligned

#: The module whose cycles are added up: scores and values of a row to its output codes.
ROW = "attention_row"
#: Clocks that may be asked for, MHz.
SLOWEST, FASTEST = 0.001, 100_000.0
#: Signs of the longest bar.
_BAR = 24


class Rows(NamedTuple):
    """What a layer of attention is given for an image.

    Attributes:
        layer: name of its module.
        windows: groups of tokens that attend among themselves: 1 but in Swin.
        heads: H.
        tokens: of a window: rows of a head, and keys of a row.
        head_dim: D.
    """

    layer: str
    windows: int
    heads: int
    tokens: int
    head_dim: int

    @property
    def rows(self) -> int:
        """Rows of all windows and heads."""
        return self.windows * self.heads * self.tokens


class LayerEstimate(Document, frozen=True, kw_only=True):
    """A layer of attention, for one image.

    Attributes:
        layer: name of its module.
        heads, head_dim: H and D.
        rows: rows of all windows and heads.
        keys: keys of a row.
        cycles: of all rows.
        map_bits: bits of all codes of its map, zero flags counted.
        code_bits: bits of all codes of q, k, v and o.
    """

    layer: str
    heads: Positive
    head_dim: Positive
    rows: Positive
    keys: Positive
    cycles: Annotated[float, Meta(gt=0)]
    map_bits: Positive
    code_bits: Positive


class StoredCost(Document, frozen=True, kw_only=True):
    """A row module of the same scheme and lanes in the tables that `golden cost` keeps.

    Attributes:
        technology: `generic` for two-input gates and inverters, or a family of FPGAs.
        head_dim, max_tokens: D and the largest N that it was built for.
        cells: gates and inverters, or LUTs.
        flip_flops: their number.
        mhz: clock, where it was placed.
    """

    technology: str
    head_dim: Positive
    max_tokens: Positive
    cells: Count
    flip_flops: Count
    mhz: float | None = None

    def line(self) -> list[str]:
        """Return the cells of the table."""
        counts = (self.max_tokens, self.cells, self.flip_flops)
        clock = "" if self.mhz is None else f"{self.mhz:g}"
        return [self.technology, str(self.head_dim), *(f"{n:,}" for n in counts), clock]


class Estimate(Document, frozen=True, kw_only=True):
    """Attention of a model, all layers and heads through one row module of the reference RTL.

    Attributes:
        model, scheme, a_bits: the model, its code of the map, bits of its codes.
        lanes, head_dim, mhz: LANES and HEAD_DIM of the module, and its clock.
        formula: cycles of a row, as the header of the module states them.
        layers: in the order in which they run.
        cycles: of an image.
        rows_per_second, images_per_second: at the clock.
        stored: what such a module was counted to take.
        not_counted: units whose time is in no figure here.
    """

    model: str
    scheme: str
    a_bits: Positive
    lanes: Positive
    head_dim: Positive
    mhz: Annotated[float, Meta(ge=SLOWEST, le=FASTEST)]
    formula: str
    layers: Annotated[tuple[LayerEstimate, ...], Meta(min_length=1)]
    cycles: Annotated[float, Meta(gt=0)]
    rows_per_second: Annotated[float, Meta(gt=0)]
    images_per_second: Annotated[float, Meta(gt=0)]
    stored: tuple[StoredCost, ...]
    not_counted: tuple[str, ...]

    @property
    def status(self) -> int:
        """0: nothing is compared."""
        return 0

    def lines(self) -> list[str]:
        """Return tables and the bars of the layers as text."""
        return [
            f"{self.model}, {self.scheme}, codes of {self.a_bits} bits: one {ROW} of LANES = "
            f"{self.lanes} and HEAD_DIM = {self.head_dim} at {self.mhz:g} MHz",
            f"cycles of a row: {self.formula}",
            "",
            *self._table(),
            "",
            f"image: {self.cycles:,.10g} cycles, {1e-3 * self.cycles / self.mhz:,.4g} ms",
            f"rates: {self.rows_per_second:,.0f} rows/s, {self.images_per_second:,.5g} images/s",
            *self._cost(),
            f"not counted: {', '.join(self.not_counted)}",
        ]

    def _table(self) -> list[str]:
        head = ("layer", "H", "D", "rows", "keys", "cycles", "%", "map KiB", "codes KiB", "")
        longest = max(each.cycles for each in self.layers)
        rows = [
            (
                each.layer,
                *map(str, (each.heads, each.head_dim)),
                *(f"{n:,}" for n in (each.rows, each.keys)),
                f"{each.cycles:,.10g}",
                f"{100 * each.cycles / self.cycles:.1f}",
                *(f"{bits / 8192:,.1f}" for bits in (each.map_bits, each.code_bits)),
                "#" * max(1, round(_BAR * each.cycles / longest)),
            )
            for each in self.layers
        ]
        return aligned([head, *rows], "<" + ">" * (len(head) - 2) + "<")

    def _cost(self) -> list[str]:
        """Return what the stored tables have of such a module, nothing between two of them."""
        lines = []
        if self.stored:
            head = ("stored", "D", "keys", "cells", "flip-flops", "MHz")
            rows = [each.line() for each in self.stored]
            note = f"{ROW} of {self.lanes} lanes; cells: gates and inverters (generic), else LUTs"
            lines += ["", note, *aligned([head, *rows], "<>>>>>"), ""]
        if not any(each.head_dim == self.head_dim for each in self.stored):
            options = f"--module {ROW} --scheme {self.scheme} --lanes {self.lanes}"
            command = f"bitlog2 golden cost --place {options} --head-dim {self.head_dim}"
            lines.append(f"not stored for D = {self.head_dim}: {command}")
        return lines


def attention_rows(model: nn.Module, image: torch.Tensor) -> list[Rows]:
    """Return what the attention layers of a network are given for an image, in their order.

    Args:
        model: a network that has a quantized form, in eval mode; left as it is.
        image: (1, C, H, W) float32.
    """
    found: list[Rows] = []

    def watched(name: str) -> Any:
        def enter(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            windows, tokens, _ = inputs[0].shape
            head_dim = module.qkv.out_features // (3 * module.num_heads)
            found.append(Rows(name, windows, module.num_heads, tokens, head_dim))

        return enter

    layers = {name: m for name, m in model.named_modules() if isinstance(m, attentions())}
    hooks = [m.register_forward_pre_hook(watched(name)) for name, m in layers.items()]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def estimate(
    model: str,
    scheme: str = "BitLog2_Half_17",
    *,
    a_bits: int = 4,
    lanes: int = 4,
    mhz: float = 100.0,
) -> Estimate:
    """Return how long the attention of a model takes, and what it keeps.

    Rows follow one another without a pause. The model needs no weights: its architecture is run
    once, on an empty image.

    Args:
        model: as `canonical_model` takes it.
        scheme: code of the map, one that the reference RTL has a form of.
        a_bits: bits of the codes of q, k, v and o, 2 to 8.
        lanes: keys per beat, 1 to 64.
        mhz: clock, `SLOWEST` to `FASTEST`.

    Raises:
        ValueError: an argument is out of range, or the model has no quantized form; names the
            layer.
        OSError: the folder or the hub does not have the model.
        ModuleNotFoundError: the extra [rtl] is not installed.
    """
    check_int("lanes", lanes, 1, 64)
    if not SLOWEST <= mhz <= FASTEST:
        raise ValueError(f"mhz must be from {SLOWEST:g} to {FASTEST:g}, got {mhz:g}")
    spec = QuantizationSpec(scheme, a_bits=a_bits)
    reference_files(spec.attention_config())
    name = canonical_model(model)
    network, size = _architecture(name)
    image = torch.zeros(1, *size)
    config = uncalibrated(network, image, spec)[1].attention_config()
    given = attention_rows(network, image)
    target = Target.of(config, max(each.head_dim for each in given))
    parameters = {"LANES": lanes, "HEAD_DIM": target.head_dim}
    values = elaborated(target, ROW, parameters).values
    taken = {
        keys: row_cycles(target, ROW, values, lanes, keys) for keys in {x.tokens for x in given}
    }
    cycles = [each.rows * taken[each.tokens][1] for each in given]
    total = sum(cycles, Fraction(0))
    layers = zip(given, cycles, strict=True)
    return Estimate(
        model=name,
        scheme=config.scheme,
        a_bits=a_bits,
        lanes=lanes,
        head_dim=target.head_dim,
        mhz=mhz,
        formula=taken[given[0].tokens][0],
        layers=tuple(_layer(each, float(spent), config) for each, spent in layers),
        cycles=float(total),
        rows_per_second=sum(each.rows for each in given) * mhz * 1e6 / float(total),
        images_per_second=mhz * 1e6 / float(total),
        stored=tuple(_stored(config.scheme, lanes)),
        not_counted=_not_counted(config),
    )


def _architecture(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a network without its weights, and the size of its images."""
    if name in EMBEDDED:
        own = EMBEDDED[name]
        return own.build().eval(), (1, own.image_size, own.image_size)
    return build_zoo_model(name), tuple(data_config(zoo_model(name))["input_size"])


def _layer(given: Rows, cycles: float, config: AttentionConfig) -> LayerEstimate:
    widths = config.q_bits + config.k_bits + config.v_bits + config.o_bits
    return LayerEstimate(
        layer=given.layer,
        heads=given.heads,
        head_dim=given.head_dim,
        rows=given.rows,
        keys=given.tokens,
        cycles=cycles,
        map_bits=given.rows * given.tokens * config.code.storage_bits,
        code_bits=given.rows * given.head_dim * widths,
    )


def _stored(scheme: str, lanes: int) -> list[StoredCost]:
    """Return the row modules of a scheme and lanes in the stored tables, each once."""
    counted = parse(CHOICES_TABLE.read_bytes(), CostTable, CHOICES_TABLE.name)
    placed = parse(PLACED_TABLE.read_bytes(), PlaceTable, PLACED_TABLE.name)
    found = [
        StoredCost(
            technology=technology,
            head_dim=each.parameters["HEAD_DIM"],
            max_tokens=each.config.max_tokens,
            cells=counts.cells,
            flip_flops=counts.flip_flops,
        )
        for choice in counted.choices
        for group in choice.groups
        for each in group.alternatives
        if (each.top, each.parameters.get("LANES")) == (ROW, lanes)
        and each.configuration.get("scheme", AttentionConfig().scheme) == scheme
        for technology, counts in each.counts.items()
    ]
    found += [
        StoredCost(
            technology=each.device,
            head_dim=each.head_dim,
            max_tokens=AttentionConfig(scheme).max_tokens,
            cells=each.cells.luts,
            flip_flops=each.cells.flip_flops,
            mhz=each.report.mhz,
        )
        for each in placed.placed
        if (each.module, each.scheme, each.lanes) == (ROW, scheme, lanes) and each.head_dim
    ]
    return list(dict.fromkeys(found))


def _not_counted(config: AttentionConfig) -> tuple[str, ...]:
    """Return the units that are not in the row: those in front of it, and around attention."""
    within = {maker for maker, _, _ in config.units[ROW].makes}
    in_front = [name for name in config.units if name not in within and name != ROW]
    return (*in_front, *NETWORK)
