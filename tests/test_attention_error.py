"""`scripts/attention_error.py`: what it measures, and the second network's weights by name."""

import json
from pathlib import Path

import pytest
import torch
from support.models import digits_task, quantized_digits

from bitlog2 import extras
from bitlog2.models.watch.layer_statistics import mean_attention_error
from bitlog2.models.watch.statistics import MapStatistics
from bitlog2.models.watch.watching import watch
from bitlog2.scripts import attention_error


def test_attention_error_is_that_of_the_statistics():
    task = digits_task()
    images = task.calibration_images(0)
    statistics = MapStatistics()
    with watch(quantized_digits("RowMax_16"), statistics) as watched:
        watched.run(images)
    found = attention_error.measured(task.model, images, "RowMax_16")
    layers = statistics.layers.values()
    assert found["error_percent"] == round(mean_attention_error(layers), 2)
    assert len(found["by_layer"]) == 4
    assert sum(found["by_layer"]) / 4 == pytest.approx(found["error_percent"], abs=0.01)
    assert (
        0
        < found["zeros_percent"]
        == round(
            100 * sum(layer.zeros[0] for layer in layers) / sum(layer.zeros[1] for layer in layers),
            2,
        )
    )
    assert found["mass_percent"] == 100  # a row is divided by its sum
    assert 0.9 < found["cosine"] < 1


def test_attention_error_crops_follow_from_the_seed():
    first, again, other = (attention_error.crops(seed) for seed in (0, 0, 1))
    assert first.shape == (16, 3, 224, 224)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("cls_token", ["embeddings.cls_token"]),
        ("pos_embed", ["pos_embed"]),
        ("norm.weight", ["layernorm.weight"]),
        ("blocks.3.norm1.bias", ["encoder.layer.3.norm1.bias"]),
        ("blocks.3.mlp.fc1.weight", ["encoder.layer.3.mlp.fc1.weight"]),
        ("blocks.3.ls2.gamma", ["encoder.layer.3.layer_scale2.lambda1"]),
        ("blocks.3.attn.proj.bias", ["encoder.layer.3.attention.output.dense.bias"]),
        (
            "blocks.3.attn.qkv.weight",
            [f"encoder.layer.3.attention.attention.{x}.weight" for x in ("query", "key", "value")],
        ),
    ],
)
def test_attention_error_names_of_the_second_network(name, sources):
    assert attention_error.source_names(name) == sources


def test_attention_error_names_the_extra_that_it_lacks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert attention_error.main(["--onnx", str(tmp_path / "m.onnx")]) == 2
    assert "needs the extra [onnx]" in capsys.readouterr().err


def test_page_says_how_much_nearer_row_max_is_by_the_stored_errors():
    root = Path(__file__).parents[1]
    stored = json.loads((root / "models" / "zoo" / "attention_error.json").read_text())
    ratios = [
        each["BitLog2_Half_17"]["error_percent"] / each["RowMax_16"]["error_percent"]
        for each in stored.values()
    ]
    of_digits, of_fashion, of_vit = (f"{ratio:.1f}" for ratio in ratios)
    said = (
        f"nearer than `Half_17` by {of_digits} times on `digits`, {of_fashion} on `fashion`, whose "
        f"maps are flat, and {of_vit} on ViT-S/14"
    )
    assert said in " ".join((root / "docs" / "codes.md").read_text().split())
