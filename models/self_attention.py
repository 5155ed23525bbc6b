"""What self-attention has in both arithmetics: q, k and v, each with a per-tensor quantizer."""

from torch import Tensor, nn

from .quantized_layer import QuantizedLayer
from .score_form import ScoreForm
from .uniform import UniformQuantizer

__all__ = ["SelfAttention", "of_every_window"]


class SelfAttention(nn.Module):
    """The projections of timm's `Attention` or `WindowAttention`, and quantizers for q, k and v.

    ViT and DeiT attend over all tokens of an image, B = images. Swin attends within windows:
    B = images * windows, windows of one image together, and a mask (windows, N, N) of 0 and -100
    where the shifted image has windows that hold parts of several regions.

    Args:
        qkv, proj: quantized projections.
        form: how q and k make scores.
        quantizers: for q, k and v, in this order.
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
        self.q_quantizer, self.k_quantizer, self.v_quantizer = quantizers

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v, (B, H, N, D) float32 each, of tokens (B, N, C)."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        return (q if self.query_scale == 1 else q * self.query_scale), k, v

    def observe_qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Freeze the quantizers of q, k and v that are not frozen; return q, k and v."""
        quantizers = (self.q_quantizer, self.k_quantizer, self.v_quantizer)
        parts = self.split(x)
        for quantizer, values in zip(quantizers, parts, strict=True):
            if not quantizer.frozen:
                quantizer.observe(values)
        return parts

    @staticmethod
    def refuse_token_mask(attn_mask: None, is_causal: bool) -> None:
        """Raise ValueError unless there is no mask over tokens, as in ViT and DeiT."""
        if attn_mask is not None or is_causal:
            raise ValueError("attn_mask and is_causal must be left out: ViT and DeiT have none")


def of_every_window(mask: Tensor, batch: int) -> Tensor:
    """Return a mask (windows, N, N) as (batch, 1, N, N), for a batch of whole images."""
    return mask.repeat(batch // len(mask), 1, 1).unsqueeze(1)
