"""The embedded networks: small DeiT-shaped transformers whose weights and images are shipped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer

from ..images.data import TensorImages
from ..images.pixels import Pixels
from . import digits, fashion

_DATA = Path(__file__).parent / "data"
#: Of all of them, beside image size and classes.
ARCHITECTURE: dict[str, Any] = {
    "patch_size": 4,
    "in_chans": 1,
    "embed_dim": 96,
    "depth": 4,
    "num_heads": 3,
    "mlp_ratio": 4,
    "qkv_bias": True,
}


@dataclass(frozen=True)
class EmbeddedModel:
    """An embedded network with its images.

    Attributes:
        name: as `--model` takes it.
        image_size: lines and columns of an image.
        classes: number of classes.
        pixels: what a pixel stands for.
        images: returns the images that may calibrate it and those that it is evaluated on.
    """

    name: str
    image_size: int
    classes: int
    pixels: Pixels
    images: Callable[[], TensorImages]

    @property
    def weights_path(self) -> Path:
        """Its parameters, float16 safetensors."""
        return _DATA / f"{self.name}.safetensors"

    def build(self) -> VisionTransformer:
        """Return the untrained network: timm's VisionTransformer with a class token.

        Input float32 (n, 1, image_size, image_size), output logits float32 (n, classes);
        (image_size/4)^2 + 1 tokens of width 96, 4 blocks of 3 heads with 32 channels each.
        Parameters are drawn from torch's global generator.
        """
        return VisionTransformer(img_size=self.image_size, num_classes=self.classes, **ARCHITECTURE)

    def load(self) -> VisionTransformer:
        """Return the trained network in eval mode with float32 parameters.

        Every float16 value is a float32 value, so the conversion is exact. Trained by
        `bitlog2.models.zoo.training`.

        Raises:
            FileNotFoundError: the file is missing.
            RuntimeError: it does not fit the network.
        """
        model = self.build()
        stored = load_file(self.weights_path)
        model.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
        return model.eval()


#: By name.
EMBEDDED = {
    each.name: each
    for each in (
        EmbeddedModel(
            "digits", digits.IMAGE_SIZE, digits.CLASSES, digits.PIXELS, digits.digits_images
        ),
        EmbeddedModel(
            "fashion", fashion.IMAGE_SIZE, fashion.CLASSES, fashion.PIXELS, fashion.fashion_images
        ),
    )
}
#: The program of digits in BitLog2_Half_17, W4A4, as `bitlog2 lower digits` made it.
PROGRAM_PATH = _DATA / "digits.bitlog2"
