"""The controls in integer arithmetic: integer q, k, v and scores, a map without a BitLog2 code."""

from torch import Tensor

from .exact import exact_matmul
from .integer_attention import CodedAttention
from .integer_layers import IntegerLinear
from .map_schemes import UNIFORM_BITS
from .score_form import ScoreForm
from .self_attention import of_every_window
from .uniform import CodeUniform

__all__ = ["ControlAttention"]


class ControlAttention(CodedAttention):
    """Attention with a float softmax, its map left as it is (`none`) or coded in 4 bits, uniform.

    What it lacks is the datapath: there are no registers to check.

    Args:
        qkv, proj, form: as `SelfAttention`.
        a_bits: width of q, k and v.
        uniform: code the map with `uniform_4`; else `none`.

    Attributes:
        map_quantizer: CodeUniform or None; its zero point is 0, because a map has no negatives.
        position_bias: (1, H, N, N) float32 or None.
    """

    position_bias: Tensor | None
    map_quantizer: CodeUniform | None

    def __init__(
        self,
        qkv: IntegerLinear,
        proj: IntegerLinear,
        form: ScoreForm,
        a_bits: int,
        *,
        uniform: bool,
    ) -> None:
        super().__init__(qkv, proj, form, a_bits)
        self.map_quantizer = CodeUniform(UNIFORM_BITS) if uniform else None
        self.register_buffer("position_bias", form.position_bias)

    def attention_map(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
        """Return the map before its code, (B, H, N, N) float32, of q and k (B, H, N, D)."""
        q, k = self.q_quantizer.centred(q), self.k_quantizer.centred(k)
        bound = self.q_quantizer.max_code * self.k_quantizer.max_code * q.shape[-1]
        score = exact_matmul(q, k.transpose(-2, -1), bound).float()
        scores = score * (self.q_quantizer.delta * self.k_quantizer.delta * self.score_scale)
        if self.position_bias is not None:
            scores = scores + self.position_bias
        if mask is not None:
            scores = scores.masked_fill(of_every_window(mask < 0, len(q)), float("-inf"))
        return scores.softmax(dim=-1)

    def calibrate(
        self,
        x: Tensor,
        attn_mask: None = None,
        is_causal: bool = False,
        *,
        mask: Tensor | None = None,
    ) -> None:
        """Freeze q, k, v and the map, from this input."""
        q, k, _ = self.observe_qkv(x)
        if self.map_quantizer is not None and not self.map_quantizer.frozen:
            self.map_quantizer.observe(self.attention_map(q, k, mask))

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
        attention, v = self.attention_map(q, k, mask), self.v_quantizer.centred(v)
        scale = self.v_quantizer.delta
        if self.map_quantizer is None:
            out = attention @ v * scale
        else:
            codes = self.map_quantizer(attention)
            bound = self.map_quantizer.max_code * self.v_quantizer.max_code * v.shape[-2]
            out = exact_matmul(codes, v, bound).float() * (scale * self.map_quantizer.delta)
        return self.proj(out.transpose(1, 2).flatten(2))
