"""The checker beside inference: the same report from any number of threads, errors, bounds."""

import copy
import threading
import time

import pytest
import torch
from digits_models import digits_task, observed, quantized_digits, run_watched
from swin_models import images as swin_images
from swin_models import quantized_swin
from test_datapath import random_inputs
from test_in_order import check_threads

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.watch import check
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.sim import REGISTERS, AttentionConfig

THREADS = [0, 1, 3]
SCHEME = "BitLog2_Half_17"


def report(checker):
    return checker.compared, checker.mismatched, [str(m) for m in checker.mismatches]


def report_of(model, checker, batches, change=None):
    """The report on a copy of the model that has seen the batches; `change` plants errors."""
    model = copy.deepcopy(model)
    if change is not None:
        for name, module in model.named_modules():
            if isinstance(module, AttentionDatapath):
                module.register_forward_hook(
                    lambda _module, _inputs, output, name=name: change(name, output.named())
                )
    with watch(model, checker) as watched:
        for batch in batches:
            watched.run(batch)
    return report(checker)


def plant(layer, registers):
    """One wrong value in some registers of every layer but the first of the model."""
    if not layer.endswith(("blocks.0.attn.datapath", "0.blocks.0.attn.datapath")):
        for name in ("score", "d", "level", "o"):
            registers[name].view(-1)[len(layer) % 5] ^= 1


@pytest.mark.parametrize("mode", ["all", "sample", "sample:5"])
@pytest.mark.parametrize("change", [None, plant], ids=["right", "planted"])
def test_check_threads_report_the_same_of_swin(mode, change):
    """Windows, window masks and position biases."""
    batches = [swin_images(3, seed) for seed in range(2)]
    reports = [
        report_of(quantized_swin(SCHEME), Checker(mode, threads=n, keep=50), batches, change)
        for n in THREADS
    ]
    assert reports[0] == reports[1] == reports[2]
    assert (sum(reports[0][1].values()) > 0) == (
        change is not None and mode == "all"
    ) or mode != "all"


@pytest.mark.parametrize("change", [None, plant], ids=["right", "planted"])
def test_check_threads_report_the_same_of_digits(change):
    images = digits_task().data.test[:24][0]
    reports = [
        report_of(quantized_digits(SCHEME), Checker("all", threads=n), images.split(8), change)
        for n in THREADS
    ]
    assert reports[0] == reports[1] == reports[2]
    assert (sum(reports[0][1].values()) > 0) == (change is not None)


@pytest.mark.parametrize("masks", [False, True], ids=["", "masks"])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_check_threads_report_the_same_of_masks_and_biases(masks, bias):
    def of(threads):
        checker = Checker("all", threads=threads, keep=100)
        for seed in range(6):
            config = AttentionConfig()
            inputs = random_inputs(20 + seed, seed, config, masks=masks, bias=bias, batch=3)
            output = AttentionDatapath(config)(*inputs)
            for name in REGISTERS[seed : seed + 3]:
                output.named()[name].view(-1)[seed] += 1
            checker.take(observed(config, inputs, output, layer=f"layer {seed}"))
        return report(checker)

    assert of(0) == of(1) == of(3)
    assert len(of(3)[2]) == 18 - 2 * masks  # d and e of a masked key are nobody's


@pytest.mark.parametrize("threads", THREADS)
def test_check_threads_mismatches_come_in_datapath_order(threads, monkeypatch):
    """Errors in three layers, of which the first takes longest to check."""
    right = check.attention

    def slow(q, *args, **kwargs):
        time.sleep(0.2 if q.shape[1] == 5 and len(threading.enumerate()) and first else 0)
        first.clear()
        return right(q, *args, **kwargs)

    first = [True]
    monkeypatch.setattr(check, "attention", slow)
    checker, config = Checker("all", threads=threads, keep=5, waiting=9), AttentionConfig()
    for layer, names in (("a", ("o", "t")), ("b", ("score",)), ("c", ("e", "d", "acc"))):
        inputs = random_inputs(33, 1, config, masks=False, bias=False)
        output = AttentionDatapath(config)(*inputs)
        for name in names:
            output.named()[name].view(-1)[3] += 1
        checker.take(observed(config, inputs, output, layer=layer))
    found = [(m.layer, m.register) for m in checker.mismatches]
    assert found == [("a", "t"), ("a", "o"), ("b", "score"), ("c", "d"), ("c", "e")]


def refused_run():
    """A run that the simulator refuses: a row with every key masked."""
    config = AttentionConfig()
    inputs = list(random_inputs(9, 0, config, masks=True, bias=False))
    output = AttentionDatapath(config)(*inputs)
    inputs[4] = torch.ones_like(inputs[4])
    return config, tuple(inputs), output


@pytest.mark.parametrize("threads", THREADS)
def test_check_threads_error_surfaces_in_the_caller(threads):
    def all_of_it():
        checker = Checker("all", threads=threads)
        for _ in range(6):
            checker.take(observed(*refused_run()))
        checker.finish()

    with pytest.raises(ValueError, match="masked must leave at least one key"):
        all_of_it()
    assert check_threads() == []


def test_check_threads_after_an_error_nothing_passes():
    checker = Checker("all")
    checker.take(observed(*refused_run()))
    for _ in range(2):
        with pytest.raises(ValueError, match="masked must leave"):
            print(checker.passed)


def test_check_threads_error_of_inference_ends_them():
    model, checker = copy.deepcopy(quantized_digits(SCHEME)), Checker("all")
    model.blocks[2].register_forward_pre_hook(lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run_watched(model, digits_task().data.test[:8][0], checker)
    assert check_threads() == []


@pytest.mark.parametrize(("threads", "waiting"), [(1, 0), (1, 1), (2, 1)])
def test_check_threads_hold_inference_back(threads, waiting, monkeypatch):
    """With the simulator held, inference of four layers stops at the layer that is one too many."""
    gate, right, layers = threading.Event(), check.attention, []

    def held(*args, **kwargs):
        gate.wait(60)
        return right(*args, **kwargs)

    monkeypatch.setattr(check, "attention", held)
    model = copy.deepcopy(quantized_digits(SCHEME))
    checker = Checker("all", threads=threads, waiting=waiting)
    for module in model.modules():
        if isinstance(module, AttentionDatapath):
            module.register_forward_hook(lambda *_: layers.append(1))
    images = digits_task().data.test[:2][0]
    runs = threading.Thread(target=lambda: run_watched(model, images, checker))
    runs.start()
    deadline = time.monotonic() + 20
    while len(layers) < threads + waiting + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    begun = len(layers)
    gate.set()
    runs.join(60)
    assert (begun, len(layers)) == (threads + waiting + 1, 4)
    assert checker.passed
