"""Captured layers against the simulator, and what is refused."""

import numpy as np
import pytest
import torch
from support.evaluations import quiet
from support.models import digits_task, images, quantized_digits, quantized_swin, swin

from bitlog2.flow import capture as flow
from bitlog2.flow.capture import (
    CaptureChoice,
    capture,
    capture_layers,
    chosen_images,
    datapath_of,
)
from bitlog2.flow.selection import Selection
from bitlog2.models.images.data import ImageBatch
from bitlog2.models.ptq.attention import SelfAttention
from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.runs.request import EvaluationRequest, fields_of_file
from bitlog2.models.watch.capture import attention_heads
from bitlog2.models.zoo.checkpoint import QuantizedModel, save_quantized
from bitlog2.sim import attention

SCHEME = "BitLog2_Half_17"
SWIN_LAYERS = tuple(f"layers.{stage}.blocks.{block}.attn" for stage in (0, 1) for block in (0, 1))


def batches(model_images, numbers):
    return [ImageBatch(model_images[n : n + 1], torch.zeros(1), torch.tensor([n])) for n in numbers]


def digits_layers(numbers, layers=("blocks.0.attn", "blocks.3.attn")):
    chosen = chosen_images(digits_task().data, numbers, quiet)
    return capture_layers(quantized_digits(SCHEME), chosen, layers)


def swin_layers(numbers=(0, 1), scheme=SCHEME):
    return capture_layers(quantized_swin(scheme), batches(images(), numbers), SWIN_LAYERS)


REGISTERS = ("score", "level", "nibble", "flag", "o")


def simulated(part, place):
    """Return the simulator's registers of one image of a captured layer, (W, H, N, ...)."""
    grid = part.q.shape[1:3]
    mask = None if part.masked is None else part.masked.repeat(part.heads, axis=0)
    bias = None if part.bias is None else np.tile(part.bias, (part.windows, 1, 1))
    codes = (codes[place].reshape(-1, *codes.shape[3:]) for codes in (part.q, part.k, part.v))
    trace = attention(*codes, part.params, part.config, masked=mask, bias=bias, trace=True)
    found = {name: getattr(trace, name) for name in REGISTERS}
    return {name: values.reshape(*grid, *values.shape[1:]) for name, values in found.items()}


@pytest.mark.parametrize("layers", [lambda: digits_layers((0, 5)), lambda: swin_layers()])
def test_capture_is_what_the_simulator_gives(layers):
    for part in layers():
        for place in range(len(part.images)):
            expected = simulated(part, place)
            for name in REGISTERS:
                assert np.array_equal(getattr(part, name)[place], expected[name]), (
                    part.layer,
                    name,
                )


def test_capture_of_digits_has_the_shapes_of_its_layer():
    part = digits_layers((0, 5))[1]
    assert (part.layer, part.images) == ("blocks.3.attn", (0, 5))
    assert (part.q.shape, part.level.shape) == ((2, 1, 3, 65, 32), (2, 1, 3, 65, 65))


def test_capture_of_swin_keeps_windows_mask_and_bias():
    plain, shifted = swin_layers()[:2]
    assert (shifted.windows, shifted.bias.shape) == (4, (2, 16, 16))
    assert (plain.masked, shifted.masked.shape) == (None, (4, 16, 16))
    assert shifted.masked.any()


def test_capture_of_an_image_does_not_depend_on_the_others():
    alone, among = digits_layers((5,))[1], digits_layers((0, 3, 5))[1]
    assert np.array_equal(alone.o[0], among.o[2])
    assert np.array_equal(alone.q[0], among.q[2])


def test_capture_numbers_layers_in_execution_order():
    order = []
    model = quantized_swin(SCHEME)
    handles = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in model.named_modules()
        if isinstance(module, SelfAttention)
    ]
    model(images(1))
    for handle in handles:
        handle.remove()
    assert tuple(attention_heads(model)) == tuple(order) == SWIN_LAYERS


def test_capture_counts_the_same_heads_before_and_after_quantization():
    assert attention_heads(swin()) == attention_heads(quantized_swin(SCHEME))


def test_capture_chooses_images_by_their_number():
    found = chosen_images(digits_task().data, (2, 40), quiet)
    assert [batch.numbers.tolist() for batch in found] == [[2], [40]]


def test_capture_refuses_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match=r"layer must be one of blocks\.0\.attn, .* got 'head'"):
        digits_layers((0,), ("head",))


def test_capture_refuses_no_images():
    with pytest.raises(ValueError, match="images must hold at least one"):
        capture_layers(quantized_digits(SCHEME), [], ["blocks.0.attn"])


ATTENTION = {"arithmetics": ("attention",)}


def request(**fields):
    """A request for digits whose registers are not checked."""
    usual = {"models": ("digits",), "schemes": (SCHEME,), "check": "none"}
    return EvaluationRequest(**usual | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schemes": ("none",), **ATTENTION}, "have an integer datapath, got 'none'"),
        ({"schemes": ("uniform_4",), **ATTENTION}, "have an integer datapath, got 'uniform_4'"),
        ({"arithmetics": ("float",)}, "arithmetic must be attention or integer"),
        ({"seeds": (0, 1)}, "must have one quantized model, got 2"),
    ],
)
def test_capture_refuses_a_model_without_a_datapath(fields, message):
    with pytest.raises(ValueError, match=message):
        datapath_of(request(**fields))


def loaded(folder, spec, seed=0):
    saved = QuantizedModel(quantized_digits(SCHEME, spec.arithmetic), "digits", 10, spec, seed)
    save_quantized(folder / "q.safetensors", saved)
    return request(**fields_of_file(folder / "q.safetensors"))


def choice(layers="0", images="0"):
    return CaptureChoice(Selection.of(layers), Selection.of(images))


def test_capture_takes_what_a_loaded_file_says(tmp_path):
    spec = QuantizationSpec(SCHEME, "attention")
    captured = capture(loaded(tmp_path, spec, 7), choice("blocks.3.attn"), quiet)
    assert datapath_of(captured.request) == ("digits", spec, 7)
    assert captured.chosen == {"layers": (3,), "images": (0,)}


def test_capture_refuses_a_file_that_is_another_model_meanwhile(tmp_path):
    asked = loaded(tmp_path, QuantizationSpec(SCHEME, "attention"), 7)
    loaded(tmp_path, QuantizationSpec(SCHEME, "attention"), 8)
    with pytest.raises(ValueError, match="must be what was asked for, got another model"):
        capture(asked, choice(), quiet)


def test_capture_refuses_a_loaded_float_model(tmp_path):
    with pytest.raises(ValueError, match="arithmetic must be attention or integer"):
        capture(loaded(tmp_path, QuantizationSpec(SCHEME, "float")), choice(), quiet)


@pytest.mark.parametrize("chosen", [{"layers": "4"}, {"images": "544"}])
def test_capture_refuses_a_selection_before_it_quantizes(chosen, monkeypatch):
    monkeypatch.setattr(flow, "quantize", None)
    with pytest.raises(ValueError, match="must be from 0 to"):
        capture(request(), choice(**chosen), quiet)
