"""Self-attention on integer tensors: the datapath of the specification inside a model."""

import math
import warnings

import torch
from torch import Tensor

from bitlog2.sim import AttentionConfig, LayerParams, multiplier_and_shift

from .datapath import AttentionDatapath
from .exact import exact_matmul
from .integer_layers import IntegerLinear
from .map_scale import best_delta
from .self_attention import SelfAttention
from .uniform import CodeUniform

__all__ = ["FloatMapIntegerAttention", "IntegerAttention"]


class _IntegerSelfAttention(SelfAttention):
    """What both have: q, k, v as codes."""

    qkv: IntegerLinear
    proj: IntegerLinear
    q_quantizer: CodeUniform
    k_quantizer: CodeUniform
    v_quantizer: CodeUniform

    def __init__(
        self, qkv: IntegerLinear, proj: IntegerLinear, num_heads: int, scale: float, a_bits: int
    ) -> None:
        quantizers = (CodeUniform(a_bits), CodeUniform(a_bits), CodeUniform(a_bits))
        super().__init__(qkv, proj, num_heads, scale, quantizers)

    def _codes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.split(x)
        return self.q_quantizer(q), self.k_quantizer(k), self.v_quantizer(v)


class IntegerAttention(_IntegerSelfAttention):
    """timm's `Attention` with the integer datapath in its middle.

    The parameters that the datapath loads follow from the frozen scales:
    M / 2**n = sq * sk * scale * log2(e) * 2**F and M2 / 2**n2 = sv / (delta * so), where so and zo
    are those of the projection's input, so that its codes are the datapath's output.

    Attributes:
        datapath: hooks on it see (q, k, v, params) and the registers.
        delta: () float64, the integer scale of the levels; 0 until calibrated.
    """

    delta: Tensor

    def __init__(
        self,
        qkv: IntegerLinear,
        proj: IntegerLinear,
        num_heads: int,
        scale: float,
        config: AttentionConfig,
    ) -> None:
        super().__init__(qkv, proj, num_heads, scale, config.q_bits)
        self.datapath = AttentionDatapath(config)
        self.register_buffer("delta", torch.zeros((), dtype=torch.float64))

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
        scales = self.q_quantizer.delta.item() * self.k_quantizer.delta.item() * self.scale
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

    def calibrate(self, x: Tensor) -> None:
        """Freeze q, k, v, then delta from the map, then the output codes, from this input."""
        self.observe_qkv(x)
        config = self.datapath.config
        q, k, v = self._codes(x)
        m, n = self._score_multiplier()
        params = LayerParams(m, n, 1, 0, **self._zero_points())
        regs = self.datapath.attention_map(q, k, params)
        _warn_of_limits(regs.t, config)
        if self.delta == 0:
            exact_map = regs.e.double() / regs.row_sum.unsqueeze(-1)
            delta = best_delta(regs.level, exact_map, config.code, largest=config.code.int_max)
            self.delta = torch.tensor(float(delta), dtype=torch.float64, device=x.device)
        acc = self.datapath.accumulate(regs.level, v, params)
        real = acc.double() * (self.v_quantizer.delta.double() / self.delta)
        self.proj.calibrate(real.float())

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """Return (B, N, C) float32."""
        self.refuse_mask(attn_mask, is_causal)
        regs = self.datapath(*self._codes(x), self.params())
        return self.proj.from_codes(regs.output.o.transpose(1, 2).flatten(2))


class FloatMapIntegerAttention(_IntegerSelfAttention):
    """The control `none` in integer arithmetic: integer q, k, v and scores, a float map.

    What it lacks is the datapath: there are no registers to check beyond the score.
    """

    def calibrate(self, x: Tensor) -> None:
        """Freeze q, k and v from this input."""
        self.observe_qkv(x)

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """Return (B, N, C) float32."""
        self.refuse_mask(attn_mask, is_causal)
        q, k, v = self.split(x)
        q, k = self.q_quantizer.centred(q), self.k_quantizer.centred(k)
        bound = self.q_quantizer.max_code * self.k_quantizer.max_code * q.shape[-1]
        score = exact_matmul(q, k.transpose(-2, -1), bound)
        scale = self.q_quantizer.delta * self.k_quantizer.delta * self.scale
        attention = (score * scale).softmax(dim=-1)
        out = attention @ self.v_quantizer.centred(v) * self.v_quantizer.delta
        return self.proj(out.transpose(1, 2).flatten(2))


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
