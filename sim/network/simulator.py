"""The simulator of a network: a program on a batch of images, from pixels to logits, in numba."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_int
from ..heads import AttentionTrace, attention
from ..threads import Work, each_part, usable_processors
from .parameters import GateCodeParams, MeanParams, NormParams, StreamMeanParams, StreamNormParams
from .product import Product, product_of
from .program import (
    ActivationLinear,
    Attention,
    Block,
    CodeLinear,
    GatedMlp,
    GateLinear,
    Head,
    HeadLinear,
    Linear,
    Merging,
    Mlp,
    NormedLinear,
    PatchEmbedding,
    Program,
    ResidualLinear,
    Trace,
    Windows,
)
from .units.activation import activation_kernel
from .units.gate import gate_kernel
from .units.head import head_kernel
from .units.image_requantizer import image_requantizer_kernel
from .units.linear_requantizer import linear_requantizer_kernel
from .units.norm_requantizer import norm_requantizer_kernel, stream_norm_kernel
from .units.norm_sums import norm_sums_kernel
from .units.normalizer import normalizer_kernel
from .units.reciprocal_root import reciprocal_root_kernel
from .units.residual_adder import residual_adder_kernel
from .units.token_mean import mean_term_kernel, token_mean_kernel

#: Tokens that a thread takes at least, and values of theirs that it takes at most, from the product
#: to its codes while they are in cache.
_TILE, _CACHED = 64, 1 << 17
#: Of a batch: (images, tokens, channels).
Tokens = NDArray[Any]


@dataclass(frozen=True)
class Inference:
    """What a batch of images gave.

    Attributes:
        logits: (B, classes) int32.
        saturated: how many values of the residual stream saturated in each part that adds to it.
    """

    logits: NDArray[np.int32]
    saturated: dict[str, int]


class Simulator:
    """A program, its weights laid out for the kernels when they are first needed.

    Args:
        program: what the network loads.
        threads: worker threads, 1 to 256; None for one per usable processor.
    """

    def __init__(self, program: Program, threads: int | None = None) -> None:
        self.program = program
        self._workers = (
            usable_processors() if threads is None else check_int("threads", threads, 1, 256)
        )
        self._products: dict[str, Product] = {}

    def __call__(self, pixels: NDArray[Any], trace: Trace | None = None) -> Inference:
        """Return the logits of a batch of images.

        Args:
            pixels: (B, colours, lines, columns) unsigned integers of at most `pixel_bits`.
            trace: is handed the registers of every unit, in the order of the data.

        Raises:
            TypeError, ValueError: the pixels have the wrong type, shape or range.

        Bits: equal to `bitlog2.sim.network.walk.walk`, whatever batch and threads
        (tests/test_network_simulator.py). Source: SPEC.md, "The network".
        """
        pixels = np.ascontiguousarray(check_pixels(self.program, pixels))
        steps = _Simulation(self.program, trace, self._workers, self._products)
        x = steps.embedding(pixels, self.program.embedding)
        for place, step in enumerate(self.program.blocks, 1):
            x = steps.block(f"steps.{place}", step, x)
        logits = np.zeros((len(pixels), 1, self.program.classes), np.int32)
        for place, head in enumerate(self.program.heads, 1 + len(self.program.blocks)):
            logits = steps.head(f"steps.{place}", head, x, logits)
        logits = logits[:, 0]
        return Inference(logits, steps.saturated)


def infer(
    program: Program,
    pixels: NDArray[Any],
    *,
    trace: Trace | None = None,
    threads: int | None = None,
) -> Inference:
    """Return the logits of one batch of images, as a `Simulator` of the program does."""
    return Simulator(program, threads)(pixels, trace)


def check_pixels(program: Program, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of some images, as they are.

    Raises:
        TypeError, ValueError: they have another type, shape or range than the program takes.
    """
    values = np.asarray(pixels)
    if values.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels must be uint8 or uint16, got {values.dtype}")
    shape = program.image_shape
    if values.ndim != 4 or values.shape[1:] != shape or not values.size:
        raise ValueError(
            f"pixels must have shape (images, {', '.join(map(str, shape))}), got {values.shape}"
        )
    largest = (1 << program.network.pixel_bits) - 1
    if values.max() > largest:
        raise ValueError(f"pixels must be from 0 to {largest}, got {int(values.max())}")
    return values


def _loaded(*parameters: tuple[int, ...]) -> list[NDArray[np.int64]]:
    return [np.array(each, np.int64) for each in parameters]


@dataclass
class _Simulation:
    """A batch on its way; each method of a step or a layer gets the name of its part."""

    program: Program
    trace: Trace | None
    workers: int
    products: dict[str, Product]
    saturated: dict[str, int] = field(default_factory=dict)

    def note(self, part: str, unit: str, **registers: NDArray[Any]) -> None:
        if self.trace is not None:
            self.trace(part, unit, registers)

    def tiles(self, tokens: int, channels: int, work: Callable[[slice], None]) -> None:
        """Do the work for all tokens, so many channels each, a tile at a time on each thread."""
        size = max(_TILE, _CACHED // channels)

        def tile_by_tile(part: slice) -> None:
            for start in range(part.start, part.stop, size):
                work(slice(start, min(start + size, part.stop)))

        @contextmanager
        def prepare() -> Iterator[Work]:
            yield tile_by_tile

        each_part(tokens, self.workers, prepare, _TILE)

    # -- Steps

    def embedding(self, pixels: NDArray[Any], step: PatchEmbedding) -> Tokens:
        batch, colours, height, width = pixels.shape
        size, loaded = step.patch, step.image
        codes = np.empty(pixels.shape, np.uint8)
        each = _loaded(loaded.image_gain, loaded.image_offset, loaded.image_shift)
        top = (1 << self.program.network.outer_bits) - 1
        for image in range(batch):
            flat = (colours, height * width)
            image_requantizer_kernel(
                pixels[image].reshape(flat), *each, top, codes[image].reshape(flat)
            )
        self.note("steps.0.image", "image_requantizer", image_code=codes)
        grid = (batch, colours, height // size, size, width // size, size)
        patches = codes.reshape(grid).transpose(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(batch, len(step.positions), step.linear.inputs)
        x = self.added("steps.0.linear", step.linear, patches, step.positions)
        prefix = np.broadcast_to(step.prefix, (batch, *step.prefix.shape))
        x = np.concatenate([prefix, x], axis=1)
        return x if step.norm is None else self.stream_norm("steps.0.norm", step.norm, x)

    def block(self, name: str, step: Block, x: Tokens) -> Tokens:
        if isinstance(step, Attention):
            return self.attention(name, step, x)
        if isinstance(step, GatedMlp):
            return self.gated_mlp(name, step, x)
        return self.mlp(name, step, x) if isinstance(step, Mlp) else self.merging(name, step, x)

    def attention(self, name: str, step: Attention, x: Tokens) -> Tokens:
        codes = self.norm(f"{name}.norm", step.norm, x)
        q, k, v = (
            _heads(self.projected(f"{name}.{part}", made, step.heads, codes), step)
            for part, made in (("q", step.q), ("k", step.k), ("v", step.v))
        )
        groups = len(q)
        masked, bias = step.masked, step.bias
        if masked is not None and len(masked) > 1:
            masked = np.tile(masked.repeat(step.heads, axis=0), (len(x), 1, 1))
        if bias is not None and len(bias) > 1:
            bias = np.tile(bias, (groups // step.heads, 1, 1))
        traced = self.trace is not None
        found = attention(
            *(q, k, v, step.params, self.program.attention),
            masked=masked, bias=bias, trace=traced, threads=self.workers,
        )  # fmt: skip
        if isinstance(found, AttentionTrace):
            registers = {
                register: values.reshape(len(x), -1, *values.shape[1:])
                for register, values in vars(found).items()
                if values is not None
            }
            self.note(f"{name}.attention", "attention_row", **registers)
            found = found.o
        o = _tokens(found, step, x.shape[:2])
        return self.added(f"{name}.proj", step.proj, o, x)

    def projected(
        self, part: str, made: CodeLinear | NormedLinear, heads: int, codes: Tokens
    ) -> Tokens:
        if isinstance(made, CodeLinear):
            return self.codes(part, made, codes)
        nothing = np.zeros((1, made.outputs), np.int32)
        x = self.added(f"{part}.linear", made.linear, codes, nothing)
        by_head = x.reshape(len(x), -1, made.outputs // heads)
        return self.norm(f"{part}.norm", made.norm, by_head).reshape(x.shape)

    def mlp(self, name: str, step: Mlp, x: Tokens) -> Tokens:
        codes = self.norm(f"{name}.norm", step.norm, x)
        hidden = self.activated(f"{name}.fc1", step.fc1, codes)
        return self.added(f"{name}.fc2", step.fc2, hidden, x)

    def gated_mlp(self, name: str, step: GatedMlp, x: Tokens) -> Tokens:
        codes = self.norm(f"{name}.norm", step.norm, x)
        gate = self.gates(f"{name}.gate", step.gate, codes)
        nothing = np.zeros((1, step.value.outputs), np.int32)
        value = self.added(f"{name}.value", step.value, codes, nothing)
        hidden = self.multiplied(f"{name}.product", step.product, gate, value)
        return self.added(f"{name}.fc2", step.fc2, hidden, x)

    def merging(self, name: str, step: Merging, x: Tokens) -> Tokens:
        batch, tokens, channels = x.shape
        grid = (batch, step.height // 2, 2, step.width // 2, 2, channels)
        corners = x.reshape(grid).transpose(0, 1, 3, 4, 2, 5)
        merged = corners.reshape(batch, tokens // 4, 4 * channels)
        codes = self.norm(f"{name}.norm", step.norm, merged)
        nothing = np.zeros((1, step.reduction.outputs), np.int32)
        return self.added(f"{name}.reduction", step.reduction, codes, nothing)

    def head(self, name: str, step: Head, x: Tokens, before: Tokens) -> Tokens:
        mean, norm, part = step.mean, step.norm, f"{name}.mean"
        if isinstance(mean, MeanParams):
            codes = self.mean_of_norm(part, mean, x[:, step.first :])
        elif norm is not None:
            if mean is None:
                pooled = np.ascontiguousarray(x[:, step.first : step.first + 1])
            else:
                pooled = self.stream_mean(part, mean, x[:, step.first :])
            codes = self.norm(f"{name}.norm", norm, pooled)
        return self.logits(f"{name}.linear", step.linear, codes, before)

    # -- Linear layers

    def accumulators(
        self, part: str, linear: Linear, codes: Tokens, then: Callable[[slice, Tokens], None]
    ) -> None:
        """Take the product tile by tile, and do with each tile what comes `then`.

        Args:
            part: its name.
            linear: its weights.
            codes: (B, T, K) uint8.
            then: gets which tokens of all images a tile is, and its accumulators.
        """
        flat = codes.reshape(-1, linear.inputs)
        product = self.products.get(part)
        if product is None:
            product = self.products[part] = product_of(linear)
        kept = None if self.trace is None else np.empty((len(flat), linear.outputs), np.int32)

        def work(tile: slice) -> None:
            rows = flat[tile]
            acc = np.empty((len(rows), linear.outputs), np.int32) if kept is None else kept[tile]
            product(rows, acc)
            then(tile, acc)

        self.tiles(len(flat), linear.outputs, work)
        if kept is not None:
            acc = kept.reshape(*codes.shape[:2], -1)
            self.note(part, "linear_accumulator", linear_acc=acc)

    def codes(self, part: str, linear: CodeLinear, codes: Tokens) -> Tokens:
        p = linear.params
        loaded = _loaded(p.linear_multiplier, p.linear_shift)
        found = _like(codes, linear.outputs, np.uint8)
        flat = found.reshape(-1, linear.outputs)

        def requantize(tile: slice, acc: Tokens) -> None:
            linear_requantizer_kernel(acc, *loaded, p.linear_zero, (1 << p.y_bits) - 1, flat[tile])

        self.accumulators(part, linear, codes, requantize)
        self.note(part, "linear_requantizer", linear_code=found)
        return found

    def added(self, part: str, linear: ResidualLinear, codes: Tokens, x: NDArray[Any]) -> Tokens:
        """Return what is added to x, which is of every image, or of all."""
        p, config = linear.params, self.program.network
        loaded = _loaded(p.residual_multiplier, p.residual_shift)
        found = _like(codes, linear.outputs, np.int32)
        found[:] = x
        flat, counts = found.reshape(-1, linear.outputs), []

        def add(tile: slice, acc: Tokens) -> None:
            x = flat[tile]
            low, high = config.stream_min, config.stream_max
            counts.append(residual_adder_kernel(acc, *loaded, low, high, x))

        self.accumulators(part, linear, codes, add)
        self.saturated[part] = int(sum(counts))
        self.note(part, "residual_adder", residual=found)
        return found

    def activated(self, part: str, linear: ActivationLinear, codes: Tokens) -> Tokens:
        table = np.array(linear.params.table, np.uint8)
        u, found = self.looked_up(part, linear, table, codes)
        self.note(part, "activation", u=u, activation_code=found)
        return found

    def gates(self, part: str, linear: GateLinear, codes: Tokens) -> Tokens:
        table = np.array(linear.params.gate_table, np.int16)
        u, found = self.looked_up(part, linear, table, codes)
        self.note(part, "activation", u=u)
        self.note(part, "gate", gate=found)
        return found

    def looked_up(
        self, part: str, linear: ActivationLinear | GateLinear, table: NDArray[Any], codes: Tokens
    ) -> tuple[Tokens, Tokens]:
        """Return u, and its entries of a table."""
        p = linear.params
        loaded = _loaded(p.activation_multiplier, p.activation_shift)
        u, found = (_like(codes, linear.outputs, kind) for kind in (np.int16, table.dtype.type))
        inputs, flat = (each.reshape(-1, linear.outputs) for each in (u, found))

        def look_up(tile: slice, acc: Tokens) -> None:
            activation_kernel(acc, *loaded, table, inputs[tile], flat[tile])

        self.accumulators(part, linear, codes, look_up)
        return u, found

    def multiplied(self, part: str, p: GateCodeParams, gate: Tokens, x: Tokens) -> Tokens:
        loaded = _loaded((p.gate_multiplier, p.gate_shift, p.gate_zero, (1 << p.y_bits) - 1))[0]
        found = _like(x, x.shape[2], np.uint8)
        g, value, flat = (each.reshape(-1, x.shape[2]) for each in (gate, x, found))

        def multiply(tile: slice) -> None:
            gate_kernel(g[tile], value[tile], *loaded, flat[tile])

        self.tiles(len(flat), x.shape[2], multiply)
        self.note(part, "gate", gate_code=found)
        return found

    def logits(
        self, part: str, linear: HeadLinear, codes: Tokens, before: Tokens | None = None
    ) -> Tokens:
        loaded = _loaded(linear.params.head_multiplier, linear.params.head_shift)
        found = _like(codes, linear.outputs, np.int32)
        found[:] = 0 if before is None else before
        flat = found.reshape(-1, linear.outputs)

        def scale(tile: slice, acc: Tokens) -> None:
            head_kernel(acc, *loaded, flat[tile])

        self.accumulators(part, linear, codes, scale)
        self.note(part, "head", logit=found)
        return found

    # -- Norms and means

    def normalized(
        self, part: str, eps: int, x: Tokens, then: Callable[[slice, Tokens], None]
    ) -> None:
        """Normalize tile by tile, units 25 to 27, and do with z of each tile what comes `then`."""
        config, (batch, tokens, channels) = self.program.network, x.shape
        down = 2 * config.root_bits - 1 - config.z_fraction_bits
        flat, count = np.ascontiguousarray(x).reshape(-1, channels), batch * tokens
        sums = np.empty((3, count), np.int64)
        k, root, r = (np.empty(count, kind) for kind in (np.int8, np.int32, np.int32))
        kept = None if self.trace is None else np.empty((count, channels), np.int32)

        def work(tile: slice) -> None:
            rows = flat[tile]
            norm_sums_kernel(rows, eps, *sums[:, tile])
            reciprocal_root_kernel(sums[2, tile], config.root_bits, k[tile], root[tile], r[tile])
            z = np.empty(rows.shape, np.int32) if kept is None else kept[tile]
            normalizer_kernel(rows, sums[0, tile], k[tile], r[tile], down, z)
            then(tile, z)

        self.tiles(count, channels, work)
        if kept is not None:
            total, squares, variance = sums.reshape(3, batch, tokens)
            self.note(part, "norm_sums", stream_sum=total, square_sum=squares, variance=variance)
            k, root, r = (each.reshape(batch, tokens) for each in (k, root, r))
            self.note(part, "reciprocal_root", root_shift=k, root=root, reciprocal=r)
            distance = x.astype(np.int64)
            distance *= channels
            distance -= total[:, :, None]
            self.note(part, "normalizer", centred=distance, z=kept.reshape(x.shape))

    def norm(self, part: str, p: NormParams, x: Tokens) -> Tokens:
        loaded = _loaded(p.gain, p.offset, p.gain_shift)
        found = np.empty(x.shape, np.uint8)
        flat = found.reshape(-1, x.shape[2])

        def requantize(tile: slice, z: Tokens) -> None:
            norm_requantizer_kernel(z, *loaded, (1 << p.y_bits) - 1, flat[tile])

        self.normalized(part, p.norm_eps, x, requantize)
        self.note(part, "norm_requantizer", norm_code=found)
        return found

    def stream_norm(self, part: str, p: StreamNormParams, x: Tokens) -> Tokens:
        config, loaded = self.program.network, _loaded(p.gain, p.offset, p.gain_shift)
        found = np.empty(x.shape, np.int32)
        flat = found.reshape(-1, x.shape[2])

        def scale(tile: slice, z: Tokens) -> None:
            stream_norm_kernel(z, *loaded, config.stream_min, config.stream_max, flat[tile])

        self.normalized(part, p.norm_eps, x, scale)
        self.note(part, "norm_requantizer", stream_norm=found)
        return found

    def mean_of_norm(self, part: str, p: MeanParams, x: Tokens) -> Tokens:
        loaded = _loaded(p.mean_gain, p.mean_offset, p.mean_shift)
        high = (1 << (self.program.network.mean_bits - 1)) - 1
        terms = np.empty(x.shape, np.int32)
        flat = terms.reshape(-1, x.shape[2])

        def scale(tile: slice, z: Tokens) -> None:
            mean_term_kernel(z, *loaded, high, flat[tile])

        self.normalized(part, p.norm_eps, x, scale)
        total, found = self.means(p, terms, 0, (1 << p.y_bits) - 1)
        codes = found.astype(np.uint8)
        self.note(part, "token_mean", mean_term=terms, mean_sum=total, mean_code=codes)
        return codes

    def stream_mean(self, part: str, p: StreamMeanParams, x: Tokens) -> Tokens:
        config = self.program.network
        total, found = self.means(p, x, config.stream_min, config.stream_max)
        self.note(part, "token_mean", mean_sum=total, stream_mean=found)
        return found

    def means(
        self, p: MeanParams | StreamMeanParams, terms: Tokens, low: int, high: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return sum and mean over the tokens, (B, 1, C) each."""
        total, found = (
            _like(terms, terms.shape[2], kind)[:, :1].copy() for kind in (np.int64, np.int32)
        )
        for image in range(len(terms)):
            token_mean_kernel(
                np.ascontiguousarray(terms[image]), p.mean_multiplier, p.mean_scale_shift,
                low, high, total[image, 0], found[image, 0],
            )  # fmt: skip
        return total, found


def _like(tokens: Tokens, channels: int, kind: type) -> Tokens:
    """Return an array of as many tokens."""
    return np.empty((*tokens.shape[:2], channels), kind)


def _heads(codes: Tokens, step: Attention) -> NDArray[np.uint8]:
    """Return (groups, N, D): image by image, window by window, head by head."""
    batch, tokens, channels = codes.shape
    depth = channels // step.heads
    windows = step.windows
    if windows is not None:
        turned = np.roll(
            codes.reshape(batch, windows.height, windows.width, channels),
            (-windows.row_shift, -windows.column_shift), (1, 2),
        )  # fmt: skip
        parted = turned.reshape(batch, *_grid(windows), channels).transpose(0, 1, 3, 2, 4, 5)
        codes, tokens = parted.reshape(-1, windows.tokens, channels), windows.tokens
    split = codes.reshape(-1, tokens, step.heads, depth).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(split).reshape(-1, tokens, depth)


def _tokens(o: NDArray[np.uint8], step: Attention, size: tuple[int, ...]) -> Tokens:
    """Return (B, T, C) of what `_heads` brought into groups."""
    _, keys, depth = o.shape
    together = o.reshape(-1, step.heads, keys, depth).transpose(0, 2, 1, 3)
    channels, windows = step.heads * depth, step.windows
    if windows is None:
        return np.ascontiguousarray(together).reshape(*size, channels)
    lines, rows, across, columns = _grid(windows)
    parted = together.reshape(size[0], lines, across, rows, columns, channels)
    grid = parted.transpose(0, 1, 3, 2, 4, 5)
    turned = grid.reshape(size[0], windows.height, windows.width, channels)
    back = np.roll(turned, (windows.row_shift, windows.column_shift), (1, 2))
    return np.ascontiguousarray(back).reshape(*size, channels)


def _grid(windows: Windows) -> tuple[int, int, int, int]:
    """Return windows down, lines of one, windows across, columns of one."""
    down, across = windows.height // windows.rows, windows.width // windows.columns
    return down, windows.rows, across, windows.columns
