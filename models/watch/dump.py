"""Every scale, zero point and reparameterization of a quantized model, by module name."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from bitlog2.sim.files import write_whole

from ..zoo.checkpoint import QuantizedModel
from .digest import model_digest

#: Buffers that say how a model is quantized, by the last part of their names.
_DUMPED = ("delta", "zero_point", "reparam_r", "reparam_b")


def quantizer_values(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """Return the quantizers of a model by module name.

    `LAYER.input_quantizer.delta`, `.zero_point`, and the same of `weight_quantizer`, for each
    linear layer and the patch projection; `ATTENTION.q_quantizer`, `k_quantizer`, `v_quantizer`;
    the attention map's scale as `ATTENTION.map.delta` (float arithmetic), `ATTENTION.delta` (a
    BitLog2 code in integers) or `ATTENTION.map_quantizer.delta` (`uniform_4` in integers);
    `LAYER.reparam_r` and `LAYER.reparam_b`, by which the LayerNorm before the layer was divided and
    lowered. Scalars have shape (), values by channel (C,); float32, delta of a BitLog2 code in
    integers float64.
    """
    values = {}
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in _DUMPED and buffer.numel():
            array = buffer.detach().cpu().numpy()
            values[name] = array.reshape(()) if array.size == 1 else array.reshape(-1)
    return values


def dump_quantizers(path: Path, quantized: QuantizedModel) -> None:
    """Write `quantizer_values` as a numpy .npz, whole or not at all.

    Its entry `about` is JSON text: model, quantization, seed, and `model_sha256`, the digest of all
    tensors that the result of a run gives too.
    """
    about = {
        "model": quantized.name,
        "quantization": msgspec.to_builtins(quantized.spec),
        "seed": quantized.seed,
        "model_sha256": model_digest(quantized.model),
    }
    values: dict[str, Any] = quantizer_values(quantized.model)
    buffer = BytesIO()
    np.savez(buffer, about=np.array(json.dumps(about)), **values)
    write_whole(path, buffer.getvalue())
