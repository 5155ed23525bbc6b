"""The checker: what it counts, what it catches, what it says."""

import copy

import pytest
import torch
from digits_models import digits_task, observed, quantized_digits, run_watched
from test_datapath import random_inputs

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch.check import Checker
from bitlog2.sim import REGISTERS, AttentionConfig
from bitlog2.sim.spec import log2_quantizer


def run(mode, *, masks=False, change=None, images=(64, 65)):
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=masks, bias=masks)
    output = AttentionDatapath(config)(*inputs)
    if change is not None:
        change(output.named(), inputs)
    checker = Checker(mode)
    checker.take(observed(config, inputs, output, images, layer="blocks.2.attn"))
    return checker


def test_check_counts_every_value_of_every_register():
    """2 images, 2 heads, 5 rows, 33 keys, 16 channels."""
    per_key, per_row, per_output = 2 * 2 * 5 * 33, 2 * 2 * 5, 2 * 2 * 5 * 16
    sizes = {"row_max": per_row, "row_sum": per_row, "acc": per_output, "o": per_output}
    assert run("all").compared == {name: sizes.get(name, per_key) for name in REGISTERS}


def test_check_leaves_d_and_e_of_masked_keys_out():
    """BL2-MAX-04: nothing observes the distance of a masked key."""

    def change(registers, inputs):
        registers["d"][inputs[4]] = 0
        registers["e"][inputs[4]] = 99

    checker = run("all", masks=True, change=change)
    assert checker.total_mismatched == 0
    assert checker.compared["d"] < checker.compared["t"]


def test_check_sees_a_masked_keys_level():
    def change(registers, inputs):
        registers["level"][inputs[4]] += 1

    assert run("all", masks=True, change=change).mismatched["level"] > 0


def test_check_sample_takes_some_heads():
    assert 0 < run("sample").compared["score"] < run("all").compared["score"]


@pytest.mark.parametrize(("size", "pairs"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_check_sample_of_a_size_takes_so_many_heads(size, pairs):
    """Of 2 images and 2 heads."""
    assert run(f"sample:{size}").compared["row_max"] == pairs * 5


@pytest.mark.parametrize("mode", ["sample", "sample:1", "sample:3"])
@pytest.mark.parametrize("masks", [False, True])
def test_check_sample_agrees(mode, masks):
    assert run(mode, masks=masks).passed


def test_check_sample_names_image_and_head_of_a_mismatch():
    """One pair of four, twenty batches: where it is that of image 1, head 1, its error is seen."""

    def change(registers, _inputs):
        registers["acc"][1, 1, 3, 7] += 256

    found = [run("sample:1", change=change, images=(90 + n, n)).mismatches for n in range(20)]
    places = [(n, m.image, m.head, m.row, m.index) for n in range(20) for m in found[n]]
    assert 0 < len(places) < 20
    assert all(place == (place[0], place[0], 1, 3, 7) for place in places)


def test_check_of_images_that_do_not_share_the_rows_of_heads_is_refused():
    with pytest.raises(ValueError, match="images must be of 2 rows of heads"):
        run("all", images=(1, 2, 3))


def test_check_nothing_compared_does_not_pass():
    assert not Checker("all").passed


def test_check_a_register_never_compared_does_not_pass():
    checker = run("all")
    checker.compared["acc"] = 0
    assert not checker.passed


def test_check_mismatch_says_where_and_what():
    def change(registers, _inputs):
        registers["e"][1, 0, 3, 7] += 256

    mismatch = run("all", change=change).mismatches[0]
    place = (mismatch.layer, mismatch.image, mismatch.head, mismatch.row, mismatch.index)
    assert place == ("blocks.2.attn", 65, 0, 3, 7)
    assert mismatch.actual == mismatch.expected + 256


def test_check_mismatch_of_a_window_names_image_and_window():
    """One image of two windows: the second row of heads is window 1 of image 70."""

    def change(registers, _inputs):
        registers["e"][1, 0, 3, 7] += 256

    mismatch = run("all", change=change, images=(70,)).mismatches[0]
    assert (mismatch.image, mismatch.window) == (70, 1)
    assert "image 70 window 1 head 0 row 3 key 7" in str(mismatch)


def test_check_mismatch_without_windows_names_none():
    def change(registers, _inputs):
        registers["e"][1, 0, 3, 7] += 256

    mismatch = run("all", change=change).mismatches[0]
    assert mismatch.window is None
    assert "window" not in str(mismatch)


def test_check_mismatch_prints_hexadecimal_and_decimal():
    def change(registers, _inputs):
        registers["acc"][0, 1, 2, 5] = -17

    text = str(run("all", change=change).mismatches[0])
    assert "register acc: layer blocks.2.attn image 64 head 1 row 2 channel 5" in text
    assert "actual -0x11 (-17)" in text


def test_check_counts_all_and_keeps_the_first():
    def change(registers, _inputs):
        for values in registers.values():
            values += 1

    checker = run("all", change=change)
    assert checker.mismatched == checker.compared
    assert [m.register for m in checker.mismatches] == list(REGISTERS[:5])


def test_check_of_a_model_without_registers_is_refused():
    with pytest.raises(ValueError, match="check must be of a model with an integer"):
        run_watched(quantized_digits("none"), None, Checker("all"))


def test_check_watches_every_layer_head_and_row():
    model = quantized_digits("BitLog2_Half_17")
    checker = Checker("all")
    run_watched(model, digits_task().data.test[:2][0], checker)
    assert checker.compared["score"] == 4 * 2 * 3 * 65 * 65
    assert checker.passed


def test_check_a_layer_that_did_not_run_does_not_pass():
    model = copy.deepcopy(quantized_digits("BitLog2_Half_17"))
    checker = Checker("all")
    model.blocks[2].attn.forward = lambda x, **_masks: x
    run_watched(model, digits_task().data.test[:2][0], checker)
    assert checker.total_mismatched == 0
    assert checker.unchecked == ["blocks.2.attn"]
    assert not checker.passed


@pytest.mark.parametrize("foreign", [True, False])
def test_check_of_a_model_with_an_attention_without_registers_is_refused(foreign):
    other = (
        torch.nn.MultiheadAttention(96, 3) if foreign else quantized_digits("none").blocks[0].attn
    )
    model = copy.deepcopy(quantized_digits("BitLog2_Half_17"))
    model.blocks[2].attn = other
    name = type(other).__name__
    with pytest.raises(ValueError, match=rf"layer blocks\.2\.attn \({name}\): has no integer data"):
        run_watched(model, None, Checker("all"))


@pytest.mark.parametrize(
    ("register", "inputs"),
    [
        ("score", {"q", "k"}),
        ("t", {"score", "bias"}),
        ("row_max", {"t"}),
        ("d", {"t", "row_max"}),
        ("e", {"d"}),
        ("row_sum", {"e"}),
        ("level", {"e", "row_sum"}),
        ("nibble", {"level"}),
        ("flag", {"level"}),
        ("acc", {"level", "v"}),
        ("o", {"acc"}),
    ],
)
def test_check_mismatch_has_what_its_unit_was_given(register, inputs):
    def change(registers, _inputs):
        registers[register].view(-1)[-1] += 1

    mismatch = run("all", masks=True, change=change).mismatches[0]
    assert set(mismatch.inputs) == inputs


def test_check_mismatch_inputs_give_the_expected_value():
    """The unit of the specification, fed with them, says what was expected."""

    def change(registers, _inputs):
        registers["level"][1, 1, 2, 3] += 1

    mismatch = run("all", change=change).mismatches[0]
    given = mismatch.inputs
    level = log2_quantizer(given["e"], given["row_sum"], mismatch.config.code)
    assert level == mismatch.expected
