"""Units in float: none is the network in integers, all are the calibrated model; the table."""

import json
from functools import cache

import pytest
import torch
from support.command import call
from support.models import digits_task, images, quantized_digits, quantized_swin
from support.programs import PROGRAMS
from support.programs import images as pixels_for
from support.quick import one_in
from test_network_lower import PIXELS, calibrated, pictures, vit
from test_network_lower import lowered as lowered_form
from timm.layers import SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled

from bitlog2.flow import ablation as flow
from bitlog2.models.images.pixels import Pixels
from bitlog2.models.network.ablation import UNITS, AblatedNetwork, RealParameters, units_of
from bitlog2.models.network.lower import lower
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.zoo.task import pixels_of

#: Units whose rounding reaches the logits of a few images of digits.
ROUNDING = (
    *("linear_accumulator", "linear_requantizer", "residual_adder", "reciprocal_root"),
    *("normalizer", "norm_requantizer", "activation", "head"),
)
#: The median distance of logits from the calibrated model's, in standard deviations of these, that
#: float32 alone may leave.
FLOAT32 = 1e-6


@cache
def lowered(bits):
    """Digits: model, program, real numbers, LSB of the logits, images and their pixels."""
    made = []

    def parameters(config, seen):
        made.append(RealParameters(config, seen))
        return made[-1]

    task, model = digits_task(), quantized_digits("BitLog2_Half_17", bits=bits)
    pixels = pixels_of("digits")
    found = lower(model, task.calibration_images(0), pixels, parameters=parameters)
    taken = task.data.test.tensors[0][:24]
    step = 2.0**-found.choices.logit_bits
    return model, found.program, made[0], step, taken, pixels.of(taken)


def distance(network_step_pixels, model, taken):
    """The median distance of logits from the model's, in standard deviations of these."""
    network, step, pixels = network_step_pixels
    with torch.inference_mode():
        wanted = model(taken).double()
        return ((network(pixels) * step - wanted).abs().median() / wanted.std()).item()


@pytest.mark.parametrize("bits", [4, pytest.param(8, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_ablation_with_no_unit_in_float_is_the_integer_network(name, bits):
    program = PROGRAMS[name](scheme="BitLog2_Half_17", bits=bits)
    pixels = torch.from_numpy(pixels_for(program, 3).astype("i4"))
    found = AblatedNetwork(program, None, units_of(("none",)))(pixels)
    assert found.dtype == torch.int64
    assert torch.equal(found.int(), IntegerNetwork(program)(pixels))


def test_ablation_with_all_units_but_attention_in_float_is_the_calibrated_model():
    model, program, real, step, taken, pixels = lowered(8)
    network = AblatedNetwork(program, real, set(UNITS) - {"attention_row"})
    assert distance((network, step, pixels), model, taken) < FLOAT32


@pytest.mark.parametrize("unit", one_in(4, ROUNDING))
def test_ablation_unit_that_is_not_put_in_float_is_seen(unit):
    """The planted error: the calibrated model is missed by what that unit rounds."""
    model, program, real, step, taken, pixels = lowered(8)
    network = AblatedNetwork(program, real, set(UNITS) - {"attention_row", unit})
    assert distance((network, step, pixels), model, taken) > FLOAT32


def test_ablation_of_swin_with_all_units_in_float_is_the_calibrated_model():
    """Norms of the stream, merging, a mean of tokens, windows with masks and score biases."""
    made = []

    def parameters(config, seen):
        made.append(RealParameters(config, seen))
        return made[-1]

    taken, pixels = as_pixels(images())
    model = quantized_swin("BitLog2_Half_17", bits=8)
    found = lower(model, taken, pixels, parameters=parameters)
    step = 2.0**-found.choices.logit_bits
    for left in (set(), {"norm_requantizer"}):
        units = set(UNITS) - {"attention_row"} - left
        network = AblatedNetwork(found.program, made[0], units)
        off = distance((network, step, pixels.of(taken)), model, taken)
        assert (off < FLOAT32) == (not left), (left, off)


@pytest.mark.long
def test_ablation_of_other_forms_with_all_units_in_float_is_the_calibrated_model():
    """Two heads, norms of q and k, gated MLPs; and without the gate's unit it is not."""
    form = {"kind": VisionTransformerDistilled, "qk_norm": True, "mlp_layer": SwiGLUPacked}
    model, made = calibrated(vit(**form), scheme="BitLog2_Half_17"), []

    def parameters(config, seen):
        made.append(RealParameters(config, seen))
        return made[-1]

    found, taken = lowered_form(model, parameters=parameters), pictures(12, 2)
    step = 2.0**-found.choices.logit_bits
    for left in (set(), {"gate"}, {"head"}, {"activation"}):
        units = set(UNITS) - {"attention_row"} - left
        network = AblatedNetwork(found.program, made[0], units)
        off = distance((network, step, PIXELS.of(taken)), model, taken)
        assert (off < FLOAT32) == (not left), (left, off)


def as_pixels(taken):
    """Images as those of whole pixels, and what a pixel stands for."""
    pixels = Pixels(255, (0.5,) * 3, (0.125,) * 3)
    whole = ((taken / 8 + 0.5).clamp(0, 1) * 255).round()
    return (whole / 255 - 0.5) * 8, pixels


def test_ablation_head_in_float_differs_by_its_rounding_alone():
    """Half an LSB, and what a multiplier of 16 bits is off."""
    model, _, _, _, taken, _ = lowered(4)
    calibration = digits_task().calibration_images(0)
    batches = [(taken, None)]
    table = flow.differences(
        "digits", model, calibration, pixels_of("digits"), batches, {"head": {"head"}}
    )
    (row,) = table.rows
    assert 0 < row.mean <= row.largest < 2
    assert (row.agrees, row.top1, table.images) == (100.0, None, 24)


@pytest.mark.parametrize("planted", [False, True])
def test_ablation_table_shows_a_unit_that_rounds_although_it_is_in_float(monkeypatch, planted):
    if planted:
        scaled = AblatedNetwork._scaled
        monkeypatch.setattr(AblatedNetwork, "_scaled", lambda *x: scaled(*x).round())
    model, _, _, _, taken, _ = lowered(4)
    table = flow.differences(
        "digits",
        model,
        digits_task().calibration_images(0),
        pixels_of("digits"),
        [(taken, None)],
        {"head": {"head"}},
    )
    assert (table.rows[0].largest % 1 == 0) == planted


def test_evaluate_float_units_prints_and_writes_the_table(tmp_path, capsys):
    file = tmp_path / "table.json"
    words = ("--float-units", "none,layer_norm", "--limit", 8, "--json", file)
    assert call("evaluate", "--model", "digits", *words) == 0
    printed = capsys.readouterr().out
    (table,) = json.loads(file.read_text())
    none, norm = table["rows"]
    assert (none["units"], none["mean"], none["agrees"]) == ("none", 0, 100)
    assert norm["mean"] > 100
    assert f"{norm['mean']:,.2f}" in printed
    assert "SHA-256" not in printed


def test_evaluate_float_units_unknown_is_refused_with_the_names():
    with pytest.raises(
        ValueError, match=r"float units must be of image_requantizer, .* got 'gelu'"
    ):
        call("evaluate", "--float-units", "gelu")


@pytest.mark.parametrize(
    "words",
    [
        ("--check", "all"),
        ("--expect", "0" * 64),
        ("--run", "x"),
        ("--load", "x"),
        ("--watermarks",),
        ("--save", "x"),
    ],
    ids=lambda words: words[0],
)
def test_evaluate_float_units_refuses_what_needs_integers(words):
    with pytest.raises(ValueError, match=f"{words[0]} must be left out with --float-units"):
        call("evaluate", "--float-units", "each", *words)


def test_evaluate_float_units_refuses_other_arithmetic():
    with pytest.raises(ValueError, match="arithmetic must be integer with float units, got 'floa"):
        call("evaluate", "--float-units", "each", "--arithmetic", "float")
