"""Self-attention in the published fake-quantized arithmetic."""

from torch import Tensor

from .float_layers import FloatLinear
from .float_map import FloatMap, Log2Map
from .score_form import ScoreForm
from .self_attention import SelfAttention, of_every_window
from .sqrt2_map import Sqrt2Map
from .uniform import PublishedUniform

__all__ = ["FloatAttention"]


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
        attention_map: FloatMap | Log2Map | Sqrt2Map | PublishedUniform,
        form: ScoreForm,
        a_bits: int,
    ) -> None:
        quantizers = (PublishedUniform(a_bits), PublishedUniform(a_bits), PublishedUniform(a_bits))
        super().__init__(qkv, proj, form, quantizers)
        self.map = attention_map
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
        if not self.map.frozen:
            self.map.observe(self.attention_map(q, k, mask))

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
        attention = self.map(self.attention_map(q, k, mask))
        out = attention @ self.v_quantizer(v)  # (B, H, N, D)
        return self.proj(out.transpose(1, 2).flatten(2))
