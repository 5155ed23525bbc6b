"""What a program holds: every refusal names the step, what is legal and what it got."""

import re
from dataclasses import replace

import numpy as np
import pytest
from support.programs import PROGRAMS, distilled, swin, vit

from bitlog2.sim.network.parameters import StreamMeanParams
from bitlog2.sim.network.program import Head, Merging, Program, Windows

requirement = pytest.mark.requirement


def changed(program, place, **fields):
    """The program with fields of one step replaced, or of parts of it: `q__weights`."""
    steps = list(program.steps)
    for path, value in fields.items():
        steps[place] = _replaced(steps[place], path.split("__"), value)
    return replace(program, steps=tuple(steps))


def _replaced(part, path, value):
    if len(path) > 1:
        value = _replaced(getattr(part, path[0]), path[1:], value)
    return replace(part, **{path[0]: value})


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_arrays_are_read_only_and_views(name):
    program = PROGRAMS[name]()
    for array in (program.embedding.positions, program.head.linear.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
    weights = np.zeros((2, 3), np.int8)
    linear = replace(program.head.linear, weights=weights)
    weights[0, 0] = 7  # the caller's array stays writable
    assert linear.weights[0, 0] == 7


def test_program_of_each_shape_knows_its_ends():
    assert vit().image_shape == (2, 8, 8)
    assert vit().classes == 5
    assert [type(step).__name__ for step in swin().blocks].count("Merging") == 1


VIT_FAULTS = {
    "steps.1: q: weights must be from -15 to 15, got 16": (
        1, {"q__weights": np.full((12, 12), 16, np.int8)},
    ),
    "steps.1: q: weights must be from -15 to 15, got -16": (
        1, {"q__weights": np.full((12, 12), -16, np.int8)},
    ),
    "steps.1: proj: weights must have shape (12, 12), got (12, 11)": (
        1, {"proj__weights": np.ones((12, 11), np.int8)},
    ),
    "steps.1: q: outputs must be a multiple of 5 heads, got 12": (1, {"heads": 5}),
    "steps.1: v: y_bits must be 4, those of attention, got 3": (
        1, {"v__params__y_bits": 3},
    ),
    "steps.1: norm: y_bits must be from 2 to 4, got 5": (1, {"norm__y_bits": 5}),
    "steps.1: q: zx must be from 0 to 15, got 16": (1, {"q__product__zx": 16}),
    "steps.2: norm: gain must have one value for each of 12 channels, got 11": (
        2, {"norm__gain": (1,) * 11},
    ),
    "steps.1: params: m must be from 1 to 65535, got 65536": (1, {"params__m": 65536}),
    "steps.1: bias must have shape (2, 19, 19), got (2, 19, 18)": (
        1, {"bias": np.zeros((2, 19, 18), np.int32)},
    ),
    "steps.1: bias must be from -131072 to 131071, got 131072": (
        1, {"bias": np.full((2, 19, 19), 131072, np.int32)},
    ),
    "steps.1: masked must leave a key in every row, got none in row 0 of window 0": (
        1, {"masked": np.ones((1, 19, 19), bool)},
    ),
    "steps.1: windows must be of 19 tokens, those of the stream, got 4 of 4": (
        1, {"windows": Windows(4, 4, 2, 2)},
    ),
    "steps.2: fc1: largest of table must be from 0 to 15, got 16": (
        2, {"fc1__params__table": (16,) * 1024},
    ),
    "steps.2: fc1: table must have 1024 entries, one per u, got 512": (
        2, {"fc1__params__table": (1,) * 512},
    ),
    "steps.0: height and width must be multiples of patch = 3, got 8 and 8": (0, {"patch": 3}),
    "steps.0: positions must have shape (16, 12), got (15, 12)": (
        0, {"positions": np.zeros((15, 12), np.int32)},
    ),
    "steps.0: prefix must be from -32768 to 32767, got 32768": (
        0, {"prefix": np.full((3, 12), 32768, np.int32)},
    ),
    "steps.5: linear: weights must be from -255 to 255, got 256": (
        5, {"linear__weights": np.full((5, 12), 256, np.int16)},
    ),
    "steps.5: linear: logit of class 0 must be at most 2147483647: M = 65535 and "
    "n = 0 take 12 inputs to": (
        5,
        {"linear__params__head_shift": (0,) * 5, "linear__params__head_multiplier": (65535,) * 5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", VIT_FAULTS)
@requirement("BL2-NET-06", "BL2-PROG-01")
def test_program_that_the_hardware_cannot_hold_is_refused(message):
    place, fields = VIT_FAULTS[message]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its text is compared
        changed(vit(), place, **fields)
    assert str(error.value).startswith(message)


HEAD_FAULTS = {
    "steps.4: first must be from 0 to 17, got 18": {"first": 18},
    "steps.4: linear: weights must have shape (5, 8), got (4, 8)": {
        "linear__weights": np.ones((4, 8), np.int8)
    },
}


@pytest.mark.parametrize("message", HEAD_FAULTS)
@requirement("BL2-PROG-01")
def test_program_heads_that_do_not_go_together_are_refused(message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        changed(distilled(), 4, **HEAD_FAULTS[message])


GATE_FAULTS = {
    "steps.2: gate: gate_table must have 1024 entries, one per u, got 512": {
        "gate__params__gate_table": (1,) * 512
    },
    "steps.2: gate: gate_table of entry 0 must be from -2047 to 2047, got 2048": {
        "gate__params__gate_table": (2048,) * 1024
    },
    "steps.2: value: weights must have shape (12, 8), got (11, 8)": {
        "value__weights": np.ones((11, 8), np.int8)
    },
    "steps.2: product: gate_zero must be from 0 to 7, a code of 3 bits, got 9": {
        "product__y_bits": 3, "product__gate_zero": 9
    },
    "steps.2: product: y_bits must be from 2 to 4, got 5": {"product__y_bits": 5},
    "steps.2: fc2: zx must be from 0 to 7, got 8": {
        "product__y_bits": 3, "fc2__product__zx": 8
    },
}  # fmt: skip


@pytest.mark.parametrize("message", GATE_FAULTS)
@requirement("BL2-PROG-01")
def test_program_gated_mlp_that_the_hardware_cannot_hold_is_refused(message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        changed(distilled(), 2, **GATE_FAULTS[message])


NORM_FAULTS = {
    "steps.1: q: norm: gain must have one value for each of 4 channels, got 3": {
        "q__norm__gain": (1,) * 3
    },
    "steps.1: k: y_bits must be 4, those of attention, got 3": {"k__norm__y_bits": 3},
    "steps.1: q: weights must be from -15 to 15, got 16": {
        "q__linear__weights": np.full((8, 8), 16, np.int8)
    },
}


@pytest.mark.parametrize("message", NORM_FAULTS)
@requirement("BL2-PROG-01", "BL2-PROG-08")
def test_program_norms_of_q_and_k_that_the_hardware_cannot_hold_are_refused(message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        changed(distilled(), 1, **NORM_FAULTS[message])


@requirement("BL2-HEAD-02")
def test_program_heads_whose_sum_could_pass_int32_are_refused():
    """Alone the second head fits."""
    program = distilled()
    first, second = program.heads
    params = replace(second.linear.params, head_multiplier=(65535,) * 5, head_shift=(11,) * 5)
    product = replace(second.linear.product, linear_bias=(66_574_800,) * 5)
    second = replace(second, linear=replace(second.linear, params=params, product=product))
    assert replace(program, steps=(*program.steps[:3], second)).heads == (second,)
    with pytest.raises(ValueError, match=r"^steps\.4: linear: logit of class 0 must be at most"):
        replace(program, steps=(*program.steps[:3], first, second))


@requirement("BL2-PROG-01")
def test_program_steps_take_the_stream_that_is_there():
    program = vit()
    steps = program.steps
    with pytest.raises(
        ValueError, match=r"^steps\.1: norm: gain must have one .* of 12 ch.* got 8"
    ):
        replace(program, steps=(steps[0], swin().steps[1], steps[-1]))
    merging = swin().steps[5]
    assert isinstance(merging, Merging)
    with pytest.raises(ValueError, match=r"^steps\.1: height \* width must be 19, .* got 4 \* 4"):
        replace(program, steps=(steps[0], merging, steps[-1]))
    for wrong in ((), steps[:1], steps[1:], steps[:-1], (steps[0], *steps)):
        with pytest.raises(TypeError, match=r"^steps must be a PatchEmbedding, then"):
            replace(program, steps=wrong)


def test_program_parts_refuse_what_no_hardware_holds():
    head, merging = vit().head, swin().steps[5]
    with pytest.raises(ValueError, match=r"^norm and mean must be a norm alone.* None"):
        Head(head.linear)
    with pytest.raises(ValueError, match=r"^first must be from 0 to 65536, got -1"):
        Head(head.linear, head.norm, first=-1)
    with pytest.raises(ValueError, match=r"^norm and mean must be.*NoneType and StreamMeanParams"):
        Head(head.linear, mean=StreamMeanParams(1, 0))
    with pytest.raises(ValueError, match=r"^height must be even, got 3"):
        replace(merging, height=3)
    with pytest.raises(ValueError, match=r"^rows of a window must divide height = 4, got 3"):
        Windows(4, 4, 3, 2)
    with pytest.raises(ValueError, match=r"^column_shift must be from 0 to 3, got 4"):
        Windows(4, 4, 2, 2, 1, 4)
    with pytest.raises(TypeError, match=r"^weights must be int8 or int16, got int32"):
        replace(head.linear, weights=np.zeros((2, 2), np.int32))
    with pytest.raises(ValueError, match=r"^weights must have 2 axes, got shape"):
        replace(head.linear, weights=np.zeros(2, np.int8))
    with pytest.raises(ValueError, match=r"^weights must not be empty"):
        replace(head.linear, weights=np.zeros((2, 0), np.int8))


def test_program_narrow_configuration_is_refused():
    """The same steps, and hardware for shorter layers."""
    program = vit()
    for name, value, message in (
        ("max_channels", 11, r"^steps\.0: channels must be from 1 to 11, got 12"),
        ("max_inputs", 15, r"^steps\.2: fc2: inputs K must be from 1 to 15, got 20"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(program, network=replace(program.network, **{name: value}))
    with pytest.raises(ValueError, match=r"^steps\.1: tokens N of a row must be from 1 to 18"):
        replace(program, attention=replace(program.attention, max_tokens=18))
    assert isinstance(program, Program)
