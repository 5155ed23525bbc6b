"""Watermarks: ranges, bits and saturations, against the registers themselves."""

import pytest
import torch
from digits_models import digits_task, quantized_digits, run_watched
from swin_models import images, quantized_swin
from test_datapath import random_inputs

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch.watching import watch
from bitlog2.models.watch.watermarks import SATURATING, WATERMARKED, Mark, Watermarks, provided_bits
from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.spec.rounding import rnd


class Called(torch.nn.Module):
    """A model of a datapath alone, called with the tuple of its arguments."""

    def __init__(self, datapath):
        super().__init__()
        self.datapath = datapath

    def forward(self, inputs):
        return self.datapath(*inputs)


def marked(config, inputs):
    """Marks of one datapath, and its registers."""
    model, marks = Called(AttentionDatapath(config)), Watermarks()
    with watch(model, marks) as watched:
        output = watched.run(inputs, (0, 1))
    return marks.layers["datapath"], output.named()


def of_swin():
    model, marks = quantized_swin("BitLog2_Half_17"), Watermarks()
    run_watched(model, images(4, 7), marks)
    return marks


def test_watermarks_name_every_register_in_order():
    assert [name for name in WATERMARKED if name in REGISTERS] == list(REGISTERS)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_watermarks_are_smallest_and_largest(scheme):
    config = AttentionConfig(scheme)
    marks, registers = marked(config, random_inputs(33, 1, config, masks=False, bias=True))
    for name, values in registers.items():
        found = (marks[name].smallest, marks[name].largest, marks[name].values)
        assert found == (int(values.min()), int(values.max()), values.numel())


def test_watermarks_leave_masked_distances_out():
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=True, bias=False)
    marks, registers = marked(config, inputs)
    visible = registers["e"][~inputs[4].expand(registers["e"].shape)]
    assert (marks["e"].smallest, marks["e"].values) == (int(visible.min()), visible.numel())
    assert marks["t"].values > marks["d"].values


@pytest.mark.parametrize("t_bits", [12, 14, 18])
def test_watermarks_count_what_t_limits(t_bits):
    config = AttentionConfig(t_bits=t_bits)
    inputs = list(random_inputs(33, 2, config, masks=False, bias=False))
    inputs[3] = LayerParams(60000, 13, 40000, 20, 7, 8, 7, 8)
    marks, registers = marked(config, inputs)
    exact = [rnd(score * 60000, 13) for score in registers["score"].flatten().tolist()]
    limited = sum(not config.t_min <= value <= config.t_max for value in exact)
    assert marks["t"].saturated == limited
    assert (limited > 0) == (t_bits == 12)


def test_watermarks_count_what_o_limits():
    config = AttentionConfig()
    inputs = list(random_inputs(33, 3, config, masks=False, bias=False))
    inputs[3] = LayerParams(40000, 20, 40000, 20, 7, 8, 7, 8)
    marks, registers = marked(config, inputs)
    exact = [rnd(acc * 40000, 20) + 8 for acc in registers["acc"].flatten().tolist()]
    assert marks["o"].saturated == sum(not 0 <= value <= 15 for value in exact)
    assert marks["o"].saturated > 0


def test_watermarks_count_what_d_limits():
    config = AttentionConfig()
    inputs = list(random_inputs(33, 4, config, masks=True, bias=False))
    inputs[3] = LayerParams(60000, 13, 40000, 20, 7, 8, 7, 8)
    marks, registers = marked(config, inputs)
    visible = ~inputs[4].expand(registers["t"].shape)
    gap = registers["row_max"].unsqueeze(-1) - registers["t"]
    assert marks["d"].saturated == int((gap[visible] > 1023).sum())
    assert marks["d"].saturated > 0


def test_watermarks_only_three_registers_saturate():
    config = AttentionConfig()
    marks, _ = marked(config, random_inputs(9, 0, config, masks=False, bias=False))
    assert tuple(name for name in marks if marks[name].saturated is not None) == SATURATING


@pytest.mark.parametrize(
    ("low", "high", "signed", "bits"),
    [
        (0, 0, False, 1),
        (0, 15, False, 4),
        (0, 16, False, 5),
        (0, 0, True, 1),
        (-1, 0, True, 1),
        (-8, 7, True, 4),
        (-9, 7, True, 5),
        (-8, 8, True, 5),
        (3, 5, True, 4),
    ],
)
def test_watermarks_bits_by_hand(low, high, signed, bits):
    assert Mark(low, high, 1, None).bits(signed=signed) == bits


def test_watermarks_join_over_batches():
    first, second = Mark(-3, 5, 10, 1), Mark(0, 9, 20, 2)
    assert first.joined(second) == Mark(-3, 9, 30, 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_watermarks_never_pass_what_is_provided(scheme):
    """On real rows no register needs more bits than its bound gives it."""
    model, marks = quantized_digits(scheme), Watermarks()
    run_watched(model, digits_task().data.test[:32][0], marks)
    described = marks.as_dict()
    assert len(described) == 4
    for registers in described.values():
        assert all(mark["bits_used"] <= mark["bits_provided"] for mark in registers.values())


def test_watermarks_of_a_planted_overflow_show():
    config = AttentionConfig()
    model, marks = Called(AttentionDatapath(config)), Watermarks()

    def plant(_module, _inputs, output):
        output.map.e.fill_(1 << 17)

    model.datapath.register_forward_hook(plant)
    run_watched(model, random_inputs(9, 0, config, masks=False, bias=False), marks, numbers=(0, 1))
    e = marks.as_dict()["datapath"]["e"]
    assert (e["bits_used"], e["bits_provided"]) == (18, 17)


def test_watermarks_of_swin_are_by_layer():
    marks = of_swin()
    assert list(marks.layers) == [f"layers.{s}.blocks.{b}.attn" for s in (0, 1) for b in (0, 1)]
    assert marks.overall()["t"].values == sum(m["t"].values for m in marks.layers.values())


@pytest.mark.parametrize(("scheme", "bits"), [("BitLog2_Half_16", 4), ("BitLog2_Half_17", 5)])
def test_watermarks_level_is_given_the_bits_of_its_top(scheme, bits):
    assert provided_bits("level", AttentionConfig(scheme)) == bits


def test_watermarks_of_a_float_map_are_refused():
    with pytest.raises(ValueError, match="integer attention map"):
        run_watched(quantized_digits("none"), None, Watermarks())
