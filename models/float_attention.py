"""Self-attention in the published fake-quantized arithmetic."""

from torch import Tensor, nn

from .float_layers import FloatLinear
from .float_map import FloatMap, Log2Map
from .uniform import PublishedUniform

__all__ = ["FloatAttention"]


class FloatAttention(nn.Module):
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
        super().__init__()
        self.qkv, self.proj, self.map = qkv, proj, attention_map
        self.num_heads, self.scale = num_heads, scale
        self.q_quantizer = PublishedUniform(a_bits)
        self.k_quantizer = PublishedUniform(a_bits)
        self.v_quantizer = PublishedUniform(a_bits)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # (B, H, N, D) each
        return q, k, v

    def _attention_map(self, q: Tensor, k: Tensor) -> Tensor:
        q, k = self.q_quantizer(q), self.k_quantizer(k)
        return ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)  # (B, H, N, N)

    def calibrate(self, x: Tensor) -> None:
        """Freeze q, k, the map and v, in this order, from this input."""
        q, k, v = self._split(x)
        for quantizer, values in (
            (self.q_quantizer, q),
            (self.k_quantizer, k),
            (self.v_quantizer, v),
        ):
            if not quantizer.frozen:
                quantizer.observe(values)
        self.map.observe(self._attention_map(q, k))

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """Return (B, N, C) float32."""
        if attn_mask is not None or is_causal:
            raise ValueError("attn_mask and is_causal must be left out: ViT and DeiT have none")
        q, k, v = self._split(x)
        attention = self.map(self._attention_map(q, k))
        out = attention @ self.v_quantizer(v)  # (B, H, N, D)
        return self.proj(out.transpose(1, 2).flatten(2))
