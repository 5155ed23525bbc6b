"""What self-attention has in both arithmetics: q, k and v, each with a per-tensor quantizer."""

from torch import Tensor, nn

from .quantized_layer import QuantizedLayer
from .uniform import UniformQuantizer

__all__ = ["SelfAttention"]


class SelfAttention(nn.Module):
    """The projections of timm's `Attention`, and quantizers for q, k and v.

    Args:
        qkv, proj: quantized projections.
        num_heads: H.
        scale: factor of the scores, applied after q and k are quantized (ViT, DeiT).
        quantizers: for q, k and v, in this order.
    """

    def __init__(
        self,
        qkv: QuantizedLayer,
        proj: QuantizedLayer,
        num_heads: int,
        scale: float,
        quantizers: tuple[UniformQuantizer, UniformQuantizer, UniformQuantizer],
    ) -> None:
        super().__init__()
        self.qkv, self.proj = qkv, proj
        self.num_heads, self.scale = num_heads, scale
        self.q_quantizer, self.k_quantizer, self.v_quantizer = quantizers

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v, (B, H, N, D) float32 each, of tokens (B, N, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        return q, k, v

    def observe_qkv(self, x: Tensor) -> None:
        """Freeze the quantizers of q, k and v that are not frozen, from this input."""
        quantizers = (self.q_quantizer, self.k_quantizer, self.v_quantizer)
        for quantizer, values in zip(quantizers, self.split(x), strict=True):
            if not quantizer.frozen:
                quantizer.observe(values)

    @staticmethod
    def refuse_mask(attn_mask: None, is_causal: bool) -> None:
        """Raise ValueError unless there is no mask, as in ViT and DeiT."""
        if attn_mask is not None or is_causal:
            raise ValueError("attn_mask and is_causal must be left out: ViT and DeiT have none")
