"""The embedded networks: their images, their weights files and what they reach."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_digits
from support.models import digits_task, quantized_digits
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torchvision.datasets.mnist import read_image_file

from bitlog2.golden.simulation.tools import finished
from bitlog2.models.images.data import TensorImages
from bitlog2.models.network.lower import lower_named
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.zoo import fashion, training
from bitlog2.models.zoo.digits import digits_input, digits_pixels, held_out_mask
from bitlog2.models.zoo.embedded import EMBEDDED, PROGRAM_PATH
from bitlog2.models.zoo.training import (
    RECIPES,
    Recipe,
    augment,
    learning_rate_factor,
    round_to_half,
    save_weights,
    top1,
)
from bitlog2.scripts.cli import main
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.program import Program
from bitlog2.sim.network.program_file import program_bytes, program_of
from bitlog2.sim.network.simulator import infer

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT_SHA256 = "93f2c795fe7adb95316dc7006bee0b440d633d22ffdc891c01e133953b961410"
HELD_OUT_PER_CLASS = [54, 55, 54, 55, 55, 55, 55, 54, 53, 54]


DIGITS = EMBEDDED["digits"]


@pytest.fixture(scope="module")
def split() -> TensorImages:
    return DIGITS.images()


@pytest.fixture(scope="module")
def model() -> VisionTransformer:
    return DIGITS.load()


def exact_upsampling(image: np.ndarray) -> np.ndarray:
    """Upsample one 8x8 integer image by 4 in integers; the result is 64 times the pixel value."""
    axis = np.zeros((32, 8), dtype=np.int64)
    for target in range(32):
        # Centre of the target pixel in eighths of a source pixel, clamped at the border.
        position = max(0, 2 * target + 1 - 4)
        left = position // 8
        axis[target, left] += 8 - position % 8
        axis[target, min(left + 1, 7)] += position % 8
    return axis @ image.astype(np.int64) @ axis.T


def test_digits_split_is_fixed_and_stratified(split: TensorImages) -> None:
    assert (len(split.train.tensors[1]), len(split.test.tensors[1])) == (1253, 544)
    assert split.train.tensors[1].dtype == split.test.tensors[1].dtype == torch.int64
    assert torch.bincount(split.test.tensors[1]).tolist() == HELD_OUT_PER_CLASS
    for images in (split.train.tensors[0], split.test.tensors[0]):
        assert images.shape[1:] == (1, 32, 32)
        assert images.dtype == torch.float32


def test_digits_held_out_pixels_are_pinned_and_no_others_are_like_them() -> None:
    pixels, labels = digits_pixels()
    mask = held_out_mask(labels)
    held_out = np.ascontiguousarray(pixels[mask])
    assert hashlib.sha256(held_out.tobytes()).hexdigest() == HELD_OUT_SHA256
    assert not {image.tobytes() for image in pixels[~mask]} & {each.tobytes() for each in held_out}


def test_digits_are_those_of_scikit_learn() -> None:
    pixels, labels = digits_pixels()
    bunch = load_digits()
    assert np.array_equal(pixels, bunch.images)
    assert np.array_equal(labels, bunch.target)


def test_digits_input_equals_integer_upsampling() -> None:
    pixels, _ = digits_pixels()
    assert (pixels.min(), pixels.max()) == (0, 16)  # from -1 to 1
    expected = np.stack([exact_upsampling(image) for image in pixels])
    assert np.array_equal(digits_input(pixels)[:, 0].double().numpy() * 512 + 512, expected)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 8, 7), dtype=np.uint8),
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((2, 8, 8), dtype=np.float32),
        np.full((2, 8, 8), 17, dtype=np.uint8),
    ],
)
def test_digits_input_rejects_bad_pixels(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels"):
        digits_input(pixels)


def test_digits_weights_are_stored_as_half_in_a_small_file() -> None:
    assert DIGITS.weights_path.stat().st_size < 1_000_000
    with safe_open(DIGITS.weights_path, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in list(file.keys())} == {torch.float16}


def test_digits_model_is_loaded_as_documented(
    model: VisionTransformer, split: TensorImages
) -> None:
    """65 tokens of width 96, four blocks of three heads, finite float32 weights, eval mode."""
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    with torch.inference_mode():
        assert model.forward_features(split.test.tensors[0][:2]).shape == (2, 65, 96)
    assert [each.num_heads for each in model.modules() if hasattr(each, "num_heads")] == [3] * 4


def test_digits_float_top1_is_at_least_97_percent(
    model: VisionTransformer, split: TensorImages
) -> None:
    assert top1(model, *split.test.tensors) >= 0.97


@pytest.fixture(scope="module")
def attention_maps(model: VisionTransformer, split: TensorImages) -> Tensor:
    """Collect the float attention maps (4, 64, 3, 65, 65) of the first 64 held-out images."""
    maps: list[Tensor] = []

    def collect(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        query, key, _ = output.reshape(-1, 65, 3, 3, 32).permute(2, 0, 3, 1, 4)
        maps.append((query @ key.transpose(-2, -1) / 32**0.5).softmax(dim=-1))

    hooks = [
        module.register_forward_hook(collect)
        for name, module in model.named_modules()
        if name.endswith("attn.qkv")
    ]
    with torch.inference_mode():
        model(split.test.tensors[0][:64])
    for hook in hooks:
        hook.remove()
    return torch.stack(maps)


def test_digits_attention_reaches_every_octave_and_beyond(attention_maps: Tensor) -> None:
    """Each octave down to the smallest code, near one, and below that code."""
    for octave in range(16):
        reached = (attention_maps >= 2.0 ** -(octave + 1)) & (attention_maps < 2.0**-octave)
        assert int(reached.sum()) >= 500, octave
    assert int((attention_maps < 2.0**-16).sum()) >= 500
    assert int((attention_maps >= 0.75).sum()) >= 500


# -- Fashion-MNIST ---------------------------------------------------------------------------------

FASHION = EMBEDDED["fashion"]


def test_fashion_files_have_their_checksums() -> None:
    lines = (fashion.DATA / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    files = {path.name: path.read_bytes() for path in fashion.DATA.glob("*.gz")}
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert len(sums) == 4


def test_fashion_images_are_as_torchvision_reads_them(tmp_path: Path) -> None:
    images, calibration = FASHION.images().test, FASHION.images().train
    assert (len(images), len(calibration)) == (10_000, fashion.CALIBRATION_POOL)
    assert torch.bincount(images.tensors[1]).tolist() == [1000] * 10
    (tmp_path / "plain").write_bytes(
        gzip.decompress((fashion.DATA / "t10k-images-idx3-ubyte.gz").read_bytes())
    )
    pixels = read_image_file(str(tmp_path / "plain"))
    assert torch.equal(FASHION.pixels.of(images.tensors[0][:1000])[:, 0], pixels[:1000].int())
    assert torch.equal(fashion.fashion_input(pixels.numpy()), images.tensors[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got magic"),
        (b"\0\0\x0d\x01\0\0\0\1\0", "got magic 00000d01"),
        (b"\0\0\x08\x01\0\0\0\2\0", r"must hold \[2\] bytes after its header, got 1"),
        (b"\0\0\x08\x02\0\0\0\2\0", "must hold 2 sizes, got 9 bytes"),
        (b"\x1f\x8b\x08\0", "must be whole gzip data"),
    ],
)
def test_fashion_idx_file_that_is_none_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        fashion.read_idx(tmp_path / "x")


def test_fashion_labels_without_images_are_refused(tmp_path: Path) -> None:
    for name in ("images-idx3", "labels-idx1"):
        shutil.copy(fashion.DATA / f"t10k-{name}-ubyte.gz", tmp_path)
    source = fashion.DATA / "calibration-labels-idx1-ubyte.gz"
    shutil.copy(source, tmp_path / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(ValueError, match="must have a label from 0 to 9 for each image"):
        fashion.idx_images(tmp_path, "t10k")


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_fashion_reaches_its_accuracy(count: int) -> None:
    with safe_open(FASHION.weights_path, framework="pt") as file:
        about = json.loads(file.metadata()["fashion"])
    images, labels = FASHION.images().test[:count]
    reached = 100 * top1(FASHION.load(), images, labels)
    if count == int(about["held_out_images"]):
        assert f"{reached:.2f}" == about["held_out_top1_percent"]
    assert reached > 90


def test_fashion_is_evaluated_with_every_register_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", "--model", "fashion", "--limit", "16", "--check", "all"]) == 0
    assert " 0 mismatches" in capsys.readouterr().out


# -- The program of digits -------------------------------------------------------------------------

#: What makes float sums in another order: other kernels of torch and its libraries, one thread.
OTHER_KERNELS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def program() -> Program:
    return program_of(PROGRAM_PATH.read_bytes())[0]


def test_digits_program_gives_the_digest_of_page_and_demo(
    program: Program, split: TensorImages
) -> None:
    pixels = DIGITS.pixels.of(split.test.tensors[0]).numpy().astype(np.uint16)
    digest = logits_digest(infer(program, pixels).logits)
    assert f"--expect {digest}\n```" in (ROOT / "docs" / "network.md").read_text()
    assert f"\nDIGITS := {digest}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.long
def test_digits_program_gives_the_same_logits_in_torch(
    program: Program, split: TensorImages
) -> None:
    pixels, network = DIGITS.pixels.of(split.test.tensors[0]), IntegerNetwork(program)
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in pixels.split(64)]).numpy()
    digest = logits_digest(infer(program, pixels.numpy().astype(np.uint16)).logits)
    assert logits_digest(logits) == digest


def test_digits_program_is_what_lowering_makes() -> None:
    """To the bit, on any processor."""
    images = digits_task().calibration_images(0)
    quantized = quantized_digits("BitLog2_Half_17")
    spec = QuantizationSpec("BitLog2_Half_17", "integer")
    made = lower_named("digits", quantized, images, spec, 0).program
    assert program_bytes(made)[0] == PROGRAM_PATH.read_bytes()


MAKE = """
import sys
from support.models import digits_task
from bitlog2.models.network.lower import lower_named
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.sim.network.program_file import program_bytes
task, spec = digits_task(), QuantizationSpec(sys.argv[1], "integer")
images = task.calibration_images(0)
print(task.model(images).double().sum().item())
made = lower_named("digits", quantize(task.model, images, spec), images, spec, 0).program
print(program_bytes(made)[1])
"""


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16"])
def test_digits_program_does_not_depend_on_the_kernels_of_torch(scheme: str) -> None:
    """The sum of the unquantized model's float32 logits shows that the kernels were others."""
    printed = []
    for variables in ({}, OTHER_KERNELS):
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), **variables}
        words = [sys.executable, "-W", "ignore", "-c", MAKE, scheme]
        status, text = finished(words, environment=environment, timeout=200)
        assert status == 0, text
        printed.append(text.split())
    assert printed[0][0] != printed[1][0]
    assert printed[0][1] == printed[1][1]


def test_digits_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    assert [learning_rate_factor(step, 4, 20) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate_factor(20, 4, 20) == 0.0


def test_digits_weight_matrices_alone_decay() -> None:
    network, recipe = DIGITS.build(), RECIPES["digits"]
    groups = training._optimizer(network, recipe).param_groups
    decay = {id(each): group["weight_decay"] for group in groups for each in group["params"]}
    for name, parameter in network.named_parameters():
        matrix = parameter.ndim > 1 and name not in ("pos_embed", "cls_token")
        assert decay[id(parameter)] == (recipe.weight_decay if matrix else 0.0), name


def test_digits_augmentation_of_zero_width_changes_nothing(split: TensorImages) -> None:
    recipe = Recipe(max_degrees=0.0, max_scaling=0.0, max_shift=0.0)
    images = split.train.tensors[0][:4]
    torch.testing.assert_close(
        augment(images, recipe, torch.Generator().manual_seed(1)), images, rtol=0.0, atol=1e-4
    )


def test_digits_augmentation_is_fixed_by_its_generator(split: TensorImages) -> None:
    first, second = (
        augment(split.train.tensors[0][:4], Recipe(), torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second)


def test_digits_weights_file_is_the_same_when_written_twice(
    model: VisionTransformer, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        save_weights(model, tmp_path / name, "digits", {"one": "1", "two": "2", "three": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_digits_weights_beyond_half_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float16"):
        save_weights(DIGITS.build(), tmp_path / "weights", "digits", {})
    assert not list(tmp_path.iterdir())


def test_digits_rounding_makes_weights_exact_halves() -> None:
    untrained = DIGITS.build()
    round_to_half(untrained)
    assert all(torch.equal(p, p.half().float()) for p in untrained.parameters())
