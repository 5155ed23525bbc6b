"""The pretrained models: names, preprocessing, and weights that come back bit for bit."""

import argparse
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision import transforms
from zoo_files import assert_loads, weights, write

from bitlog2.models.zoo.architectures import (
    ZOO,
    build_zoo_model,
    load_zoo_model,
    published,
    transform,
)

NAMES = tuple(ZOO)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def folder(tmp_path):
    """A folder for large files, removed at once."""
    yield tmp_path
    shutil.rmtree(tmp_path)


# Names and published figures


def test_zoo_names_are_the_published_ones():
    assert NAMES == (
        "vit_small",
        "vit_base",
        "deit_tiny",
        "deit_small",
        "deit_base",
        "swin_tiny",
        "swin_small",
    )


def test_zoo_weights_are_pinned():
    assert [model.timm_name for model in ZOO.values()] == [
        "vit_small_patch16_224.augreg_in21k_ft_in1k",
        "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "deit_tiny_patch16_224.fb_in1k",
        "deit_small_patch16_224.fb_in1k",
        "deit_base_patch16_224.fb_in1k",
        "swin_tiny_patch4_window7_224.ms_in1k",
        "swin_small_patch4_window7_224.ms_in1k",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_zoo_weights_are_known_to_timm_under_the_same_name_on_the_hub(name):
    config = timm.get_pretrained_cfg(ZOO[name].timm_name)
    assert config.hf_hub_id == f"timm/{ZOO[name].timm_name}"


def test_zoo_unquantized_accuracies_are_the_published_ones():
    found = [model.published_top1 for model in ZOO.values()]
    assert found == [81.39, 84.54, 72.21, 79.85, 81.80, 81.35, 83.23]


def test_zoo_families_follow_the_names():
    assert all(model.family == name.split("_")[0] for name, model in ZOO.items())


@pytest.mark.parametrize(
    ("scheme", "model", "accuracies"),
    [
        ("BitLog2_Half_17", "deit_small", (69.554, 89.132)),
        ("Sqrt2_16", "vit_base", (67.726, 88.228)),
        ("BitLog2_Single_16", "swin_tiny", None),
        ("none", "deit_small", None),
    ],
)
def test_zoo_quantized_accuracies_are_the_published_ones(scheme, model, accuracies):
    assert published(scheme, model) == accuracies


# Preprocessing


@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [
        ("vit_small", 248, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("deit_tiny", 256, MEAN, STD),
        ("swin_tiny", 248, MEAN, STD),
    ],
)
@pytest.mark.parametrize("shape", [(500, 375), (20, 30), (224, 224), (300, 901)])
def test_zoo_preprocessing_is_the_published_recipe(name, size, mean, std, shape):
    pixels = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    recipe = transforms.Compose(
        [
            transforms.Resize(size, interpolation=3),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    assert torch.equal(transform(ZOO[name])(image), recipe(image))


@pytest.mark.parametrize(("name", "size"), [("deit_base", 256), ("vit_base", 248)])
def test_zoo_preprocessing_keeps_the_pixels_of_an_image_of_the_resized_size(name, size):
    """No resize: output pixel (0, 0) is input pixel (margin, margin), worked by hand."""
    pixels = np.random.default_rng(4).integers(0, 256, (size, size, 3), dtype=np.uint8)
    found = transform(ZOO[name])(Image.fromarray(pixels))
    margin = (size - 224) // 2
    mean = np.array(ZOO[name].mean, np.float32)
    std = np.array(ZOO[name].std, np.float32)
    expected = (pixels[margin, margin].astype(np.float32) / np.float32(255) - mean) / std
    assert found.shape == (3, 224, 224)
    assert found[:, 0, 0].tolist() == expected.tolist()


# Weights from a file


@pytest.mark.parametrize("name", NAMES)
def test_zoo_weights_come_back_bit_for_bit_from_safetensors_and_pth(name, folder):
    for file in ("model.safetensors", "model.pth"):
        assert_loads(name, write(folder / file, weights(name)), weights(name))


def test_zoo_a_loaded_model_is_ready_for_inference(folder):
    model = load_zoo_model("deit_tiny", write(folder / "a.pt", weights("deit_tiny")))
    assert not model.training
    assert all(
        not parameter.requires_grad and parameter.dtype == torch.float32
        for parameter in model.parameters()
    )


@pytest.mark.parametrize("name", ["deit_tiny", "swin_tiny"])
def test_zoo_a_fine_tuned_model_keeps_its_number_of_classes(name, folder):
    path = write(folder / "fine.safetensors", weights(name, 10))
    assert_loads(name, path, weights(name, 10))


def test_zoo_loading_leaves_the_random_state(folder):
    path = write(folder / "a.pth", weights("deit_tiny"))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_zoo_model("deit_tiny", path)
    assert torch.equal(torch.get_rng_state(), before)


def test_zoo_an_architecture_has_the_classes_that_are_asked_for():
    assert build_zoo_model("swin_tiny", 7)(torch.zeros(1, 3, 224, 224)).shape == (1, 7)


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state"])
def test_zoo_weights_may_be_wrapped_beside_the_options_of_a_training(key, folder):
    content = {"epoch": 3, key: weights("deit_tiny"), "args": argparse.Namespace(lr=0.1)}
    assert_loads("deit_tiny", write(folder / "w.bin", content), weights("deit_tiny"))


def test_zoo_weights_of_a_parallel_training_lose_their_prefix(folder):
    content = {f"module.{key}": tensor for key, tensor in weights("deit_tiny").items()}
    assert_loads("deit_tiny", write(folder / "p.pth", content), weights("deit_tiny"))


def test_zoo_half_precision_becomes_the_same_numbers_in_float32(folder):
    half = {key: tensor.half() for key, tensor in weights("deit_tiny").items()}
    expected = {key: tensor.float() for key, tensor in half.items()}
    assert_loads("deit_tiny", write(folder / "h.safetensors", half), expected)


def test_zoo_the_original_deit_file_loads(folder):
    path = write(folder / "deit_tiny_patch16_224-a1311bcf.pth", {"model": weights("deit_tiny")})
    assert_loads("deit_tiny", path, weights("deit_tiny"))


def original_swin(state: dict[str, torch.Tensor], depths: tuple[int, ...]):
    """The names of the first Swin files: downsampling ends a stage, buffers are stored."""
    old = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[2:3] == ["downsample"]:
            parts[1] = str(int(parts[1]) - 1)
        old[".".join(parts).replace("head.fc.", "head.")] = tensor
    for stage, depth in enumerate(depths):
        for block in range(depth):
            prefix = f"layers.{stage}.blocks.{block}"
            old[f"{prefix}.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
            if block % 2 and stage < 3:
                old[f"{prefix}.attn_mask"] = torch.zeros(64 >> 2 * stage, 49, 49)
    return {"model": old}


@pytest.mark.parametrize(
    ("name", "depths"), [("swin_tiny", (2, 2, 6, 2)), ("swin_small", (2, 2, 18, 2))]
)
def test_zoo_the_original_swin_file_loads(name, depths, folder):
    path = write(folder / f"{name}.pth", original_swin(weights(name), depths))
    assert_loads(name, path, weights(name))
