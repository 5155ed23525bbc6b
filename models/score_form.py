"""How a model turns q and k into scores: where 1/sqrt(D) is applied, and what is added."""

from dataclasses import dataclass

from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn

from .supported import Attention

__all__ = ["ScoreForm", "score_form"]


@dataclass(frozen=True, eq=False)
class ScoreForm:
    """The constants of an attention layer's scores.

    scores = (q * query_scale) k^T * score_scale + position_bias

    Attributes:
        num_heads: H.
        query_scale: factor of q before its quantizer: 1/sqrt(D) in Swin, else 1.
        score_scale: factor of the product after the quantizers: 1/sqrt(D) in ViT and DeiT, else 1.
        position_bias: (1, H, N, N) float32, Swin's relative position bias, or None.
    """

    num_heads: int
    query_scale: float
    score_scale: float
    position_bias: Tensor | None


def score_form(name: str, attention: Attention | WindowAttention) -> ScoreForm:
    """Return the form of timm's attention layer of that module name.

    Raises:
        ValueError: the layer has a part that the datapath lacks.
    """
    if isinstance(attention, WindowAttention):
        bias = attention._get_rel_pos_bias().detach().clone()
        return ScoreForm(attention.num_heads, attention.scale, 1.0, bias)
    parts = (attention.q_norm, attention.k_norm, getattr(attention, "norm", nn.Identity()))
    if getattr(attention, "gate", None) is not None or not all(
        isinstance(part, nn.Identity) for part in parts
    ):
        raise ValueError(f"layer {name}: attention must have no q/k norm, output norm or gate")
    return ScoreForm(attention.num_heads, 1.0, attention.scale, None)
