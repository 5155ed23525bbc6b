"""Self-attention in the published fake-quantized arithmetic."""

from torch import Tensor

from .float_layers import FloatLinear
from .float_map import FloatMap, Log2Map
from .self_attention import SelfAttention
from .uniform import PublishedUniform

__all__ = ["FloatAttention"]


class FloatAttention(SelfAttention):
    """timm's `Attention` with fake-quantizers on q, k, v and the attention map.

    q, k and v are quantized per tensor; 1/sqrt(D) comes after the product, as published for ViT
    and DeiT. `qkv` quantizes its input per channel until reparameterization.
    """

    def __init__(
        self,
        qkv: FloatLinear,
        proj: FloatLinear,
        attention_map: FloatMap | Log2Map,
        num_heads: int,
        scale: float,
        a_bits: int,
    ) -> None:
        quantizers = (PublishedUniform(a_bits), PublishedUniform(a_bits), PublishedUniform(a_bits))
        super().__init__(qkv, proj, num_heads, scale, quantizers)
        self.map = attention_map

    def _attention_map(self, q: Tensor, k: Tensor) -> Tensor:
        q, k = self.q_quantizer(q), self.k_quantizer(k)
        return ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)  # (B, H, N, N)

    def calibrate(self, x: Tensor) -> None:
        """Freeze q, k, the map and v, in this order, from this input."""
        self.observe_qkv(x)
        q, k, _ = self.split(x)
        self.map.observe(self._attention_map(q, k))

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """Return (B, N, C) float32."""
        self.refuse_mask(attn_mask, is_causal)
        q, k, v = self.split(x)
        attention = self.map(self._attention_map(q, k))
        out = attention @ self.v_quantizer(v)  # (B, H, N, D)
        return self.proj(out.transpose(1, 2).flatten(2))
