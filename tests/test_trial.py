"""The public face of `bitlog2.models`: a network of one's own, tried out, exported and lowered."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch.utils.data import DataLoader, TensorDataset

import bitlog2.models
from bitlog2.golden import verify
from bitlog2.models import (
    ImageNetwork,
    Pixels,
    QuantizationSpec,
    QuantizedModel,
    check,
    evaluate,
    export,
    load_quantized,
    lower,
    quantize,
    save_quantized,
    vectors,
    watermarks,
)
from bitlog2.models.runs.evaluation import top5
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import datapaths_of, watch
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.program_file import program_bytes
from bitlog2.sim.network.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
SPEC = QuantizationSpec("RowMax_16")
PIXELS = Pixels(255, (0.5,), (0.5,))


class Own(VisionTransformer):
    """A class of timm's blocks that no name leads to: 5 tokens, 2 heads of 8 channels."""

    def __init__(self) -> None:
        super().__init__(8, 4, 1, num_classes=6, embed_dim=16, depth=1, num_heads=2)


def drawn():
    generator = torch.Generator().manual_seed(0)
    shown = torch.randint(0, 256, (24, 1, 8, 8), generator=generator)
    return (shown / 255 - 0.5) / 0.5, torch.randint(0, 6, (24,), generator=generator)


IMAGES, LABELS = drawn()


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = Own().eval()
        for module in made.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, std=0.4)
    return made


@pytest.fixture(scope="module")
def quantized(model):
    return quantize(model, IMAGES[:8], SPEC)


@pytest.fixture(scope="module")
def network(quantized):
    return ImageNetwork(lower(quantized, IMAGES[:8], PIXELS).program, PIXELS)


def test_trial_accuracy_is_that_of_the_logits(model, quantized):
    for each in (model, quantized):
        found = evaluate(each, IMAGES, LABELS, batch_size=5)
        with torch.no_grad():
            best, hit = top5(torch.cat([each(part) for part in IMAGES.split(5)]), LABELS)
        assert torch.equal(found.predictions, best[:, 0])
        assert (found.top1.hits, found.top5.hits) == (int(hit[:, 0].sum()), int(hit.sum()))
        assert found.top1.total == 24
        assert found.logits_sha256 == ""
        assert found.agreement(found).percent == 100


def test_trial_of_batches_is_that_of_tensors(network):
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=7)
    found, whole = evaluate(network, loader), evaluate(network, IMAGES, LABELS)
    assert (found.top1, found.top5) == (whole.top1, whole.top5)
    assert found.logits_sha256 == whole.logits_sha256
    assert check(network, loader) == check(network, IMAGES)
    assert watermarks(network, loader) == watermarks(network, IMAGES)


def test_trial_of_a_program_has_the_digest_of_the_simulators_logits(network):
    pixels = PIXELS.of(IMAGES).numpy().astype("uint16")
    logits = Simulator(network.program)(pixels).logits
    assert evaluate(network, IMAGES, LABELS).logits_sha256 == logits_digest(logits)


def test_trial_agreement_counts_images_of_one_class(model, network):
    a, b = (evaluate(each, IMAGES, LABELS) for each in (model, network))
    assert a.agreement(b).hits == int((a.predictions == b.predictions).sum()) < 24
    with pytest.raises(ValueError, match="other must be of 24 images, got 3"):
        a.agreement(evaluate(model, IMAGES[:3], LABELS[:3]))


def test_trial_check_compares_every_register(quantized, network):
    of_attention, whole = check(quantized, IMAGES), check(network, IMAGES)
    assert of_attention.passed
    assert whole.passed
    assert of_attention.compared["o"] == 24 * 2 * 5 * 8
    assert set(of_attention.compared) < set(whole.compared)
    assert check(quantized, IMAGES, mode="sample:1").compared["o"] == 2 * 5 * 8


def test_trial_check_reports_a_planted_error(quantized, network):
    wrong = copy.deepcopy(quantized)
    (datapath,) = datapaths_of(wrong).values()
    datapath.level_of[0] -= 1
    found = check(wrong, IMAGES)
    assert not found.passed
    assert found.mismatched["level"] == found.mismatched["nibble"] > 0
    assert found.mismatched["score"] == 0
    assert re.match("register level: layer blocks.0.attn image 0", found.first_mismatches[0])
    planted = copy.deepcopy(network)
    (datapath,) = datapaths_of(planted).values()
    datapath.level_of[0] -= 1
    found = check(planted, IMAGES)
    assert not found.passed
    assert found.mismatched["level"] > 0


def test_trial_check_names_a_layer_that_does_not_run(quantized):
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.runs, self.left_out = quantized, copy.deepcopy(quantized)

        def forward(self, images):
            return self.runs(images)

    with pytest.raises(ValueError, match=r"run every attention layer: left_out\.blocks\.0\.attn d"):
        check(Half().eval(), IMAGES[:1])


def test_trial_watermarks_are_ranges_of_registers(quantized, network):
    of_attention, whole = watermarks(quantized, IMAGES), watermarks(network, IMAGES)
    seen = []
    (datapath,) = datapaths_of(quantized).values()
    handle = datapath.register_forward_hook(lambda *given: seen.append(given[2].map.score))
    with torch.no_grad():
        quantized(IMAGES)
    handle.remove()
    mark = of_attention["blocks.0.attn"]["score"]
    assert (mark.smallest, mark.largest) == (int(seen[0].min()), int(seen[0].max()))
    assert mark.bits_provided == datapath.config.width("score") >= mark.bits_used
    assert whole["network"]["logit"].bits_provided == 32
    assert whole["network"]["residual"].values > 0


def test_trial_exports_layers_that_verify(quantized, tmp_path):
    report = export(tmp_path / "e", quantized, IMAGES[:2], SPEC, name="own")
    assert report.lines()[0] == "own: 1 attention and 6 linear layers, 2 images"
    assert verify(tmp_path / "e").ok
    other = QuantizationSpec("RowMax_16", w_bits=6)
    with pytest.raises(ValueError, match=r"weight_bits of patch_embed\.proj must be 6, got 4"):
        export(tmp_path / "f", quantized, IMAGES[:2], other)
    assert not (tmp_path / "f").exists()


@pytest.mark.long
def test_trial_rows_are_a_set_that_verifies(quantized, tmp_path):
    written = vectors(tmp_path / "v", quantized, IMAGES[:2], name="own", heads=(1,), rows=(0, 4))
    origins = [group.origin for group in written.vectors.units[0].groups]
    assert [(each.layer, each.head, each.image, each.row) for each in origins] == [
        ("blocks.0.attn", 1, image, row) for image in (0, 1) for row in (0, 4)
    ]
    assert verify(tmp_path / "v").ok


def test_trial_model_of_no_name_is_saved_and_loaded(quantized, network, tmp_path):
    saved = QuantizedModel(quantized, "own", 6, SPEC, 0, network.program)
    save_quantized(tmp_path / "q", saved)
    found = load_quantized(tmp_path / "q", Own())
    assert found.digest == saved.digest
    assert (found.name, found.spec) == ("own", SPEC)
    with torch.no_grad():
        assert torch.equal(found.model(IMAGES), quantized(IMAGES))
    with pytest.raises(ValueError, match="must say how it was made: model must be one of digits"):
        load_quantized(tmp_path / "q")
    with pytest.raises(ValueError, match=r"must hold the tensors of own: missing: .*blocks\.1"):
        load_quantized(tmp_path / "q", VisionTransformer(8, 4, 1, 6, "token", 16, 2, 2))


def test_trial_program_follows_from_model_and_images(quantized, network):
    again = lower(quantized, IMAGES[:8], PIXELS).program
    assert program_bytes(again) == program_bytes(network.program)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (
            lambda m, _: evaluate(m, IMAGES),
            "labels must be a tensor for images in a tensor, and le",
        ),
        (lambda m, _: evaluate(m, [IMAGES], LABELS), "left out for batches, got tensor"),
        (lambda m, _: evaluate(m, IMAGES, LABELS[1:]), r"labels must be \(24,\), got \(23,\)"),
        (lambda m, _: evaluate(m, [IMAGES]), "batches must be pairs of images and as many labels"),
        (lambda m, _: evaluate(m, [(IMAGES, LABELS[1:])]), "batches must be pairs"),
        (lambda m, _: evaluate(m, []), "images must be at least one, got none"),
        (lambda m, _: evaluate(m, IMAGES[:0], LABELS[:0]), "images must be at least one, got none"),
        (
            lambda m, _: evaluate(m, IMAGES[0], LABELS[:1]),
            r"images must be \(n, C, H, W\), got \(1",
        ),
        (lambda m, _: evaluate(m, IMAGES, LABELS, batch_size=0), "batch_size must be from 1 to 40"),
        (lambda m, _: evaluate("vit", IMAGES, LABELS), "model must be a torch.nn.Module, got 'vit"),
        (
            lambda m, _: evaluate(m.patch_embed, IMAGES, LABELS),
            r"model must return logits \(16, classe",
        ),
        (lambda m, _: evaluate(copy.deepcopy(m).train(), IMAGES, LABELS), "must be in eval mode"),
        (lambda m, _: check(m, IMAGES), "check must be of a model with an integer attention map"),
        (lambda m, _: check(m, []), "check must be of a model with an integer attention map"),
        (lambda m, _: check(copy.deepcopy(m).train(), IMAGES), "must be in eval mode"),
        (lambda m, _: watermarks(m, IMAGES), "watermarks must be of a model with an integer"),
        (lambda m, out: export(out, m, IMAGES, SPEC), "capture must be of a model with an integ"),
        (lambda m, out: vectors(out, m, IMAGES[0]), r"images must be \(n, C, H, W\), at least one"),
    ],
)
def test_trial_refuses_in_one_line(model, tmp_path, call, wrong):
    with pytest.raises((ValueError, TypeError), match=f"^[^\n]*{wrong}[^\n]*$"):
        call(model, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("batches", [[{"pixels": IMAGES}], [()], [IMAGES[0]], ["images"]])
def test_trial_refuses_batches_that_hold_no_images(quantized, batches):
    for each in (check, watermarks):
        with pytest.raises(ValueError, match=r"images must be \(n, C, H, W\), got"):
            each(quantized, batches)


@pytest.mark.parametrize(
    ("chosen", "wrong"),
    [
        ({"heads": (2,)}, r"heads must be numbers from 0 to 1, each once, got \(2,\)"),
        ({"heads": ()}, "heads must be numbers from 0 to 1"),
        ({"rows": (0, 0)}, "rows must be numbers from 0 to 4, each once"),
        ({"windows": (1,)}, "windows must be numbers from 0 to 0"),
        ({"layers": ("blocks.1.attn",)}, "layer must be one of blocks.0.attn, got 'blocks.1.attn'"),
    ],
)
def test_trial_refuses_rows_that_are_not_there(quantized, tmp_path, chosen, wrong):
    with pytest.raises(ValueError, match=wrong):
        vectors(tmp_path / "x", quantized, IMAGES[:1], **chosen)


def test_trial_check_of_images_is_that_of_the_watchers(quantized):
    checker = Checker("all", threads=0)
    with watch(quantized, checker) as watched:
        watched.run(IMAGES)
    assert checker.compared == check(quantized, IMAGES).compared


def test_trial_face_imports_nothing_until_it_is_used():
    program = (
        "import sys, bitlog2.models; print(sorted({'torch', 'timm', 'numba'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert {*bitlog2.models.__all__} >= {"quantize", "evaluate", "check", "watermarks", "export"}
