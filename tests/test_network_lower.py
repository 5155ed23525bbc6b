"""Lowering: what it folds, chooses and refuses; digits, every form of a ViT, a Swin."""

import copy
import re
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from support.command import call
from support.models import digits_task, quantized_digits, swin
from support.quick import one_in, quick_where
from timm.layers import GluMlp, QuickGELU, RmsNorm, SwiGLU, SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import ParallelThingsBlock, VisionTransformer
from torch import nn

from bitlog2.flow.execution import execute
from bitlog2.models.images.pixels import Pixels
from bitlog2.models.network import scales
from bitlog2.models.network.check import NetworkChecker
from bitlog2.models.network.lower import _try_out, lower
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.network.replay import replayed
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.zoo.task import pixels_of
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.multiplier import stream_fraction_bits
from bitlog2.sim.network.program import Mlp
from bitlog2.sim.network.program_file import read_program, write_program
from bitlog2.sim.network.simulator import infer

#: A scheme of each kind.
requirement = pytest.mark.requirement
LOWERED = ("BitLog2_Half_17", "BitLog2_Single_16", "RowMax_16")
PIXELS = Pixels(255, (0.5, 0.4, 0.6), (0.25, 0.25, 0.3))


def pictures(count, seed, side=16):
    """Smooth normalized images."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (count, 3, 4, 4), generator=generator).float()
    raw = nn.functional.interpolate(coarse, size=side, mode="bilinear").round()
    mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in (PIXELS.mean, PIXELS.deviation))
    return (raw / 255 - mean) / deviation


def vit(kind=VisionTransformer, **form):
    """A small ViT with weights and layer scales that matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
        model = kind(num_classes=6, **shape, **form)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=1.5)
            if isinstance(module, nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.3, 2.0)
                nn.init.normal_(module.bias, std=0.5)
            if hasattr(module, "gamma"):
                nn.init.normal_(module.gamma, std=0.7)
                module.gamma.data[3:5] = torch.tensor([0.0, 1e-20])
    return model.eval().requires_grad_(False)


def calibrated(model, side=16, bits=8, scheme="RowMax_16"):
    return quantize(model, pictures(24, 1, side), QuantizationSpec(scheme, "attention", bits, bits))


def lowered(model, side=16, **given):
    return lower(model, pictures(24, 1, side), PIXELS, **given)


def cosine(program, logit_bits, model, images):
    """How near the program's logits are to those of the calibrated model."""
    with torch.inference_mode():
        expected = model(images).double()
        found = IntegerNetwork(program)(PIXELS.of(images)).double() * 2.0**-logit_bits
    return nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0).item()


def as_pixels(images, pixels):
    return pixels.of(images).numpy().astype(np.uint16)


# -- Digits ----------------------------------------------------------------------------------------


@cache
def lowered_digits(scheme, bits):
    task = digits_task()
    return lower(
        quantized_digits(scheme, bits=bits), task.calibration_images(0), pixels_of("digits")
    )


def digits_pixels(count):
    return as_pixels(digits_task().data.test.tensors[0][:count], pixels_of("digits"))


@pytest.mark.parametrize(
    ("scheme", "bits"),
    quick_where(lambda *each: each == ("BitLog2_Half_17", 4), product(LOWERED, (4, 8))),
)
def test_lower_digits_every_register_is_the_same_in_torch_and_simulator(scheme, bits):
    program, pixels = lowered_digits(scheme, bits).program, digits_pixels(8)
    checker = NetworkChecker(program)
    logits = checker(torch.from_numpy(pixels.astype(np.int32)))
    assert (checker.mismatched, checker.compared > 8 * 10**6) == (0, True)
    assert np.array_equal(logits.numpy(), infer(program, pixels).logits)


@pytest.mark.parametrize(
    ("scheme", "images"),
    quick_where(lambda *each: each == ("RowMax_16", 96), product(LOWERED, (96, 544))),
)
def test_lower_digits_logits_of_every_image_are_the_same(scheme, images):
    program, pixels = lowered_digits(scheme, 4).program, digits_pixels(images)
    model, logits = IntegerNetwork(program), infer(program, pixels).logits
    with torch.inference_mode():
        parts = [model(x) for x in torch.from_numpy(pixels.astype(np.int32)).split(64)]
    assert np.array_equal(torch.cat(parts).numpy(), logits)


@pytest.mark.parametrize(
    ("scheme", "bits"),
    quick_where(lambda *each: each == ("RowMax_16", 4), product(LOWERED, (4, 8))),
)
def test_lower_digits_predictions_are_those_of_integer_attention(scheme, bits):
    """98 of 100: LayerNorm, GELU and residuals in integers cost nothing that shows."""
    images = digits_task().data.test.tensors[0]
    logits = infer(lowered_digits(scheme, bits).program, digits_pixels(544)).logits
    with torch.inference_mode():
        expected = quantized_digits(scheme, bits=bits)(images).argmax(dim=1)
    assert np.mean(logits.argmax(axis=1) == expected.numpy()) >= 0.98


def test_lower_digits_program_survives_its_file(tmp_path):
    program = lowered_digits("RowMax_16", 4).program
    write_program(tmp_path / "digits", program)
    found, _ = read_program(tmp_path / "digits")
    pixels = digits_pixels(4)
    assert np.array_equal(infer(found, pixels).logits, infer(program, pixels).logits)


def test_lower_command_writes_a_program_that_runs_to_the_digest_of_torch(tmp_path, capsys):
    program, pixels, out = (tmp_path / name for name in ("digits.bitlog2", "digits.npz", "out.npz"))
    words = [
        "--out",
        program,
        "--pixels",
        pixels,
        "--limit",
        40,
        "--scheme",
        "RowMax_16",
        "--check",
        2,
    ]
    assert call("lower", "digits", *words) == 0
    said = capsys.readouterr().out.splitlines()
    found = execute(program, pixels, out)
    assert said[-3] == f"pixels {pixels}: 40 images"
    assert said[-2].endswith(" values compared, 0 mismatches")
    assert said[-1] == f"program {program}: {found.program}"
    model = IntegerNetwork(lowered_digits("RowMax_16", 4).program)
    with torch.inference_mode():
        logits = model(torch.from_numpy(digits_pixels(40).astype(np.int32))).numpy()
    assert found.digest == logits_digest(logits)


def test_lower_command_reports_a_register_that_differs(tmp_path, capsys, monkeypatch):
    class Wrong(NetworkChecker):
        def __init__(self, program):
            super().__init__(program)
            self.network.steps[3].q.scaling.constant += 1

    monkeypatch.setattr("bitlog2.flow.lower.NetworkChecker", Wrong)
    assert call("lower", "digits", "--out", tmp_path / "digits", "--check", 1) == 1
    said = capsys.readouterr().out
    assert re.search(r"^image 0 steps\.3\.q linear_requantizer linear_code token 0 cha", said, re.M)
    file = tmp_path / "digits.mismatch.json"
    assert f"the first one, again: bitlog2 replay {file}\n" in said
    assert replayed(file).status == 0


def test_lower_command_refuses_a_loaded_model(tmp_path):
    message = (
        "^--load must be left out by lower, which observes the images that it calibrates with$"
    )
    with pytest.raises(ValueError, match=message):
        call("lower", "digits", "--out", tmp_path / "x", "--load", tmp_path / "y")


# -- Forms of models -------------------------------------------------------------------------------

FORMS = {
    "plain": {},
    "registers": {"reg_tokens": 3},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "mean of the norm": {"global_pool": "avg", "fc_norm": False},
    "mean with prefix": {"global_pool": "avg", "pool_include_prefix": True, "reg_tokens": 1},
    "prefix without positions": {"no_embed_class": True, "reg_tokens": 2},
    "no positions": {"pos_embed": "none"},
    "quick gelu": {"act_layer": QuickGELU},
    "relu": {"act_layer": nn.ReLU},
    "layer scale": {"init_values": 0.5},
    "norm in front": {"pre_norm": True},
    "no bias of qkv": {"qkv_bias": False},
    "distilled, q/k norm": {"kind": VisionTransformerDistilled, "qk_norm": True},
    "gated": {"mlp_layer": SwiGLUPacked, "init_values": 0.5},
    "gate last": {"mlp_layer": GluMlp},
}


@cache
def form(name):
    """A calibrated model of a form, and what it is lowered to."""
    model = calibrated(vit(**FORMS[name]))
    return model, lowered(model)


@pytest.mark.parametrize("name", one_in(2, FORMS))
def test_lower_every_form_of_a_vit_is_near_its_calibrated_model(name):
    model, (program, choices) = form(name)
    images = pictures(12, 2)
    assert cosine(program, choices.logit_bits, model, images) > 0.995
    with torch.inference_mode():
        logits = IntegerNetwork(program)(PIXELS.of(images)).numpy()
    assert np.array_equal(infer(program, as_pixels(images, PIXELS)).logits, logits)


@cache
def calibrated_swin(bits):
    return calibrated(swin(), 32, bits)


@pytest.mark.parametrize("bits", [4, 8])
def test_lower_swin_is_near_its_calibrated_model(bits):
    model = calibrated_swin(bits)
    program, choices = lowered(model, 32)
    images = pictures(6, 2, 32)
    assert cosine(program, choices.logit_bits, model, images) > (0.995 if bits == 8 else 0.9)
    with torch.inference_mode():
        logits = IntegerNetwork(program)(PIXELS.of(images)).numpy()
    assert np.array_equal(infer(program, as_pixels(images, PIXELS)).logits, logits)


def test_lower_forgotten_sign_of_a_layer_scale_is_far():
    """What a wrong fold does to the distance that these tests look at."""
    model, (program, choices) = form("layer scale")
    step = program.steps[2]
    assert isinstance(step, Mlp)
    signs = np.where(model.blocks[0].ls2.gamma.numpy() < 0, -1, 1)
    weights = (step.fc2.weights * signs[:, None]).astype(np.int16)
    wrong = replace(step, fc2=replace(step.fc2, weights=weights))
    steps = (*program.steps[:2], wrong, *program.steps[3:])
    broken = replace(program, steps=steps)
    assert cosine(broken, choices.logit_bits, model, pictures(12, 2)) < 0.95


@requirement("BL2-HEAD-04")
def test_lower_distilled_program_gives_the_mean_of_two_heads():
    """Each alone would give the class of its own token."""
    model, (program, choices) = form("distilled, q/k norm")
    images = pictures(12, 2)
    assert [head.first for head in program.heads] == [0, 1]
    alone = [replace(program, steps=(*program.steps[:-2], head)) for head in program.heads]
    found, first, second = (
        infer(each, as_pixels(images, PIXELS)).logits for each in (program, *alone)
    )
    assert np.array_equal(found, first + second)
    for each in alone:
        assert cosine(each, choices.logit_bits, model, images) < 0.95


def test_lower_refuses_two_heads_behind_a_norm_of_one_token():
    model = copy.deepcopy(form("distilled, q/k norm")[0])
    model.norm, model.fc_norm = nn.Identity(), model.norm
    with pytest.raises(ValueError, match="must have its norm in front of its pooling, with two h"):
        lowered(model)


def test_lower_branch_that_adds_nothing_has_no_multiplier():
    _, (program, _) = form("layer scale")
    params = program.steps[2].fc2.params
    assert params.residual_multiplier[3:5] == (0, 0)
    assert params.residual_shift[3:5] == (0, 0)


# -- Choices ---------------------------------------------------------------------------------------


def test_lower_states_what_it_chose():
    choices = lowered_digits("RowMax_16", 4).choices
    (stream,) = choices.streams
    reach = 2.0 ** (15 - stream.fraction_bits)
    assert reach / 2 < 1.5 * stream.largest <= reach
    assert [each.layer for each in choices.tables] == [f"blocks.{i}.mlp" for i in range(4)]
    assert (choices.images, choices.saturated) == (32, 0)
    assert choices.agreeing >= 31
    lines = choices.lines()
    assert (
        lines[0]
        == f"stream blocks: LSB 2^-{stream.fraction_bits}, largest seen {stream.largest:.3f}"
    )
    assert lines[-1] == (
        f"calibration images: {choices.agreeing} of 32 predictions as before, 0 values of the "
        "stream saturate"
    )


def test_lower_table_ends_where_its_codes_no_longer_change():
    """Of 4 and 8 bits, and of inputs that are larger than u: no seen input has another code."""
    for scheme, bits in (("RowMax_16", 4), ("RowMax_16", 8)):
        program, choices = lowered_digits(scheme, bits)
        model = quantized_digits(scheme, bits=bits)
        mlps = [step for step in program.steps if isinstance(step, Mlp)]
        for step, choice, block in zip(mlps, choices.tables, model.blocks, strict=True):
            ends = torch.tensor([choice.low, choice.high])
            codes = block.mlp.fc2.input_quantizer(nn.functional.gelu(ends)).int().tolist()
            half = 1 << (program.network.u_bits - 1)
            places = [
                min(max(round(x * 2**choice.fraction_bits), -half), half - 1) for x in ends.tolist()
            ]
            table = step.fc1.params.table
            found = [table[place + half] for place in places]
            assert all(abs(a - b) <= (bits == 8) for a, b in zip(codes, found, strict=True))


def test_lower_states_saturations(monkeypatch):
    """With an LSB four times too fine they show."""

    def finer(largest, bits):
        return stream_fraction_bits(largest, bits) + 2

    monkeypatch.setattr(scales, "stream_fraction_bits", finer)
    choices = lowered(form("plain")[0]).choices
    assert choices.saturated > 10
    assert choices.lines()[-1].endswith(f", {choices.saturated} values of the stream saturate")


def test_lower_states_other_predictions():
    """Of images of which the model said something else."""
    model, (program, _) = form("plain")
    choices = scales.Choices()
    with torch.no_grad():
        output = model(pictures(24, 1))
    _try_out(program, PIXELS.of(pictures(24, 1)), -output, choices)
    assert (choices.images, choices.agreeing < 12) == (24, True)


# -- Refusals --------------------------------------------------------------------------------------


def with_part(name, part):
    """A change of a model that puts another module in a place."""

    def change(model):
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, part)

    return change


def with_value(name, value):
    """A change of a model that sets an attribute, or the first of a tensor's values."""

    def change(model):
        parent, _, leaf = name.rpartition(".")
        owner = model.get_submodule(parent)
        if isinstance(getattr(owner, leaf), torch.Tensor):
            getattr(owner, leaf).data.flatten()[0] = value
        else:
            setattr(owner, leaf, value)

    return change


REFUSED = {
    r"layer attn_pool \(Tanh\): must be left out": with_part("attn_pool", nn.Tanh()),
    r"layer pos_drop \(Tanh\): must be left out": with_part("pos_drop", nn.Tanh()),
    r"layer norm_pre \(Tanh\): must be a LayerNorm": with_part("norm_pre", nn.Tanh()),
    r"layer blocks.0.norm1 \(RmsNorm\): must be a LayerNorm": with_part(
        "blocks.0.norm1", RmsNorm(32)
    ),
    r"layer norm \(RmsNorm\): must be a LayerNorm": with_part("norm", RmsNorm(32)),
    r"layer model \(VisionTransformer\): must have one norm in front of its head, got 2": with_part(
        "fc_norm", nn.LayerNorm(32)
    ),
    r"layer model \(VisionTransformer\): global_pool must be token or avg, got 'max'": with_value(
        "global_pool", "max"
    ),
    r"layer patch_embed.norm \(LayerNorm\): must be left out": with_part(
        "patch_embed.norm", nn.LayerNorm(32)
    ),
    "layer patch_embed .*: must be timm's PatchEmbed": with_value(
        "patch_embed.dynamic_img_pad", True
    ),
    r"layer patch_embed.proj \(Conv2d\): must be calibrated": with_part(
        "patch_embed.proj", nn.Conv2d(3, 32, 4, 4)
    ),
    r"layer blocks.1 \(ParallelThingsBlock\): must be timm's Block": with_part(
        "blocks.1", ParallelThingsBlock(32, 2)
    ),
    r"layer blocks.1.ls1 \(Tanh\): must be timm's LayerScale": with_part("blocks.1.ls1", nn.Tanh()),
    r"layer blocks.1.attn \(Attention\): must have an integer datapath": with_part(
        "blocks.1.attn", vit().blocks[0].attn
    ),
    r"layer blocks.0.mlp \(SwiGLU\): must be timm's Mlp or GluMlp": with_part(
        "blocks.0.mlp", SwiGLU(32)
    ),
    r"layer blocks.0.mlp.act \(Sigmoid\): must be GELU": with_part(
        "blocks.0.mlp", GluMlp(32, 16, act_layer=nn.Sigmoid)
    ),
    r"layer blocks.0.mlp.act \(Tanh\): must be GELU, QuickGELU, ReLU or SiLU": with_part(
        "blocks.0.mlp.act", nn.Tanh()
    ),
    r"layer blocks.0.mlp.act \(GELU\): must be GELU, QuickGELU, ReLU or SiLU": with_part(
        "blocks.0.mlp.act", nn.GELU(approximate="tanh")
    ),
    r"layer blocks.0.mlp.fc2 \(Linear\): must be calibrated": with_part(
        "blocks.0.mlp.fc2", nn.Linear(128, 32)
    ),
    r"layer blocks.1.drop_path1 \(Tanh\): must be left out": with_part(
        "blocks.1.drop_path1", nn.Tanh()
    ),
    r"layer blocks.0.mlp.fc1: linear bias must be from -536870911 to 536870911": with_value(
        "blocks.0.mlp.fc1.bias", 1e7
    ),
    "layer blocks.1.norm2: offset must be from": with_value("blocks.1.norm2.bias", 1e9),
    "layer head: logit scale of channel 0 must be below 65535.5": with_value(
        "head.weight_quantizer.delta", 1e38
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_lower_refuses_by_name(message):
    model = copy.deepcopy(form("plain")[0])
    REFUSED[message](model)
    with pytest.raises(ValueError, match=f"^{message}"):
        lowered(model)


def test_lower_refuses_models_without_an_integer_datapath():
    for model, message in (
        (nn.Linear(3, 3), r"layer model \(Linear\): must be timm's VisionTransformer or Swin"),
        (vit(), r"layer model \(VisionTransformer\): must have an integer datapath"),
        (calibrated(vit(), scheme="none"), r"layer model .*: must have an integer datapath"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            lowered(model)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (
            r"layer head \(ClassifierHead\): its pooling must be avg, got 'max'",
            with_value("head.global_pool.pool_type", "max"),
        ),
        (r"layer head.flatten \(Tanh\): must be left out", with_part("head.flatten", nn.Tanh())),
        (
            r"layer layers.0.blocks.1 \(SwinTransformerBlock\): must have a mask of its own",
            with_value("layers.0.blocks.1.dynamic_mask", True),
        ),
        (
            r"layer layers.1.downsample.norm \(RmsNorm\): must be a LayerNorm",
            with_part("layers.1.downsample.norm", RmsNorm(96)),
        ),
    ],
)
def test_lower_refuses_by_name_in_a_swin(message, change):
    model = copy.deepcopy(calibrated_swin(4))
    change(model)
    with pytest.raises(ValueError, match=f"^{message}"):
        lowered(model, 32)


def test_lower_refuses_hardware_that_does_not_hold_the_model():
    with pytest.raises(ValueError, match=r"^steps\.0: channels must be from 1 to 16, got 32$"):
        lowered(form("plain")[0], hardware={"max_channels": 16})


# -- Pixels ----------------------------------------------------------------------------------------


def test_pixels_are_those_that_images_are_made_of():
    raw = torch.arange(3 * 256).reshape(1, 3, 16, 16) % 256
    mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in (PIXELS.mean, PIXELS.deviation))
    assert torch.equal(PIXELS.of((raw / 255 - mean) / deviation), raw.int())
    digits = digits_pixels(20)
    assert (digits.min(), digits.max()) == (0, 1024)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 3, 2, 2), "images must be normalized integers from 0 to 255, got 127.5000"),
        (
            torch.full((1, 3, 2, 2), 9.0),
            "images must be normalized integers from 0 to 255, got 701",
        ),
        (torch.full((1, 3, 2, 2), torch.nan), "images must be normalized integers .*, got nan"),
        (torch.zeros(1, 1, 2, 2), r"images must be \(B, 3, lines, columns\), got \(1, 1, 2, 2\)"),
    ],
)
def test_pixels_of_other_images_are_refused(image, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        PIXELS.of(image)
