"""Self-attention on integer tensors: the datapath of the specification inside a model."""

import math
import warnings

import torch
from torch import Tensor

from bitlog2.sim import AttentionConfig, LayerParams, multiplier_and_shift, score_bias

from .datapath import AttentionDatapath
from .integer_layers import IntegerLinear
from .map_scale import best_delta
from .score_form import ScoreForm
from .self_attention import SelfAttention, of_every_window
from .uniform import CodeUniform

__all__ = ["CodedAttention", "IntegerAttention"]


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


class IntegerAttention(CodedAttention):
    """timm's attention with the integer datapath in its middle.

    The parameters that the datapath loads follow from the frozen scales:
    M / 2**n = sq * sk * c * log2(e) * 2**F and M2 / 2**n2 = sv / (delta * so), where so and zo are
    those of the projection's input, so that its codes are the datapath's output. c is 1/sqrt(D) in
    ViT and DeiT, and 1 in Swin, whose sq holds it already. Swin's position bias becomes the score
    bias; its mask excludes keys.

    Attributes:
        datapath: hooks on it see (q, k, v, params, masked, bias) and the registers.
        delta: () float64, the integer scale of the levels; 0 until calibrated.
        score_bias: (1, H, N, N) int32 or None.
    """

    delta: Tensor
    score_bias: Tensor | None

    def __init__(
        self, qkv: IntegerLinear, proj: IntegerLinear, form: ScoreForm, config: AttentionConfig
    ) -> None:
        super().__init__(qkv, proj, form, config.q_bits)
        self.datapath = AttentionDatapath(config)
        self.register_buffer("delta", torch.zeros((), dtype=torch.float64))
        self.register_buffer("score_bias", _raw_bias(form.position_bias, config))

    def params(self) -> LayerParams:
        """Return what the datapath loads for this layer, from the frozen scales in float64.

        Raises:
            ValueError: a scale does not fit multiplier and shift.
        """
        config = self.datapath.config
        m, n = self._score_multiplier()
        sv, so = self.v_quantizer.delta.item(), self.proj.input_quantizer.delta.item()
        ratio = sv / (self.delta.item() * so)
        m2, n2 = multiplier_and_shift(ratio, config.m2_bits, config.max_n2, "output scale")
        return LayerParams(m, n, m2, n2, **self._zero_points(), zo=self._zero(self.proj))

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

    @staticmethod
    def _zero(layer: IntegerLinear) -> int:
        return int(layer.input_quantizer.zero_point)

    def calibrate(
        self,
        x: Tensor,
        attn_mask: None = None,
        is_causal: bool = False,
        *,
        mask: Tensor | None = None,
    ) -> None:
        """Freeze q, k, v, then delta from the map, then the output codes, from this input."""
        q, k, v = self.observe_qkv(x)
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        config = self.datapath.config
        m, n = self._score_multiplier()
        params = LayerParams(m, n, 1, 0, **self._zero_points())
        masked = _masked_keys(mask, len(q))
        regs = self.datapath.attention_map(q, k, params, masked, self.score_bias)
        _warn_of_limits(regs.t, config)
        if self.delta == 0:
            exact_map = regs.e.double() / regs.row_sum.unsqueeze(-1)
            delta = best_delta(regs.level, exact_map, config.code, largest=config.code.int_max)
            self.delta = torch.tensor(float(delta), dtype=torch.float64, device=x.device)
        acc = self.datapath.accumulate(regs.level, v, params)
        real = acc.double() * (self.v_quantizer.delta.double() / self.delta)
        self.proj.calibrate(real.float())

    def forward(
        self,
        x: Tensor,
        attn_mask: None = None,
        is_causal: bool = False,
        *,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return (B, N, C) float32."""
        self.refuse_token_mask(attn_mask, is_causal)
        q, k, v = self.split(x)
        q, k, v = self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)
        masked = _masked_keys(mask, len(q))
        regs = self.datapath(q, k, v, self.params(), masked, self.score_bias)
        return self.proj.from_codes(regs.output.o.transpose(1, 2).flatten(2))


def _raw_bias(bias: Tensor | None, config: AttentionConfig) -> Tensor | None:
    if bias is None:
        return None
    raw = score_bias(bias.cpu().double().numpy(), config)
    return torch.from_numpy(raw).to(bias.device)


def _masked_keys(mask: Tensor | None, batch: int) -> Tensor | None:
    """Return the keys that Swin's additive mask excludes, (batch, 1, N, N) bool."""
    return None if mask is None else of_every_window(mask < 0, batch)


def _warn_of_limits(t: Tensor, config: AttentionConfig) -> None:
    saturated = int((t >= config.t_max).sum() + (t <= config.t_min).sum())
    if saturated:
        warnings.warn(
            f"t saturates for {saturated} of {t.numel()} scores at {config.t_bits} bits: "
            "the top of these rows is flattened",
            stacklevel=3,
        )
    if config.code.half and t.shape[-1] > config.code.int_max:
        warnings.warn(
            f"{config.scheme} codes a uniform row of {t.shape[-1]} tokens as all zero: "
            f"its limit is {config.code.int_max}",
            stacklevel=3,
        )
