"""Models of timm by family, small ones by keys with random weights, and what becomes of each."""

from typing import NamedTuple

VIT = "vit_tiny_patch16_224"
_SMALL = "img_size=64,depth=2,embed_dim=48,num_heads=3"
_SMALL_14 = "img_size=56,depth=2,embed_dim=48,num_heads=3"
_SWIN = "img_size=64,window_size=4,embed_dim=24,depths=(2,2)"


class Family(NamedTuple):
    """A family, one of its models, and where it is refused.

    Attributes:
        title: of the family.
        name: in timm.
        keys: that make it small.
        refused: part that the refusal names, "" where there is none.
        arithmetics: in which it is refused.
    """

    title: str
    name: str
    keys: str
    refused: str = ""
    arithmetics: tuple[str, ...] = ("float", "attention", "integer")

    @property
    def model(self) -> str:
        """As `--model` takes it."""
        keys = f",{self.keys}" if self.keys else ""
        return f"timm:{self.name}{keys},num_classes=3,pretrained=False"

    @property
    def row(self) -> str:
        """Its row in docs/models.md."""
        what = "whole"
        if self.refused:
            rest = "" if len(self.arithmetics) == 3 else f" in {', '.join(self.arithmetics)}"
            what = f"refused{rest}: `{self.refused}`"
        return f"| {self.title} | `{self.name}` | {what} |"


_NETWORK = ("integer",)
FAMILIES = (
    Family("ViT", VIT, _SMALL),
    Family("ViT, mean of tokens", "vit_base_patch16_siglip_gap_224", _SMALL),
    Family(
        "ViT, no class token, no bias of qkv",
        "vit_small_patch16_224",
        f"{_SMALL},qkv_bias=False,class_token=False,global_pool=avg",
    ),
    Family("ViT, registers", "vit_little_patch16_reg4_gap_256", f"{_SMALL},init_values=0.5"),
    Family("DINOv2", "vit_small_patch14_dinov2", f"{_SMALL_14},init_values=0.5"),
    Family("DINOv2, registers", "vit_small_patch14_reg4_dinov2", f"{_SMALL_14},init_values=0.5"),
    Family("DeiT III", "deit3_small_patch16_224", f"{_SMALL},init_values=0.5"),
    Family("CLIP", "vit_base_patch16_clip_quickgelu_224", _SMALL),
    Family("FlexiViT", "flexivit_small", _SMALL),
    Family("Swin", "swin_base_patch4_window12_384", f"{_SWIN},patch_size=2"),
    Family(
        "Swin, a window per stage",
        "swin_s3_tiny_224",
        "img_size=64,window_size=(4,8),embed_dim=24,depths=(2,2),num_heads=(2,3)",
    ),
    Family("DeiT, distilled", "deit_tiny_distilled_patch16_224", _SMALL),
    Family("ViT, q/k norm", VIT, f"{_SMALL},qk_norm=True"),
    Family("DINOv2 giant (SwiGLU)", "vit_giant_patch14_dinov2", f"{_SMALL_14},init_values=0.5"),
    Family(
        "NaFlexViT",
        "naflexvit_base_patch16_gap",
        "depth=1,embed_dim=48,num_heads=3",
        "NaFlexVit",
        _NETWORK,
    ),
    Family(
        "ViT, parallel blocks",
        "vit_small_patch16_18x2_224",
        _SMALL,
        "blocks.0 (ParallelThingsBlock)",
        _NETWORK,
    ),
    Family(
        "SigLIP (attention pooling)",
        "vit_base_patch16_siglip_224",
        _SMALL,
        "attn_pool (AttentionPoolLatent)",
    ),
    Family("Swin V2", "swinv2_tiny_window8_256", _SWIN, "layers.0.blocks.0.attn (WindowAttention)"),
    Family("BEiT", "beit_base_patch16_224", _SMALL, "blocks.0.attn (Attention)"),
    Family("EVA-02", "eva02_tiny_patch14_224", _SMALL_14, "blocks.0.attn (EvaAttention)"),
    Family("DINOv3", "vit_small_patch16_dinov3", _SMALL, "blocks.0.attn (EvaAttention)"),
    Family("CaiT", "cait_xxs24_224", _SMALL, "blocks.0.attn (TalkingHeadAttn)"),
    Family("XCiT", "xcit_nano_12_p16_224", _SMALL, "blocks.0.attn (XCA)"),
    Family("MViT v2", "mvitv2_tiny", "img_size=64", "stages.0.blocks.0.attn (MultiScaleAttention)"),
    Family(
        "Hiera",
        "hiera_tiny_224",
        "img_size=64,stages=(1,1,1,1)",
        "blocks.0.attn (MaskUnitAttention)",
    ),
    Family("MaxViT", "maxvit_tiny_tf_224", "", "stem.conv1 (Conv2dSame)"),
    Family("PiT", "pit_ti_224", "img_size=64", "transformers.1.pool.conv (Conv2d)"),
    Family("LeViT", "levit_128s", "", "stages.0.blocks.0.attn (Attention)"),
    Family("MLP-Mixer", "mixer_s32_224", "", "model (MlpMixer): must have an attention"),
    Family("ConvNeXt", "convnext_atto", "", "model (ConvNeXt): must have an attention"),
    Family("ResNet", "resnet18", "", "model (ResNet): must have an attention"),
)
