"""A program: what a network loads, in integers alone, and the steps that its data passes.

pixels (colour, line, column) -> PatchEmbedding -> stream (T, C)
  -> Attention, Mlp, Merging -> stream -> ... -> Head -> logits

Every step is checked against the configuration, and against the stream that the step in front of it
leaves, so that a program that exists can be run. Arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_int
from ..config import AttentionConfig, LayerParams
from .config import NetworkConfig
from .parameters import (
    ActivationParams,
    CodeParams,
    GateCodeParams,
    GateParams,
    HeadParams,
    ImageParams,
    MeanParams,
    NormParams,
    ProductParams,
    ResidualParams,
    StreamMeanParams,
    StreamNormParams,
)

#: The longest side of an image or of a grid of tokens.
LARGEST_SIDE = 1 << 16


class Stream(NamedTuple):
    """The size of the residual stream between two steps."""

    tokens: int
    channels: int


@contextmanager
def within(name: str) -> Iterator[None]:
    """Let a refusal name the part of a program that it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def _integers(name: str, array: ArrayLike, axes: int, *kinds: type) -> NDArray:
    """Return a read-only view of an array, in one piece.

    Raises:
        TypeError, ValueError: its dtype is none of `kinds`, or it has another number of axes.
    """
    values = np.ascontiguousarray(array)
    if values.dtype not in kinds:
        legal = " or ".join(np.dtype(kind).name for kind in kinds)
        raise TypeError(f"{name} must be {legal}, got {values.dtype}")
    if values.ndim != axes:
        raise ValueError(f"{name} must have {axes} axes, got shape {values.shape}")
    view = values.view()
    view.flags.writeable = False
    return view


def _check_shape(name: str, array: NDArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def _check_range(name: str, array: NDArray, low: int, high: int) -> None:
    for value in (int(array.min()), int(array.max())) if array.size else ():
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {value}")


# -- Linear layers ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Linear:
    """Unit 22 of a layer.

    Attributes:
        weights: (O, K) int8 or int16, weight codes less the zero point of their channel.
        product: zx, B.
    """

    weights: NDArray
    product: ProductParams

    def __post_init__(self) -> None:
        weights = _integers("weights", self.weights, 2, np.int8, np.int16)
        object.__setattr__(self, "weights", weights)
        if not weights.size:
            raise ValueError(f"weights must not be empty, got shape {weights.shape}")

    @property
    def inputs(self) -> int:
        """K."""
        return int(self.weights.shape[1])

    @property
    def outputs(self) -> int:
        """O."""
        return int(self.weights.shape[0])

    def check(self, config: NetworkConfig, size: tuple[int, int], code: int, weight: int) -> None:
        """Refuse what the hardware cannot hold.

        Args:
            config: the hardware.
            size: (O, K) that the layer must have.
            code: the largest input code.
            weight: the largest magnitude of a weight.

        Raises:
            ValueError: it does not hold that.
        """
        _check_shape("weights", self.weights, size)
        check_int("inputs K", self.inputs, 1, config.max_inputs)
        _check_range("weights", self.weights, -weight, weight)
        self.product.check(config, self.outputs)
        check_int("zx", self.product.zx, 0, code)


@dataclass(frozen=True, eq=False)
class CodeLinear(Linear):
    """Units 22 and 23."""

    params: CodeParams


@dataclass(frozen=True, eq=False)
class ResidualLinear(Linear):
    """Units 22 and 24."""

    params: ResidualParams


@dataclass(frozen=True, eq=False)
class NormedLinear:
    """Units 22 and 24, then 25 to 28 head by head: q or k with a layer norm of a head's channels.

    Attributes:
        linear: what is added to is 0: a stream of its own, whose LSB may be another.
        norm: of the D channels of a head, the same for each.
    """

    linear: ResidualLinear
    norm: NormParams

    @property
    def outputs(self) -> int:
        """H * D."""
        return self.linear.outputs


@dataclass(frozen=True, eq=False)
class ActivationLinear(Linear):
    """Units 22 and 29."""

    params: ActivationParams


@dataclass(frozen=True, eq=False)
class GateLinear(Linear):
    """Units 22 and 29, and T of 32."""

    params: GateParams


@dataclass(frozen=True, eq=False)
class HeadLinear(Linear):
    """Units 22 and 31."""

    params: HeadParams


def _check_inner(
    name: str,
    linear: CodeLinear | ResidualLinear | ActivationLinear | GateLinear,
    config: NetworkConfig,
    size: tuple[int, int],
    code_bits: int,
) -> None:
    """Check a layer whose input codes have so many bits, at most a_bits."""
    with within(name):
        linear.check(config, size, (1 << code_bits) - 1, (1 << config.w_bits) - 1)
        linear.params.check(config, linear.outputs)


def _check_outer(
    linear: Linear, config: NetworkConfig, size: tuple[int, int], code_bits: int
) -> None:
    """Check the patch embedding or the head, whose widths are the outer ones, or those within."""
    code = (1 << code_bits) - 1
    largest = min((1 << config.weight_bits) - 1, config.largest_term // code)
    linear.check(config, size, code, largest)


def _check_norm(norm: NormParams, config: NetworkConfig, channels: int) -> None:
    """Check a norm in front of a layer within, whose codes have at most a_bits."""
    with within("norm"):
        norm.check(config, channels)
        check_int("y_bits", norm.y_bits, 2, config.a_bits)


def _check_channels(config: NetworkConfig, channels: int) -> None:
    check_int("channels", channels, 1, config.max_channels)


# -- Steps -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PatchEmbedding:
    """Units 21, 22 and 24: an image as tokens; where it has a norm, units 25 to 28 of the stream.

    Inputs of a patch are in the order colour, line, column. In front of its tokens come those of
    `prefix` (class token, registers); a norm is of all of them.

    Attributes:
        height, width: lines and columns of an image.
        patch: lines and columns of a patch.
        image: per colour.
        linear: (C, colours * patch**2); what is added to is `positions`.
        positions: (patches, C) int32, of the stream; 0 without position embedding.
        prefix: (P, C) int32, of the stream, their own positions included; P may be 0.
        norm: of the stream, or None.
    """

    height: int
    width: int
    patch: int
    image: ImageParams
    linear: ResidualLinear
    positions: NDArray
    prefix: NDArray
    norm: StreamNormParams | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width", "patch"):
            check_int(name, getattr(self, name), 1, LARGEST_SIDE)
        for name in ("positions", "prefix"):
            object.__setattr__(self, name, _integers(name, getattr(self, name), 2, np.int32))

    @property
    def colours(self) -> int:
        """Colour channels of an image."""
        return len(self.image.image_gain)

    def check(self, config: NetworkConfig) -> Stream:
        """Return the size of the stream that it makes.

        Raises:
            ValueError: the hardware cannot hold it.
        """
        channels = self.linear.outputs
        _check_channels(config, channels)
        if self.height % self.patch or self.width % self.patch:
            raise ValueError(
                f"height and width must be multiples of patch = {self.patch}, "
                f"got {self.height} and {self.width}"
            )
        with within("image"):
            self.image.check(config, self.colours)
        size = channels, self.colours * self.patch * self.patch
        with within("linear"):
            _check_outer(self.linear, config, size, config.outer_bits)
            self.linear.params.check(config, channels)
        patches = (self.height // self.patch) * (self.width // self.patch)
        _check_shape("positions", self.positions, (patches, channels))
        _check_shape("prefix", self.prefix, (len(self.prefix), channels))
        for name in ("positions", "prefix"):
            _check_range(name, getattr(self, name), config.stream_min, config.stream_max)
        if self.norm is not None:
            with within("norm"):
                self.norm.check(config, channels)
        return Stream(patches + len(self.prefix), channels)


@dataclass(frozen=True)
class Windows:
    """Windows of a grid of tokens, which are numbered line by line.

    The grid is turned by the shifts first: what stands in line y and column x is the token of line
    `(y + row_shift) % height` and column `(x + column_shift) % width`. Windows are numbered line by
    line, and so are the tokens of one.

    Attributes:
        height, width: of the grid.
        rows, columns: of a window; height and width are multiples.
        row_shift, column_shift: 0 where nothing is turned.
    """

    height: int
    width: int
    rows: int
    columns: int
    row_shift: int = 0
    column_shift: int = 0

    def __post_init__(self) -> None:
        for side, part, shift in (
            ("height", "rows", "row_shift"),
            ("width", "columns", "column_shift"),
        ):
            length = check_int(side, getattr(self, side), 1, LARGEST_SIDE)
            size = check_int(f"{part} of a window", getattr(self, part), 1, length)
            if length % size:
                raise ValueError(f"{part} of a window must divide {side} = {length}, got {size}")
            check_int(shift, getattr(self, shift), 0, length - 1)

    @property
    def count(self) -> int:
        """How many windows there are."""
        return (self.height // self.rows) * (self.width // self.columns)

    @property
    def tokens(self) -> int:
        """Tokens of a window."""
        return self.rows * self.columns


@dataclass(frozen=True, eq=False)
class Attention:
    """Units 25 to 28, 22 and 23, attention, 22 and 24.

    Heads are side by side in the outputs of q, k and v, and in the inputs of proj. In place of unit
    23, q and k may have a norm: units 24 and 25 to 28.

    Attributes:
        norm: in front.
        q, k, v: their outputs are multiples of `heads`.
        heads: H.
        params: of attention.
        proj: added to the stream; its factor holds a layer scale.
        bias: (H, N, N) int32 score biases, the same in every window, or None.
        masked: (windows, N, N) bool, True for a key that takes no part, or None. Without windows
            there is one.
        windows: which tokens see one another; None for all.
    """

    norm: NormParams
    q: CodeLinear | NormedLinear
    k: CodeLinear | NormedLinear
    v: CodeLinear
    heads: int
    params: LayerParams
    proj: ResidualLinear
    bias: NDArray | None = None
    masked: NDArray | None = None
    windows: Windows | None = None

    def __post_init__(self) -> None:
        check_int("heads", self.heads, 1, 1 << 16)
        for name, kind in (("bias", np.int32), ("masked", np.bool_)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _integers(name, getattr(self, name), 3, kind))

    @property
    def is_normed(self) -> bool:
        """Whether q or k has a norm."""
        return isinstance(self.q, NormedLinear) or isinstance(self.k, NormedLinear)

    def check(self, config: NetworkConfig, attention: AttentionConfig, stream: Stream) -> Stream:
        """Return the size of the stream behind it, that of the one in front.

        Raises:
            ValueError: the hardware cannot hold it, or it is not of such a stream.
        """
        channels = stream.channels
        _check_norm(self.norm, config, channels)
        for name in ("q", "k", "v"):
            made: CodeLinear | NormedLinear = getattr(self, name)
            linear: CodeLinear | ResidualLinear
            last: CodeParams | NormParams
            if isinstance(made, NormedLinear):
                linear, last = made.linear, made.norm
            else:
                linear, last = made, made.params
            _check_inner(name, linear, config, (made.outputs, channels), self.norm.y_bits)
            bits = getattr(attention, f"{name}_bits")
            if last.y_bits != bits:
                raise ValueError(
                    f"{name}: y_bits must be {bits}, those of attention, got {last.y_bits}"
                )
            if made.outputs % self.heads:
                raise ValueError(
                    f"{name}: outputs must be a multiple of {self.heads} heads, got {made.outputs}"
                )
            if isinstance(last, NormParams):
                with within(f"{name}: norm"):
                    last.check(config, made.outputs // self.heads)
        if self.k.outputs != self.q.outputs:
            raise ValueError(
                f"k: outputs must be {self.q.outputs}, those of q, got {self.k.outputs}"
            )
        check_int("head dimension D", self.q.outputs // self.heads, 1, attention.max_head_dim)
        with within("params"):
            attention.check_params(self.params)
        check_int("o_bits of attention", attention.o_bits, 2, config.a_bits)
        size = channels, self.v.outputs
        _check_inner("proj", self.proj, config, size, attention.o_bits)
        self._check_tables(attention, stream.tokens)
        return stream

    def _check_tables(self, attention: AttentionConfig, tokens: int) -> None:
        windows, keys = 1, tokens
        if self.windows is not None:
            windows, keys = self.windows.count, self.windows.tokens
            if windows * keys != tokens:
                raise ValueError(
                    f"windows must be of {tokens} tokens, those of the stream, "
                    f"got {windows} of {keys}"
                )
        check_int("tokens N of a row", keys, 1, attention.max_tokens)
        if self.bias is not None:
            _check_shape("bias", self.bias, (self.heads, keys, keys))
            _check_range("bias", self.bias, attention.t_min, attention.t_max)
        if self.masked is not None:
            _check_shape("masked", self.masked, (windows, keys, keys))
            if self.masked.all(axis=2).any():
                window, row = (int(x[0]) for x in np.nonzero(self.masked.all(axis=2)))
                raise ValueError(
                    f"masked must leave a key in every row, got none in row {row} of "
                    f"window {window}"
                )


@dataclass(frozen=True, eq=False)
class Mlp:
    """Units 25 to 28, 22 and 29, 22 and 24.

    Attributes:
        norm: in front.
        fc1: with the activation behind it.
        fc2: added to the stream; its factor holds a layer scale.
    """

    norm: NormParams
    fc1: ActivationLinear
    fc2: ResidualLinear

    def check(self, config: NetworkConfig, attention: AttentionConfig, stream: Stream) -> Stream:
        """Return the size of the stream behind it, that of the one in front.

        Raises:
            ValueError: the hardware cannot hold it, or it is not of such a stream.
        """
        channels, hidden = stream.channels, self.fc1.outputs
        _check_norm(self.norm, config, channels)
        _check_inner("fc1", self.fc1, config, (hidden, channels), self.norm.y_bits)
        check_int("fc1: largest of table", max(self.fc1.params.table), 0, (1 << config.a_bits) - 1)
        _check_inner("fc2", self.fc2, config, (channels, hidden), config.a_bits)
        return stream


@dataclass(frozen=True, eq=False)
class GatedMlp:
    """Units 25 to 28; 22, 29 and T of 32, and 22 and 24; 32, 22 and 24.

    Attributes:
        norm: in front.
        gate: with the activation behind it.
        value: what the gate is multiplied by; what is added to is 0: a stream of its own.
        product: of both.
        fc2: added to the stream; its factor holds a layer scale.
    """

    norm: NormParams
    gate: GateLinear
    value: ResidualLinear
    product: GateCodeParams
    fc2: ResidualLinear

    def check(self, config: NetworkConfig, attention: AttentionConfig, stream: Stream) -> Stream:
        """Return the size of the stream behind it, that of the one in front.

        Raises:
            ValueError: the hardware cannot hold it, or it is not of such a stream.
        """
        channels, hidden = stream.channels, self.gate.outputs
        _check_norm(self.norm, config, channels)
        _check_inner("gate", self.gate, config, (hidden, channels), self.norm.y_bits)
        _check_inner("value", self.value, config, (hidden, channels), self.norm.y_bits)
        with within("product"):
            self.product.check(config)
            check_int("y_bits", self.product.y_bits, 2, config.a_bits)
        _check_inner("fc2", self.fc2, config, (channels, hidden), self.product.y_bits)
        return stream


@dataclass(frozen=True, eq=False)
class Merging:
    """Units 25 to 28, 22 and 24: two by two tokens as one, in front of a stage of Swin.

    The channels of the four stand side by side: those of line 0 and column 0, line 1 and column 0,
    line 0 and column 1, line 1 and column 1. What is added to is 0: it is a new stream, whose LSB
    may be another.

    Attributes:
        height, width: of the grid of tokens, even both.
        norm: of 4C channels.
        reduction: (C', 4C).
    """

    height: int
    width: int
    norm: NormParams
    reduction: ResidualLinear

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            check_int(name, getattr(self, name), 2, LARGEST_SIDE)
            if getattr(self, name) % 2:
                raise ValueError(f"{name} must be even, got {getattr(self, name)}")

    def check(self, config: NetworkConfig, attention: AttentionConfig, stream: Stream) -> Stream:
        """Return the size of the stream behind it.

        Raises:
            ValueError: the hardware cannot hold it, or it is not of such a stream.
        """
        if self.height * self.width != stream.tokens:
            raise ValueError(
                f"height * width must be {stream.tokens}, the tokens of the stream, "
                f"got {self.height} * {self.width}"
            )
        merged, channels = 4 * stream.channels, self.reduction.outputs
        _check_channels(config, merged)
        _check_channels(config, channels)
        _check_norm(self.norm, config, merged)
        _check_inner("reduction", self.reduction, config, (channels, merged), self.norm.y_bits)
        return Stream(stream.tokens // 4, channels)


@dataclass(frozen=True, eq=False)
class Head:
    """The last step, or one of them: of one token in three forms.

    - `norm` alone: units 25 to 28 of a token, the class token say.
    - `mean` of `MeanParams` alone: units 25 to 27 and 30, the mean of normalized tokens.
    - `mean` of `StreamMeanParams` and `norm`: unit 30 of the stream, then units 25 to 28.

    Then units 22 and 31. Of several heads each adds its logits to those of the one in front.

    Attributes:
        norm, mean: as above.
        first: the token that a norm alone takes, or the first one that a mean takes.
        linear: (classes, C).
    """

    linear: HeadLinear
    norm: NormParams | None = None
    mean: MeanParams | StreamMeanParams | None = None
    first: int = 0

    def __post_init__(self) -> None:
        if (self.norm is None) != isinstance(self.mean, MeanParams):
            raise ValueError(
                "norm and mean must be a norm alone, a mean of normalized tokens alone, or a norm "
                f"and a mean of the stream, got {type(self.norm).__name__} and "
                f"{type(self.mean).__name__}"
            )
        check_int("first", self.first, 0, LARGEST_SIDE)

    @property
    def code_bits(self) -> int:
        """Bits of the codes that the linear layer takes."""
        last = self.mean if isinstance(self.mean, MeanParams) else self.norm
        assert isinstance(last, (NormParams, MeanParams))
        return last.y_bits

    def check(self, config: NetworkConfig, stream: Stream, before: list[int] | None) -> list[int]:
        """Return the largest magnitude of each logit, behind that of the head in front.

        Raises:
            ValueError: the hardware cannot hold it, or it is not of such a stream.
        """
        channels = stream.channels
        check_int("first", self.first, 0, stream.tokens - 1)
        if self.norm is not None:
            with within("norm"):
                self.norm.check(config, channels)
        if self.mean is not None:
            with within("mean"):
                self.mean.check(config, channels)
            check_int("tokens of the mean", stream.tokens - self.first, 1, config.max_tokens)
        with within("linear"):
            linear = self.linear
            size = linear.outputs if before is None else len(before), channels
            _check_outer(linear, config, size, self.code_bits)
            linear.params.check(config, linear.outputs)
            return linear.params.check_logits(config, linear.inputs, linear.product, before)


Block = Attention | Mlp | GatedMlp | Merging
Step = PatchEmbedding | Block | Head


@dataclass(frozen=True, eq=False)
class Program:
    """What a network loads, and what hardware holds it.

    Attributes:
        network, attention: the hardware.
        steps: a `PatchEmbedding`, blocks, and a `Head` or several, of as many classes.
        source: what it was made from, for people.
        seed: of the calibration, or None.
        resize: the shorter side to which an image file is resized, before its centre is cut out;
            None where images are not made of image files.

    Raises:
        TypeError, ValueError: a step is out of place, does not take the stream that the one before
            it leaves, or holds what the hardware cannot: names the step by its place.

    Source: SPEC.md, "Programs".
    """

    network: NetworkConfig
    attention: AttentionConfig
    steps: tuple[Step, ...]
    source: str = ""
    seed: int | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        kinds = [type(step) for step in self.steps]
        heads = len(self.heads)
        if (
            not heads
            or kinds[0] is not PatchEmbedding
            or any(kind not in get_args(Block) for kind in kinds[1 : len(kinds) - heads])
        ):
            raise TypeError(
                "steps must be a PatchEmbedding, then Attention, Mlp, GatedMlp or Merging, then a "
                f"Head or several, got {', '.join(kind.__name__ for kind in kinds) or 'none'}"
            )
        with within("steps.0"):
            stream = self.embedding.check(self.network)
        for place, step in enumerate(self.blocks, 1):
            with within(f"steps.{place}"):
                stream = step.check(self.network, self.attention, stream)
        logits = None
        for place, head in enumerate(self.heads, 1 + len(self.blocks)):
            with within(f"steps.{place}"):
                logits = head.check(self.network, stream, logits)
        if self.resize is not None:
            side = max(self.embedding.height, self.embedding.width)
            check_int("resize", self.resize, side, LARGEST_SIDE)

    @property
    def embedding(self) -> PatchEmbedding:
        """The first step."""
        step = self.steps[0]
        assert isinstance(step, PatchEmbedding)
        return step

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The steps between the embedding and the heads."""
        return tuple(step for step in self.steps[1:] if isinstance(step, Block))

    @property
    def heads(self) -> tuple[Head, ...]:
        """The last steps: each adds its logits to those of the one in front."""
        return tuple(step for step in self.steps if isinstance(step, Head))

    @property
    def head(self) -> Head:
        """The last step."""
        return self.heads[-1]

    @property
    def version(self) -> int:
        """The first version of the network's specification that has all of its steps."""
        blocks = any(
            isinstance(each, GatedMlp) or (isinstance(each, Attention) and each.is_normed)
            for each in self.blocks
        )
        token = self.head.mean is None and self.head.first > 0
        return 3 if len(self.heads) > 1 or token or blocks else 2

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.head.linear.outputs

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(colours, lines, columns) of an image."""
        first = self.embedding
        return first.colours, first.height, first.width


#: Takes registers: of which part of a program (`steps.3.q`), of which unit, and by name. Their axes
#: are image, token and channel; without channel in units 25 and 26, of an image's pixels image,
#: colour, line and column, of attention image, group (window by window, head by head), row and key
#: or channel.
Trace = Callable[[str, str, Mapping[str, NDArray]], None]
