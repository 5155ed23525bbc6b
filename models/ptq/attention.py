"""Quantized attention: float, integer, and the controls."""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bitlog2.sim import (
    AttentionConfig,
    LayerParams,
    Scheme,
    multiplier_and_shift,
    score_bias,
)

from .compensation import balance
from .datapath import AttentionDatapath, MapRegisters
from .layers import FloatLinear, IntegerLinear, QuantizedLayer, exact_matmul
from .quantizers import (
    CodeUniform,
    FloatMap,
    Log2Map,
    NormalizedMap,
    PublishedUniform,
    Sqrt2Map,
    UniformQuantizer,
    best_delta,
)
from .supported import refusal


@dataclass(frozen=True, eq=False)
class ScoreForm:
    """What an attention layer's scores are made with.

    scores = (q_norm(q) * query_scale) k_norm(k)^T * score_scale + position_bias

    Attributes:
        num_heads: H.
        query_scale: factor of q before its quantizer: 1/sqrt(D) in Swin, else 1.
        score_scale: factor of the product after the quantizers: 1/sqrt(D) in ViT and DeiT, else 1.
        position_bias: (1, H, N, N) float32, Swin's relative position bias, or None.
        q_norm, k_norm: layer norms of the channels of a head, or what leaves them as they are.
    """

    num_heads: int
    query_scale: float
    score_scale: float
    position_bias: Tensor | None
    q_norm: nn.Module = field(default_factory=nn.Identity)
    k_norm: nn.Module = field(default_factory=nn.Identity)


def score_form(name: str, attention: Any) -> ScoreForm:
    """Return the form of timm's attention layer of that module name.

    Raises:
        ValueError: names a part of the layer that has no quantized form.
    """
    from timm.models.swin_transformer import WindowAttention

    if isinstance(attention, WindowAttention):
        bias = attention._get_rel_pos_bias().detach().clone()
        return ScoreForm(attention.num_heads, attention.scale, 1.0, bias)
    after = getattr(attention, "norm", nn.Identity())
    if getattr(attention, "gate", None) is not None or not isinstance(after, nn.Identity):
        raise ValueError(f"layer {name}: attention must have no output norm or gate")
    norms = attention.q_norm, attention.k_norm
    for part, norm in zip(("q_norm", "k_norm"), norms, strict=True):
        affine = isinstance(norm, nn.LayerNorm) and norm.bias is not None
        if not affine and not isinstance(norm, nn.Identity):
            raise refusal(f"{name}.{part}", norm, "must be a LayerNorm of weight and bias")
    return ScoreForm(attention.num_heads, 1.0, attention.scale, None, *norms)


class SelfAttention(nn.Module):
    """The projections of timm's `Attention` or `WindowAttention`, and quantizers for q, k and v.

    ViT and DeiT attend over all tokens of an image, B = images. Swin attends within windows:
    B = images * windows, windows of one image together, and a mask (windows, N, N) of 0 and -100
    where the shifted image has windows that hold parts of several regions.

    Args:
        qkv, proj: quantized projections.
        form: constants of the scores.
        quantizers: those of q, k and v, in this order.
    """

    def __init__(
        self,
        qkv: QuantizedLayer,
        proj: QuantizedLayer,
        form: ScoreForm,
        quantizers: tuple[UniformQuantizer, UniformQuantizer, UniformQuantizer],
    ) -> None:
        super().__init__()
        self.qkv, self.proj = qkv, proj
        self.num_heads = form.num_heads
        self.query_scale, self.score_scale = form.query_scale, form.score_scale
        self.q_norm, self.k_norm = form.q_norm, form.k_norm
        self.q_quantizer, self.k_quantizer, self.v_quantizer = quantizers

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v, (B, H, N, D) float32 each, of tokens (B, N, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        return (q if self.query_scale == 1 else q * self.query_scale), k, v

    def forward(
        self,
        x: Tensor,
        attn_mask: None = None,
        is_causal: bool = False,
        *,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return (B, N, C) float32.

        Raises:
            ValueError: there is a mask over tokens, which ViT and DeiT don't have.
        """
        if attn_mask is not None or is_causal:
            raise ValueError("attn_mask and is_causal must be left out: ViT and DeiT have none")
        return self._attend(*self.split(x), mask)

    def calibrate(
        self,
        x: Tensor,
        attn_mask: None = None,
        is_causal: bool = False,
        *,
        mask: Tensor | None = None,
    ) -> None:
        """Freeze what is not frozen, from this input: q, k and v, then the quantizers after."""
        parts = self.split(x)
        if self.qkv.compensates:
            k, v = (part.transpose(1, 2).flatten(2) for part in parts[1:])
            balance(self.qkv, self.proj, k, v, self.k_norm)
            parts = self.split(x)
        quantizers = (self.q_quantizer, self.k_quantizer, self.v_quantizer)
        for quantizer, values in zip(quantizers, parts, strict=True):
            if not quantizer.frozen:
                quantizer.observe(values)
        self._freeze(*parts, mask)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Return (B, N, C) float32 of real q, k and v (B, H, N, D)."""
        raise NotImplementedError

    def _freeze(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
        """Freeze the quantizers after those of q, k and v, from real q, k and v."""
        raise NotImplementedError


def of_every_window(mask: Tensor, batch: int) -> Tensor:
    """Return a mask (windows, N, N) as (batch, 1, N, N), for a batch of whole images."""
    return mask.repeat(batch // len(mask), 1, 1).unsqueeze(1)


class MapProbe(nn.Module):
    """What hooks see of a float map: its values before and after their code, and v."""

    def forward(self, before: Tensor, after: Tensor, v: Tensor) -> Tensor:
        """Return `after`."""
        return after


class FloatAttention(SelfAttention):
    """timm's attention with fake-quantizers on q, k, v and the attention map.

    q, k and v are quantized per tensor. `qkv` quantizes its input per channel until
    reparameterization. Swin's mask is added to the scores, as published.

    Attributes:
        position_bias: (1, H, N, N) float32 or None.
    """

    position_bias: Tensor | None

    def __init__(
        self,
        qkv: FloatLinear,
        proj: FloatLinear,
        attention_map: FloatMap | Log2Map | NormalizedMap | Sqrt2Map | PublishedUniform,
        form: ScoreForm,
        a_bits: int,
    ) -> None:
        quantizers = (PublishedUniform(a_bits), PublishedUniform(a_bits), PublishedUniform(a_bits))
        super().__init__(qkv, proj, form, quantizers)
        self.map = attention_map
        self.probe = MapProbe()
        self.register_buffer("position_bias", form.position_bias)

    def attention_map(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """Return the map before its code, (B, H, N, N) float32, of q and k (B, H, N, D)."""
        q, k = self.q_quantizer(q), self.k_quantizer(k)
        scores = (q @ k.transpose(-2, -1)) * self.score_scale
        if self.position_bias is not None:
            scores = scores + self.position_bias
        if mask is not None:
            scores = scores + of_every_window(mask, len(q))
        return scores.softmax(dim=-1)

    def _freeze(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
        if not self.map.frozen:
            self.map.observe(self.attention_map(q, k, mask))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        attention, v = self.attention_map(q, k, mask), self.v_quantizer(v)
        out = self.probe(attention, self.map(attention), v) @ v  # (B, H, N, D)
        return self.proj(out.transpose(1, 2).flatten(2))


class CodedAttention(SelfAttention):
    """Self-attention whose q, k and v are integer codes."""

    qkv: IntegerLinear
    proj: IntegerLinear
    q_quantizer: CodeUniform
    k_quantizer: CodeUniform
    v_quantizer: CodeUniform

    def __init__(
        self, qkv: IntegerLinear, proj: IntegerLinear, form: ScoreForm, a_bits: int
    ) -> None:
        quantizers = (CodeUniform(a_bits), CodeUniform(a_bits), CodeUniform(a_bits))
        super().__init__(qkv, proj, form, quantizers)


class CalibratedDatapath:
    """A datapath with the scales of its codes, from which the parameters that it loads follow.

    M / 2**n = sq * sk * c * log2(e) * 2**F and M2 / 2**n2 = sv / (delta * so). What a module adds
    to its own base.

    Attributes:
        datapath: hooks on it see (q, k, v, params, masked, bias) and the registers.
        delta: () float64, the integer scale of the levels; 0 until calibrated.
        score_scale: c, the factor of the product of q and k.
        q_quantizer, k_quantizer, v_quantizer, output_quantizer: codes of q, k, v and o.
    """

    datapath: AttentionDatapath
    delta: Tensor
    score_scale: float
    q_quantizer: CodeUniform
    k_quantizer: CodeUniform
    v_quantizer: CodeUniform

    @property
    def output_quantizer(self) -> CodeUniform:
        """The quantizer whose codes are the datapath's output."""
        raise NotImplementedError

    def params(self) -> LayerParams:
        """Return the parameters of the datapath, from the frozen scales in float64.

        Raises:
            ValueError: a scale does not fit multiplier and shift.
        """
        config = self.datapath.config
        m, n = self._score_multiplier()
        output = self.output_quantizer
        ratio = self.v_quantizer.delta.item() / (self.delta.item() * output.delta.item())
        m2, n2 = multiplier_and_shift(ratio, config.m2_bits, config.max_layer_n2, "output scale")
        return LayerParams(m, n, m2, n2, **self._zero_points(), zo=int(output.zero_point))

    def _score_multiplier(self) -> tuple[int, int]:
        config = self.datapath.config
        scales = self.q_quantizer.delta.item() * self.k_quantizer.delta.item() * self.score_scale
        ratio = scales * math.log2(math.e) * 2.0**config.fraction_bits
        return multiplier_and_shift(ratio, config.m_bits, config.max_n, "score scale")

    def _zero_points(self) -> dict[str, int]:
        return {
            "zq": int(self.q_quantizer.zero_point),
            "zk": int(self.k_quantizer.zero_point),
            "zv": int(self.v_quantizer.zero_point),
        }

    def _freeze_levels(
        self, q: Tensor, k: Tensor, v: Tensor, masked: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """Freeze delta from the map; return the output before its code, (B, H, R, D') real.

        Args:
            q, k, v: real, (B, H, R, D), (B, H, N, D) and (B, H, N, D').
            masked, bias: as the datapath takes them.
        """
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        config = self.datapath.config
        m, n = self._score_multiplier()
        params = LayerParams(m, n, 1, 0, **self._zero_points())
        regs = self.datapath.attention_map(q, k, params, masked, bias)
        _warn_of_limits(regs.t, config)
        if self.delta == 0:
            delta = float(_delta_of(regs, config.code))
            self.delta = torch.tensor(delta, dtype=torch.float64, device=q.device)
        acc = self.datapath.accumulate(regs.level, v, params).double()
        if regs.weight_sum is not None:
            acc = acc / regs.weight_sum.unsqueeze(-1)
        real = acc * (self.v_quantizer.delta.double() / self.delta)
        return real.to(self.v_quantizer.delta.dtype)


def in_float32(model: nn.Module) -> nn.Module:
    """Return a model with its parameters and buffers in float32 but for the deltas of levels."""
    deltas = {each: each.delta for each in model.modules() if isinstance(each, CalibratedDatapath)}
    model.float()
    for each, delta in deltas.items():
        each.delta = delta
    return model


class IntegerAttention(CodedAttention, CalibratedDatapath):
    """timm's attention with the integer datapath in its middle.

    Scale and zero point of the output are those of the projection's input, so that its codes are
    the datapath's output. The factor of the scores is 1/sqrt(D) in ViT and DeiT, and 1 in Swin,
    whose scale of q holds it already. Swin's position bias becomes the score bias; its mask
    excludes keys.

    Attributes:
        score_bias: (1, H, N, N) int32 or None.
    """

    score_bias: Tensor | None

    def __init__(
        self, qkv: IntegerLinear, proj: IntegerLinear, form: ScoreForm, config: AttentionConfig
    ) -> None:
        super().__init__(qkv, proj, form, config.q_bits)
        self.datapath = AttentionDatapath(config)
        self.register_buffer("delta", torch.zeros((), dtype=torch.float64))
        self.register_buffer("score_bias", raw_bias(form.position_bias, config))

    @property
    def output_quantizer(self) -> CodeUniform:
        """The quantizer of the projection's input."""
        return self.proj.input_quantizer

    def _freeze(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
        """Freeze delta from the map, then the output codes."""
        real = self._freeze_levels(q, k, v, masked_keys(mask, len(q)), self.score_bias)
        self.proj.calibrate(real.transpose(1, 2).flatten(2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        masked = masked_keys(mask, len(q))
        o = self.datapath.codes(q, k, v, self.params(), masked, self.score_bias)
        return self.proj.from_codes(o.transpose(1, 2).flatten(2))


def _delta_of(regs: MapRegisters, scheme: Scheme) -> int:
    """Return the scale of the levels; 1 for RowMax, whose rows are divided by their own sum."""
    if regs.e is None or regs.row_sum is None:
        return 1
    exact_map = regs.e.double() / regs.row_sum.unsqueeze(-1)
    return best_delta(regs.level, exact_map, scheme, largest=scheme.int_max)


def raw_bias(bias: Tensor | None, config: AttentionConfig) -> Tensor | None:
    """Return the score bias of a position bias, int32, on its device; None of None."""
    if bias is None:
        return None
    raw = score_bias(bias.detach().cpu().double().numpy(), config)
    return torch.from_numpy(raw).to(bias.device)


def masked_keys(mask: Tensor | None, batch: int) -> Tensor | None:
    """Return the keys that Swin's additive mask excludes, (batch, 1, N, N) bool."""
    return None if mask is None else of_every_window(mask < 0, batch)


def _warn_of_limits(t: Tensor, config: AttentionConfig) -> None:
    saturated = int((t >= config.t_max).sum() + (t <= config.t_min).sum())
    if saturated:
        warnings.warn(
            f"t saturates for {saturated} of {t.numel()} scores at {config.t_bits} bits: "
            "the top of these rows is flattened",
            stacklevel=4,
        )
    vanishes = config.code.half and not config.code.row_max
    if vanishes and t.shape[-1] > config.code.int_max:
        warnings.warn(
            f"{config.scheme} codes a uniform row of {t.shape[-1]} tokens as all zero: "
            f"its limit is {config.code.int_max}",
            stacklevel=4,
        )


class ControlAttention(CodedAttention):
    """Attention with a float softmax, and a code of its map that no datapath makes.

    There is no datapath, and so no register to check.

    Args:
        qkv, proj, form: as `SelfAttention`.
        a_bits: width of q, k and v.
        map_quantizer: code of the map: `uniform_4` in codes, others in values.

    Attributes:
        map_quantizer: that of the arguments; the zero point of codes is 0, because a map has no
            negatives.
        position_bias: (1, H, N, N) float32 or None.
    """

    position_bias: Tensor | None

    def __init__(
        self,
        qkv: IntegerLinear,
        proj: IntegerLinear,
        form: ScoreForm,
        a_bits: int,
        map_quantizer: CodeUniform | FloatMap | NormalizedMap,
    ) -> None:
        super().__init__(qkv, proj, form, a_bits)
        self.map_quantizer, self.probe = map_quantizer, MapProbe()
        self.register_buffer("position_bias", form.position_bias)

    def attention_map(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """Return the map before its code, (B, H, N, N) float32, of q and k (B, H, N, D)."""
        q, k = self.q_quantizer.centred(q), self.k_quantizer.centred(k)
        bound = self.q_quantizer.max_code * self.k_quantizer.max_code * q.shape[-1]
        score = exact_matmul(q, k.transpose(-2, -1), bound).to(q.dtype)
        scores = score * (self.q_quantizer.delta * self.k_quantizer.delta * self.score_scale)
        if self.position_bias is not None:
            scores = scores + self.position_bias
        if mask is not None:
            scores = scores.masked_fill(of_every_window(mask < 0, len(q)), float("-inf"))
        return scores.softmax(dim=-1)

    def _freeze(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
        if not self.map_quantizer.frozen:
            self.map_quantizer.observe(self.attention_map(q, k, mask))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        attention, v = self.attention_map(q, k, mask), self.v_quantizer.centred(v)
        scale, coded = self.v_quantizer.delta, self.map_quantizer(attention)
        if isinstance(self.map_quantizer, CodeUniform):
            self.probe(attention, coded * self.map_quantizer.delta, v)
            bound = self.map_quantizer.max_code * self.v_quantizer.max_code * v.shape[-2]
            out = exact_matmul(coded, v, bound).to(v.dtype) * (scale * self.map_quantizer.delta)
        else:
            out = self.probe(attention, coded, v) @ v * scale
        return self.proj(out.transpose(1, 2).flatten(2))
