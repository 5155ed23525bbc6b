"""Networks in torch: quantized, evaluated, checked against the simulator, exported and lowered.

`quantize` takes a trained network of timm's blocks and images that calibrate it. What it returns
is evaluated (`evaluate`), held to the simulator register by register (`check`, `watermarks`),
written as vectors (`export`, `vectors`), lowered to a program of integers (`lower`), and trained on
(`trainable`). `attention` is the datapath for any q, k and v; `bitlog2.models.huggingface` has it
for encoders of transformers.
"""

from typing import TYPE_CHECKING

from bitlog2.lazy import on_first_use

if TYPE_CHECKING:
    from bitlog2.flow.given import export, vectors

    from .images.pixels import Pixels
    from .network.lower import Lowered, lower
    from .network.network import ImageNetwork
    from .ptq.dot_product import DotProductAttention, attention
    from .ptq.quantize import QuantizationSpec, quantize
    from .qat import TrainableNetwork, checked, frozen, trainable
    from .trial import Evaluation, check, evaluate, watermarks
    from .zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
else:
    __getattr__ = on_first_use(__name__, __file__)

__all__ = [
    "DotProductAttention",
    "Evaluation",
    "ImageNetwork",
    "Lowered",
    "Pixels",
    "QuantizationSpec",
    "QuantizedModel",
    "TrainableNetwork",
    "attention",
    "check",
    "checked",
    "evaluate",
    "export",
    "frozen",
    "load_quantized",
    "lower",
    "quantize",
    "save_quantized",
    "trainable",
    "vectors",
    "watermarks",
]
