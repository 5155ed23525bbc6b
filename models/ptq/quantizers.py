"""Quantizers: uniform, and of the attention map."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitlog2.names import NORMALIZED, ROW_MAX_8
from bitlog2.sim import Scheme, scheme_named
from bitlog2.sim.own_scheme import is_coded
from bitlog2.sim.scheme import OWN_FRACTION_BITS

from .levels import level_of, value_of


class Quantizer(nn.Module):
    """Base of the quantizers that a calibration pass freezes."""

    @property
    def frozen(self) -> bool:
        """Whether the quantizer has its parameters."""
        raise NotImplementedError

    def require_frozen(self) -> None:
        """Raise RuntimeError unless the quantizer is frozen."""
        if not self.frozen:
            raise RuntimeError("quantizer is not calibrated: run a calibration pass first")


class LateBuffers(nn.Module):
    """A module with buffers of a shape that is not known when it is made.

    Attributes:
        late_buffers: their names; each is registered as an empty tensor.
    """

    late_buffers: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        for name in self.late_buffers:
            self.register_buffer(name, torch.empty(0))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for name in self.late_buffers:
            stored = state_dict.get(prefix + name)
            here = getattr(self, name)
            if stored is not None and stored.shape != here.shape:
                setattr(self, name, torch.empty_like(stored, device=here.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


#: Upper tails that are tried, in this order; the lower tail is the mirrored one (RepQ-ViT).
PERCENTILES = (0.999, 0.9999, 0.99999)


def percentiles(rows: Tensor, fractions: Sequence[float]) -> list[Tensor]:
    """Return percentiles of each row, linear between order statistics.

    Args:
        rows: (C, n) float32, in any order. Only the tail with the percentiles is selected, once,
            from the end that is nearer to the first: a twentieth of sorting where all are near it.
        fractions: 0 to 1 each.

    Returns:
        (C,) float32 each, for any size and the same on any device: the interpolation is done on the
        processor. The rank is float32(fraction) * (n - 1), the product exact: what
        `torch.quantile` computes up to the 2**24 values that it takes.
    """
    last = rows.shape[1] - 1
    ranks = [float(np.float32(fraction)) * last for fraction in fractions]
    below = [int(rank) for rank in ranks]
    above = [min(each + 1, last) for each in below]
    upper = ranks[0] > last / 2
    count = last - min(below) + 1 if upper else max(above) + 1
    tail = rows.topk(count, dim=1, largest=upper).values.cpu()  # the farthest first
    if upper:
        below, above = ([last - each for each in places] for places in (below, above))
    return [
        torch.lerp(tail[:, low], tail[:, high], rank - int(rank)).to(rows.device)
        for rank, low, high in zip(ranks, below, above, strict=True)
    ]


def search_range(rows: Tensor, bits: int, *, contain_zero: bool) -> tuple[Tensor, Tensor]:
    """Return (low, high) of each row: the percentile pair of least squared error when quantized.

    Args:
        rows: (C, n) float32, one row per channel.
        bits: width of the codes.
        contain_zero: widen each pair to contain zero, so that the zero point is a code (integer
            arithmetic); the published float arithmetic does not.

    Returns:
        two (C,) float32 tensors; ties go to the earlier pair.

    Raises:
        ValueError: a value is not finite, or a row spans no range (its scale would be zero).

    Source: RepQ-ViT (Li et al., 2023), percentile calibration.
    """
    if not torch.stack(rows.aminmax()).isfinite().all():  # NaN is either
        raise ValueError("values must be finite, got NaN or infinity")
    pairs, errors = [], []
    lowest = percentiles(rows, [1.0 - fraction for fraction in PERCENTILES])
    for low, high in zip(lowest, percentiles(rows, PERCENTILES), strict=True):
        if contain_zero:
            low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        pairs.append(torch.stack((low, high)))
        errors.append(_squared_error(rows, low, high, bits))
    best = torch.stack(errors).argmin(dim=0)  # the first of equals
    low, high = torch.stack(pairs)[best, :, torch.arange(len(rows), device=rows.device)].unbind(1)
    if not (high > low).all():
        channel = int(torch.nonzero(~(high > low))[0])
        raise ValueError(
            f"values must span a range, got a constant in channel {channel} of {rows.shape[0]}"
        )
    return low, high


def _squared_error(rows: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    steps = (1 << bits) - 1
    delta = ((high - low) / steps).unsqueeze(1)
    zero_point = (-low.unsqueeze(1) / delta).round()
    code = (rows / delta).round_().add_(zero_point).clamp_(0, steps)
    error = code.sub_(zero_point).mul_(delta).sub_(rows).square_().mean(dim=1, dtype=torch.float64)
    return error.nan_to_num(nan=float("inf"))


class UniformQuantizer(LateBuffers, Quantizer):
    """Base of the uniform quantizers: bits, channel axis, `delta` and `zero_point` as buffers.

    Attributes:
        bits: width of the codes.
        axis: channel axis of the tensor, or None for one range for all of it.
        delta, zero_point: () or broadcastable along `axis`, float32; empty until frozen.
    """

    late_buffers = ("delta", "zero_point")
    #: Whether ranges are widened to contain zero.
    contain_zero = False

    delta: Tensor
    zero_point: Tensor

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.axis = axis

    @property
    def frozen(self) -> bool:
        """Whether scale and zero point are known."""
        return self.delta.numel() > 0

    @property
    def max_code(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    def observe(self, x: Tensor) -> None:
        """Freeze scale and zero point from one batch of values.

        Raises:
            ValueError: as `search_range`.
        """
        axis = self.axis
        rows = x.reshape(1, -1) if axis is None else x.movedim(axis, 0).reshape(x.shape[axis], -1)
        low, high = search_range(rows, self.bits, contain_zero=self.contain_zero)
        delta = (high - low) / self.max_code
        self.freeze(delta, (-low / delta).round(), x.ndim)

    def freeze(self, delta: Tensor, zero_point: Tensor, ndim: int = 0) -> None:
        """Set the parameters, (C,) each, for tensors of `ndim` axes."""
        shape: list[int] = []
        if self.axis is not None:
            shape = [1] * ndim
            shape[self.axis] = delta.numel()
        self.delta = delta.reshape(shape)
        self.zero_point = zero_point.reshape(shape)

    def quantized(self, x: Tensor) -> Tensor:
        """Return what the codes of x stand for, the shape of x."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Forget the parameters, so that the next calibration pass observes anew."""
        self.delta = self.delta.new_empty(0)
        self.zero_point = self.zero_point.new_empty(0)


class PublishedUniform(UniformQuantizer):
    """The published arithmetic: values in, dequantized values out; ties to even (torch.round).

    The zero point may lie outside of the codes, and after reparameterization need not be an
    integer: then the clamped codes are no integers either. Source: RepQ-ViT.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x quantized and dequantized, the shape of x."""
        self.require_frozen()
        code = ((x / self.delta).round() + self.zero_point).clamp(0, self.max_code)
        return (code - self.zero_point) * self.delta

    def quantized(self, x: Tensor) -> Tensor:
        """Return what the codes of x stand for, the shape of x."""
        return self(x)  # type: ignore[no-any-return]


class CodeUniform(UniformQuantizer):
    """The integer arithmetic: values in, codes out; RND, and a zero point that is a code."""

    contain_zero = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes of x, 0 to 2**bits - 1, as float32 integers of the shape of x."""
        return self.centred(x).add_(self.zero_point)

    def centred(self, x: Tensor) -> Tensor:
        """Return codes less the zero point: integers in [-(2**bits - 1), 2**bits - 1]."""
        self.require_frozen()
        rounded = (x / self.delta).add_(0.5).floor_()
        return rounded.clamp_(-self.zero_point, self.max_code - self.zero_point)

    def quantized(self, x: Tensor) -> Tensor:
        """Return what the codes of x stand for, the shape of x."""
        return self.centred(x).mul_(self.delta)


def best_delta(level: Tensor, x: Tensor, scheme: Scheme, *, largest: int) -> int:
    """Return the integer delta with the least sum of (x - value(level) / delta)**2.

    The optimum over the reals is sum(value**2) / sum(x * value); the squared error falls before it
    and rises after it, so the best integer is one of its two neighbours, clamped to
    [largest value seen, `largest`]; ties go to the smaller. Sums are float64, from a histogram
    over the levels.

    Args:
        level: integer levels, any shape.
        x: the attention map that the levels stand for, 0 to 1, same shape, float.
        scheme: the levels' scheme.
        largest: upper limit, A - 1 in the published arithmetic and A in the integer one.

    Raises:
        ValueError: every level is zero: the map has vanished.

    Source: the least-squares search of the published quantizer; the closed form is ours.
    """
    flat = level.reshape(-1).to(torch.int64)
    weight = x.reshape(-1).to(torch.float64)
    count = torch.bincount(flat, minlength=scheme.levels).tolist()
    mass = torch.bincount(flat, weights=weight, minlength=scheme.levels).tolist()
    squares = sum(n * value**2 for n, value in zip(count, scheme.values, strict=True))
    cross = sum(Fraction(m) * value for m, value in zip(mass, scheme.values, strict=True))
    if squares == 0 or cross == 0:
        raise ValueError(
            f"attention map must hold a level above zero, got none: rows flatter than "
            f"1/{scheme.int_max} a key vanish under {scheme.name}"
        )
    seen = max(value for n, value in zip(count, scheme.values, strict=True) if n)
    floor = int(squares / cross)

    def error(delta: int) -> Fraction:
        return Fraction(squares, delta**2) - 2 * cross / delta

    candidates = sorted({min(max(delta, seen), largest) for delta in (floor, floor + 1)})
    return min(candidates, key=error)


class MapQuantizer(Quantizer):
    """A quantizer of the attention map with one scale; values in, dequantized values out.

    Attributes:
        delta: () float32, frozen by the calibration batch's map; 0 until then.
    """

    delta: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("delta", torch.zeros(()))

    @property
    def frozen(self) -> bool:
        """Whether delta is known."""
        return bool(self.delta != 0)


class Sqrt2Map(MapQuantizer):
    """RepQ-ViT's log-sqrt(2) code: code = round(-2 log2(x / delta)), ties to even.

    Codes of 2**bits and more are zero. With 16 levels (at 4 bits) there is one nonzero value less,
    and the last code, 2**bits - 1, is not sent to zero but up to the level before it: the published
    quirk. Values: 2**-(c / 2) * delta for even c; for odd c sqrt(2) * 2**-((c + 1) / 2) * delta.

    Args:
        bits: width of activation codes: 2**bits codes.
        seventeen: 2**bits nonzero values and zero (17 levels at 4 bits), or one value less.

    Source: RepQ-ViT (Li et al., 2023), log-sqrt(2) quantizer with its scale kept apart.
    """

    def __init__(self, bits: int, *, seventeen: bool) -> None:
        super().__init__()
        self.codes = 1 << bits
        self.top = self.codes - 1 if seventeen else self.codes - 2

    def observe(self, x: Tensor) -> None:
        """Freeze delta: the upper percentile of x with the least squared error.

        Raises:
            ValueError: a value is not finite, or every percentile is zero.
        """
        best_error = math.inf
        for found in percentiles(x.reshape(1, -1), PERCENTILES):
            delta = found.reshape(())
            error = float((self._quantized(x, delta) - x).square().mean(dtype=torch.float64))
            if error < best_error and delta > 0:
                self.delta, best_error = delta, error
        if best_error == math.inf:
            raise ValueError("attention map must be finite and hold values above zero")

    def forward(self, x: Tensor) -> Tensor:
        """Return x quantized and dequantized, the shape of x."""
        self.require_frozen()
        return self._quantized(x, self.delta)

    def _quantized(self, x: Tensor, delta: Tensor) -> Tensor:
        code = (-1 * (x / delta).log2() * 2).round()
        kept = code.clamp(0, self.top)
        factor = (kept % 2) * (math.sqrt(2) - 1) + 1
        value = 2 ** (-1 * (kept / 2).ceil()) * factor * delta
        return value.masked_fill(code >= self.codes, 0.0)


class FloatMap(nn.Module):
    """The control `none`: the map stays as it is."""

    frozen = True

    def observe(self, x: Tensor) -> None:
        """Nothing to freeze."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Log2Map(MapQuantizer):
    """A BitLog2 code as published: p = floor(x * A) in float32, clamped to A - 1.

    Its scale is an integer.
    """

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme

    def codes(self, x: Tensor) -> Tensor:
        """Return p of each value of x in [0, 1], float32 integers from 0 to A - 1."""
        return (x * self.scheme.int_max).floor_().clamp_(0, self.scheme.int_max - 1).float()

    def observe(self, x: Tensor) -> None:
        """Freeze delta from the attention map of the calibration batch."""
        level = level_of(self.codes(x), self.scheme)
        delta = best_delta(level, x, self.scheme, largest=self.scheme.int_max - 1)
        self.delta = torch.tensor(float(delta), device=x.device)

    def forward(self, x: Tensor) -> Tensor:
        """Return the dequantized map, value / delta, the shape of x."""
        self.require_frozen()
        return value_of(self.codes(x), self.scheme).to(x.dtype).div_(self.delta)


class NormalizedMap(nn.Module):
    """A code of the map in float arithmetic whose rows are divided by the sum of their values.

    Nothing is calibrated. A row whose levels are all 0 is coded as zeros.
    """

    frozen = True
    values: Tensor

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        values = torch.tensor(scheme.values, dtype=torch.float64) / scheme.int_max
        self.register_buffer("values", values.float(), persistent=False)

    def observe(self, x: Tensor) -> None:
        """Nothing to freeze."""

    def levels(self, x: Tensor) -> Tensor:
        """Return the level of each value of x, (..., N) of any float type, integer."""
        raise NotImplementedError

    def weights(self, x: Tensor) -> Tensor:
        """Return what each value of x stands for before the division, (..., N) float32."""
        return self.values.index_select(0, self.levels(x).reshape(-1)).view(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the coded map of x, (..., N) in [0, 1], the shape of x; rows sum to 1."""
        weight = self.weights(x)
        return weight / weight.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)


class NormalizedLog2Map(NormalizedMap):
    """A published BitLog2 code, p = floor(x * A), whose rows are divided by the sum of values."""

    def levels(self, x: Tensor) -> Tensor:
        """Return the level of each value of x."""
        p = (x * self.scheme.int_max).floor().clamp(0, self.scheme.int_max - 1)
        return level_of(p.float(), self.scheme)


class RowMaxMap(NormalizedMap):
    """RowMax's code in float arithmetic: a value relative to its row's maximum, then normalized.

    The level is the largest whose threshold the ratio reaches: the logarithmic means of neighbours,
    and at the lower end `zero_octaves` below the smallest value; or the scheme's own.

    Args:
        scheme: the levels' scheme.
        zero_octaves: 1 in the datapath (BL2-DIST-01).

    Source: SPEC.md BL2-DIST-01, with the ratio in place of 2**(-d / 2**F).
    """

    edges: Tensor

    def __init__(self, scheme: Scheme, zero_octaves: float = 1.0) -> None:
        super().__init__(scheme)
        values = torch.tensor(scheme.values, dtype=torch.float64) / scheme.int_max
        if scheme.own_thresholds:
            octaves = torch.tensor(scheme.own_thresholds, dtype=torch.float64)
            edges = torch.exp2(octaves / -(1 << OWN_FRACTION_BITS))
        else:
            low, high = values[1:-1], values[2:]
            edges = torch.cat((values[1:2] / 2**zero_octaves, (high - low) / (high / low).log()))
        self.register_buffer("edges", edges.float(), persistent=False)

    def levels(self, x: Tensor) -> Tensor:
        """Return the level of each value of x."""
        return self._levels_beside(x, x.amax(dim=-1, keepdim=True))

    def _levels_beside(self, x: Tensor, largest: Tensor) -> Tensor:
        return torch.bucketize(x / largest, self.edges.to(x.dtype), right=True)


class OnlineRowMaxMap(RowMaxMap):
    """RowMax's code in one pass: a value relative to the largest until now, in whole octaves.

    A key is coded beside the largest key up to and with its own, rounded up to a power of two. Sums
    are shifted where that rises, and nothing of them is dropped.
    """

    def weights(self, x: Tensor) -> Tensor:
        """Return what each value of x stands for before the division, (..., N) float32."""
        octave = x.cummax(dim=-1).values.log2().ceil()
        largest = torch.exp2(octave).clamp(min=torch.finfo(torch.float32).tiny)
        level = self._levels_beside(x, largest)
        value = self.values.index_select(0, level.reshape(-1)).view(x.shape)
        return value * largest.float()


#: Octaves below a smallest value v at which it adds to a sum what all smaller values would have:
#: v times its width on a log axis, from the logarithmic mean with 2 v on, is the integral of
#: 2**-x over that and all beyond.
UNBIASED_ZERO = math.log2(math.e) ** 2 - math.log2(math.log2(math.e))


def normalized_map(name: str) -> NormalizedMap:
    """Return the map of one of `bitlog2.names.NORMALIZED`, or of a RowMax scheme."""
    if is_coded(name):
        return RowMaxMap(scheme_named(name))
    scheme = NORMALIZED[name]
    if name == ROW_MAX_8.name:
        return RowMaxMap(scheme, UNBIASED_ZERO)
    return OnlineRowMaxMap(scheme) if scheme.row_max else NormalizedLog2Map(scheme)
