"""What the checker holds until it compares: nobody writes into it meanwhile."""

import copy

import numpy as np
import pytest
import torch
from digits_models import digits_task, observed, quantized_digits
from swin_models import images as swin_images
from swin_models import quantized_swin
from test_datapath import random_inputs

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch import check as check_run
from bitlog2.models.watch.check import HeadChoice, HeldRun, compare_run
from bitlog2.sim import REGISTERS, AttentionConfig, attention

SCHEME = "BitLog2_Half_17"


def arrays(run):
    masks = [values for values in (run.masked, run.bias) if values is not None]
    return [*run.codes, *masks, *run.registers.values()]


def held_runs(model, images):
    """Runs of every layer as they were held, and copies of what they held when the layer ran."""
    model, held = copy.deepcopy(model), []

    def hold(module, inputs, output):
        run = HeldRun.of(observed(module.config, inputs, output), HeadChoice("all"))
        held.append((run, [values.copy() for values in arrays(run)]))

    for module in model.modules():
        if isinstance(module, AttentionDatapath):
            module.register_forward_hook(hold)
    with torch.inference_mode():
        for batch in images:
            model(batch)
    return held


def digits_images():
    return digits_task().data.test[:16][0].split(8)


MODELS = [
    pytest.param(lambda: (quantized_digits(SCHEME), digits_images()), id="digits"),
    pytest.param(lambda: (quantized_digits("BitLog2_Half_16"), digits_images()), id="no flag"),
    pytest.param(lambda: (quantized_digits(SCHEME, bits=8), digits_images()), id="8 bits"),
    pytest.param(
        lambda: (quantized_swin(SCHEME), [swin_images(2, 3), swin_images(2, 4)]), id="swin"
    ),
]


@pytest.mark.parametrize("made", MODELS)
def test_check_run_nobody_writes_into_what_is_held(made):
    """Not the layers that follow, nor the next batch."""
    held = held_runs(*made())
    assert len(held) == 8
    for run, copies in held:
        assert all(np.array_equal(*pair) for pair in zip(arrays(run), copies, strict=True))


def test_check_run_holds_the_registers_own_memory():
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=True, bias=True)
    output = AttentionDatapath(config)(*inputs)
    run = HeldRun.of(observed(config, inputs, output), HeadChoice("all"))
    for name, values in output.named().items():
        assert np.shares_memory(run.registers[name], values.numpy()), name


def test_check_run_sample_holds_copies_of_the_chosen_alone():
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=True, bias=True)
    output = AttentionDatapath(config)(*inputs)
    run = HeldRun.of(observed(config, inputs, output), HeadChoice("sample:1"))
    assert all(values.size <= 5 * 33 * 16 for values in arrays(run))
    assert not any(
        np.shares_memory(run.registers[name], values.numpy())
        for name, values in output.named().items()
    )


def simulated(*args, **masks):
    return attention(*args, **masks, trace=True, threads=1)


@pytest.mark.parametrize("size", [1, 3 * 19 * 5 * 33, 10**9])
def test_check_run_in_parts_finds_the_same(size, monkeypatch):
    """A head at a time, three, all: one value wrong in each register, in three heads."""
    monkeypatch.setattr(check_run, "_TRACE_BYTES", size)
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=True, bias=True, batch=4, heads=2)
    output = AttentionDatapath(config)(*inputs)
    for name in REGISTERS:
        for image, head in ((0, 1), (2, 0), (3, 1)):
            output.named()[name][image, head].view(-1)[4] += 1
    mode = HeadChoice("all")
    outcome = compare_run(HeldRun.of(observed(config, inputs, output), mode), simulated)
    assert set(outcome.mismatched.values()) <= {2, 3}
    assert [m.register for m in outcome.mismatches] == list(REGISTERS)
    assert {m.differing for m in outcome.mismatches} == set(outcome.mismatched.values())
    assert {(m.image, m.head) for m in outcome.mismatches} <= {(0, 1), (2, 0)}


def test_check_run_mismatch_keeps_no_trace_alive():
    config = AttentionConfig()
    inputs = random_inputs(33, 1, config, masks=True, bias=True)
    output = AttentionDatapath(config)(*inputs)
    output.named()["e"][0, 0, 0, 0] += 1
    output.named()["o"][0, 0, 0, 0] ^= 1
    run = HeldRun.of(observed(config, inputs, output), HeadChoice("all"))
    for mismatch in compare_run(run, simulated).mismatches:
        kept = (mismatch.score, mismatch.v, mismatch.masked, mismatch.bias)
        assert all(values.base is None for values in kept)
