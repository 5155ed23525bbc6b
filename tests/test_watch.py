"""Watchers of datapaths: checker, choice of heads, threads, watermarks, digests, differences."""

import copy
import threading
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from support.evaluations import running_threads
from support.models import (
    digits_task,
    observed,
    quantized_digits,
    quantized_swin,
    random_inputs,
    run_watched,
)
from support.models import images as swin_images
from support.quick import one_in

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.runs.result import MarkRecord
from bitlog2.models.watch import check
from bitlog2.models.watch.capture import Capture
from bitlog2.models.watch.check import (
    Checker,
    HeldRun,
    Shapes,
    check_threads,
    compare_run,
)
from bitlog2.models.watch.digest import RegisterDigest, digest_of_digests, pixel_digests
from bitlog2.models.watch.layer_statistics import mean_attention_error
from bitlog2.models.watch.recorder import Parting, Recorder, first_difference
from bitlog2.models.watch.registers import WATERMARKED, HeadChoice, values_compared
from bitlog2.models.watch.statistics import MapStatistics
from bitlog2.models.watch.watching import MapObservation, Watcher, watch
from bitlog2.models.watch.watermarks import SATURATING, Mark, Watermarks, provided_bits
from bitlog2.scripts.cli import main
from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams, attention
from bitlog2.sim.registers import registers_of
from bitlog2.sim.rounding import rnd
from bitlog2.sim.spec import log2_quantizer

SCHEME = "BitLog2_Half_17"
THREADS = [0, 1, 3]


QUOTIENT_REGISTERS = registers_of("quotient")


def observe(tokens=33, seed=1, *, config=None, params=None, plant=None, **how):
    """The observation of a datapath on random codes; `plant` writes errors into it."""
    config = config or AttentionConfig()
    numbers, layer = how.pop("numbers", None), how.pop("layer", "blocks.2.attn")
    inputs = list(random_inputs(tokens, seed, config, **{"masks": False, "bias": False, **how}))
    inputs[3] = params or inputs[3]
    seen = observed(config, tuple(inputs), AttentionDatapath(config)(*inputs), numbers, layer)
    if plant is not None:
        plant(seen)
    return seen


def add(register, *place, value=1):
    """What plants an error: adds to a value of a register, or to all of them."""

    def plant(seen):
        seen.registers[register][place or ...] += value

    return plant


def checked(mode="all", numbers=(64, 65), **given):
    checker = Checker(mode)
    checker.take(observe(numbers=numbers, **given))
    return checker


def digits_images(count):
    return digits_task().data.test[:count][0]


# What `watch` does.


class Notes(Watcher):
    """Notes what it is called for."""

    def __init__(self, calls, name=""):
        self.calls, self.name = calls, name

    def take(self, seen):
        self.calls.append((self.name, seen.layer, seen.numbers))

    def cancel(self):
        self.calls.append((self.name, "cancelled"))


def test_watch_hands_each_run_to_the_watchers_in_turn():
    calls, model = [], quantized_swin(SCHEME)
    run_watched(model, swin_images(2), Notes(calls, "a"), Notes(calls, "b"), numbers=[7, 9])
    layers = [f"layers.{stage}.blocks.{block}.attn" for stage in (0, 1) for block in (0, 1)]
    assert calls == [(name, layer, (7, 9)) for layer in layers for name in "ab"]
    assert not any(module._forward_hooks for module in model.modules())


def test_watch_left_by_an_error_cancels_and_takes_its_hooks_away():
    calls, model = [], copy.deepcopy(quantized_digits(SCHEME))
    model.blocks[0].register_forward_pre_hook(lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run_watched(model, digits_images(1), Notes(calls))
    assert calls == [("", "cancelled")]
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("watcher", [Checker("all"), Watermarks(), Capture(["blocks.0.attn"])])
def test_watch_of_a_model_without_registers_is_refused(watcher):
    with pytest.raises(ValueError, match="must be of a model with an integer attention map"):
        run_watched(quantized_digits("none"), None, watcher)


def test_watch_of_images_that_do_not_share_the_rows_of_heads_is_refused():
    with pytest.raises(ValueError, match="images must be of 2 rows of heads"):
        observe(numbers=(1, 2, 3))


@pytest.mark.parametrize(
    ("register", "place"), [("t", (1, 0, 3, 7)), ("o", (0, 1, 2, 5)), ("q", (0, 1, 2, 3))]
)
def test_watch_first_difference_is_the_planted_one(register, place):
    def plant(seen):
        (seen.inputs | seen.registers)[register][place] += 1

    ours, theirs = {"a": observe(), "b": observe()}, {"a": observe(), "b": observe(plant=plant)}
    assert first_difference(ours, ours) is None
    found = first_difference(ours, theirs)
    assert (found.image, *found.place) == place
    assert (found.layer, found.register, found.b - found.a) == ("b", register, 1)


def test_watch_first_difference_of_parameters_and_layers():
    seen = observe()
    other = replace(seen, params=replace(seen.params, m2=seen.params.m2 ^ 1))
    assert first_difference({"a": seen}, {"a": other}) == Parting(0, "a", "parameters")
    assert first_difference({"a": seen}, {}) == Parting(0, "a", "q")


def test_watch_recorder_keeps_every_layer_in_order():
    recorder = Recorder()
    run_watched(quantized_digits(SCHEME), digits_images(1), recorder)
    assert list(recorder.layers) == [f"blocks.{block}.attn" for block in range(4)]


# The checker: what it counts, what it catches, what it reports.


def test_check_counts_every_value_of_every_register():
    """2 images, 2 heads, 5 rows, 33 keys, 16 channels."""
    per_key, per_row, per_output = 2 * 2 * 5 * 33, 2 * 2 * 5, 2 * 2 * 5 * 16
    sizes = {"row_max": per_row, "row_sum": per_row, "acc": per_output, "o": per_output}
    assert checked().compared == {name: sizes.get(name, per_key) for name in QUOTIENT_REGISTERS}


@pytest.mark.requirement("BL2-MAX-04")
def test_check_leaves_d_and_e_of_masked_keys_out():
    """Nothing observes the distance of a masked key."""

    def plant(seen):
        seen.registers["d"][seen.masked] = 0
        seen.registers["e"][seen.masked] = 99

    checker = checked(masks=True, bias=True, plant=plant)
    assert checker.total_mismatched == 0
    assert checker.compared["d"] < checker.compared["t"]


def test_check_sees_a_masked_keys_level():
    def plant(seen):
        seen.registers["level"][seen.masked] += 1

    assert checked(masks=True, plant=plant).mismatched["level"] > 0


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize(
    ("mode", "pairs"),
    [("sample", 1), ("sample:1", 1), ("sample:3", 3), ("sample:4", 4), ("sample:9", 4)],
)
def test_check_sample_takes_so_many_heads(mode, pairs, masks):
    """Of 2 images and 2 heads."""
    checker = checked(mode, masks=masks)
    assert (checker.compared["row_max"], checker.passed) == (pairs * 5, True)


def test_check_sample_names_image_and_head_of_a_mismatch():
    """One pair of four, twenty batches: where it is that of image 1, head 1, its error is seen."""
    plant = add("acc", 1, 1, 3, 7, value=256)
    found = [checked("sample:1", (90 + n, n), plant=plant).mismatches for n in range(20)]
    places = [(n, m.image, m.head, m.row, m.index) for n in range(20) for m in found[n]]
    assert 0 < len(places) < 20
    assert all(place == (place[0], place[0], 1, 3, 7) for place in places)


def test_check_of_nothing_does_not_pass():
    assert not Checker("all").passed
    checker = checked()
    checker.compared["acc"] = 0
    assert not checker.passed


@pytest.mark.parametrize(
    ("plant", "numbers", "text"),
    [
        (add("e", 1, 0, 3, 7), (64, 65), "e: layer blocks.2.attn image 65 head 0 row 3 key 7: "),
        (add("e", 1, 0, 3, 7), (70,), "e: layer blocks.2.attn image 70 window 1 head 0 row 3 key"),
        (add("acc", 0, 1, 2, 5), (64, 65), "acc: layer blocks.2.attn image 64 head 1 row 2 chann"),
        (add("row_max", 1, 1, 4), (64, 65), "max: layer blocks.2.attn image 65 head 1 row 4: exp"),
    ],
)
def test_check_mismatch_text_names_the_place(plant, numbers, text):
    """With one image, the two rows of heads are two windows of it."""
    mismatch = checked(numbers=numbers, plant=plant).mismatches[0]
    assert text in str(mismatch)
    assert (mismatch.window is None) == (len(numbers) == 2)
    assert mismatch.actual == mismatch.expected + 1


def test_check_mismatch_prints_hexadecimal_and_decimal():
    def plant(seen):
        seen.registers["acc"][0, 1, 2, 5] = -17

    assert "actual -0x11 (-17)" in str(checked(plant=plant).mismatches[0])


def test_check_counts_all_and_keeps_the_first():
    def plant(seen):
        for values in seen.registers.values():
            values += 1

    checker = checked(plant=plant)
    assert checker.mismatched == checker.compared
    assert [m.register for m in checker.mismatches] == list(REGISTERS[:5])


def test_check_watches_every_layer_head_and_row():
    checker = Checker("all")
    run_watched(quantized_digits(SCHEME), digits_images(2), checker)
    assert checker.compared["score"] == 4 * 2 * 3 * 65 * 65
    assert checker.passed


def test_check_a_layer_that_did_not_run_does_not_pass():
    model, checker = copy.deepcopy(quantized_digits(SCHEME)), Checker("all")
    model.blocks[2].attn.forward = lambda x, **_masks: x
    run_watched(model, digits_images(2), checker)
    assert (checker.total_mismatched, checker.unchecked) == (0, ["blocks.2.attn"])
    assert not checker.passed


@pytest.mark.parametrize("foreign", [True, False])
def test_check_of_a_model_with_an_attention_without_registers_is_refused(foreign):
    other = (
        torch.nn.MultiheadAttention(96, 3) if foreign else quantized_digits("none").blocks[0].attn
    )
    model, name = copy.deepcopy(quantized_digits(SCHEME)), type(other).__name__
    model.blocks[2].attn = other
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
    def plant(seen):
        seen.registers[register].view(-1)[-1] += 1

    mismatch = checked(masks=True, bias=True, plant=plant).mismatches[0]
    assert set(mismatch.inputs) == inputs


def test_check_mismatch_inputs_give_the_expected_value():
    """The unit of the specification, fed with them, gives what was expected."""
    mismatch = checked(plant=add("level", 1, 1, 2, 3)).mismatches[0]
    given = mismatch.inputs
    level = log2_quantizer(given["e"], given["row_sum"], mismatch.config.code)
    assert level == mismatch.expected


# Which heads a check compares, and how many values that is.

IMAGES = [40, 7, 1999, 3]


def chosen(images, *, mode="sample:9", seed=0, layer="blocks.0.attn", heads=6):
    """The (image, head) pairs."""
    places = HeadChoice(mode, seed).pairs(layer, images, heads)
    return {(images[place // heads], int(place % heads)) for place in places}


def test_choice_all_is_every_pair_in_order():
    assert HeadChoice("all").pairs("x", IMAGES, 6).tolist() == list(range(24))


def test_choice_known_answer():
    """SHAKE-128 of seed, image and layer: the same on every machine."""
    by_image = {3: (1, 2, 5), 7: (0,), 40: (0, 5), 1999: (0, 4, 5)}
    assert chosen(IMAGES) == {(image, head) for image in by_image for head in by_image[image]}


@pytest.mark.parametrize(
    ("mode", "images", "heads", "size"),
    [
        *[("sample", *case) for case in ((1, 1, 1), (1, 8, 1), (3, 3, 2), (16, 6, 12))],
        *[(f"sample:{k}", 4, 6, min(k, 24)) for k in (1, 5, 23, 24, 25, 999_999_999)],
    ],
)
def test_choice_takes_one_of_eight_or_so_many_or_all(mode, images, heads, size):
    assert len(chosen(list(range(images)), mode=mode, heads=heads)) == size


@pytest.mark.parametrize("mode", ["sample", "sample:7"])
def test_choice_depends_neither_on_the_order_of_images_nor_on_earlier_choices(mode):
    choice = HeadChoice(mode)
    first = choice.pairs("x", IMAGES, 6).tolist()
    choice.pairs("x", [1, 2], 6)
    assert choice.pairs("x", IMAGES, 6).tolist() == first == sorted(first)
    assert chosen(IMAGES[::-1], mode=mode) == chosen(IMAGES, mode=mode)


@pytest.mark.parametrize("other", [{"seed": 1}, {"layer": "blocks.1.attn"}])
def test_choice_depends_on_seed_and_layer(other):
    assert chosen(IMAGES, **other) != chosen(IMAGES)


def test_choice_takes_every_head_equally_often():
    """1,200 images, one of six heads each: 200 each, give or take four deviations of 13."""
    taken = [next(iter(chosen([image], mode="sample:1")))[1] for image in range(1200)]
    assert np.abs(np.bincount(taken, minlength=6) - 200).max() < 52


@pytest.mark.parametrize(
    "mode",
    ["none", "", "some", "sample:", "sample:0", "sample:-1", "sample:1.5", "sample:x", "sample: 3",
     "sample:3 ", "sample:03", "sample:1000000000", "sample:٣", "sample:3\n", "all:2", "ALL"],
)  # fmt: skip
def test_choice_of_another_mode_is_refused(mode):
    with pytest.raises(ValueError, match="check must be all, sample or sample:K"):
        HeadChoice(mode)


def shapes_of(model, image):
    shapes = Shapes()
    run_watched(model, image, shapes)
    return shapes.layers


@pytest.mark.parametrize("mode", ["all", "sample", "sample:7"])
def test_counts_are_those_of_the_checker(mode):
    """A model of one window, and one of several, some of them masked."""
    numbers = [4, 5, 9]
    for model, images in (
        (quantized_digits(SCHEME), digits_images(3)),
        (quantized_swin("BitLog2_Single_16"), swin_images(3)),
    ):
        checker = Checker(mode, 3)
        run_watched(model, images, checker, numbers=numbers)
        shapes = shapes_of(model, images[:1])
        assert values_compared(shapes, HeadChoice(mode, 3), numbers) == checker.compared


def test_counts_leave_masked_keys_out_and_are_none_without_registers():
    shapes = shapes_of(quantized_swin("BitLog2_Single_16"), swin_images(1))
    counts = values_compared(shapes, HeadChoice("all"), [0])
    assert counts["d"] == counts["e"] < counts["t"]
    assert shapes_of(quantized_digits("none"), digits_images(1)) == {}


# What the checker holds until it compares: nobody writes into it meanwhile.


def arrays(run):
    masks = [values for values in (run.masked, run.bias) if values is not None]
    return [*run.codes, *masks, *run.registers.values()]


def held(seen, mode="all"):
    return HeldRun.of(seen, HeadChoice(mode))


class Copies(Watcher):
    """Holds every run, beside copies of what it held when the layer ran."""

    def __init__(self):
        self.runs = []

    def take(self, seen):
        run = held(seen)
        self.runs.append((run, [values.copy() for values in arrays(run)]))


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: (quantized_digits(SCHEME), digits_images(16)), id="digits"),
        pytest.param(lambda: (quantized_digits("BitLog2_Half_16"), digits_images(16)), id="16"),
        pytest.param(lambda: (quantized_digits(SCHEME, bits=8), digits_images(16)), id="8 bits"),
        pytest.param(lambda: (quantized_swin(SCHEME), swin_images(4)), id="swin"),
    ],
)
def test_held_runs_are_written_to_by_nobody(made):
    """Not by the layers that follow, nor by the next batch."""
    (model, images), copies = made(), Copies()
    with watch(model, copies) as watched:
        for batch in images.split(len(images) // 2):
            watched.run(batch)
    assert len(copies.runs) == 8
    for run, kept in copies.runs:
        assert all(np.array_equal(*pair) for pair in zip(arrays(run), kept, strict=True))


def test_held_run_is_the_registers_own_memory_or_copies_of_the_chosen_alone():
    seen = observe(masks=True, bias=True)
    whole, sample = held(seen), held(seen, "sample:1")
    assert all(values.size <= 5 * 33 * 16 for values in arrays(sample))
    for name, values in seen.registers.items():
        assert np.shares_memory(whole.registers[name], values.numpy()), name
        assert not np.shares_memory(sample.registers[name], values.numpy()), name


def simulated(*args, **masks):
    return attention(*args, **masks, trace=True, threads=1)


@pytest.mark.parametrize("size", [1, 3 * 19 * 5 * 33, 10**9])
def test_held_run_in_parts_finds_the_same(size, monkeypatch):
    """A head at a time, three, all: one value wrong in each register, in three heads."""
    monkeypatch.setattr(check, "_TRACE_BYTES", size)

    def plant(seen):
        for name in QUOTIENT_REGISTERS:
            for image, head in ((0, 1), (2, 0), (3, 1)):
                seen.registers[name][image, head].view(-1)[4] += 1

    outcome = compare_run(held(observe(masks=True, bias=True, batch=4, plant=plant)), simulated)
    assert set(outcome.mismatched.values()) <= {2, 3}
    assert [m.register for m in outcome.mismatches] == list(QUOTIENT_REGISTERS)
    assert {m.differing for m in outcome.mismatches} == set(outcome.mismatched.values())
    assert {(m.image, m.head) for m in outcome.mismatches} <= {(0, 1), (2, 0)}


def test_held_run_mismatch_keeps_no_trace_alive():
    def plant(seen):
        seen.registers["e"][0, 0, 0, 0] += 1
        seen.registers["o"][0, 0, 0, 0] ^= 1

    outcome = compare_run(held(observe(masks=True, bias=True, plant=plant)), simulated)
    assert len(outcome.mismatches) == 2
    for mismatch in outcome.mismatches:
        kept = (mismatch.score, mismatch.v, mismatch.masked, mismatch.bias)
        assert all(values.base is None for values in kept)


# The checker beside inference: the same report from any number of threads, errors, bounds.


def report(checker):
    return checker.compared, checker.mismatched, [str(m) for m in checker.mismatches]


def report_of(model, checker, batches, plant=None):
    """The report on a copy of the model that has seen the batches; `plant` writes errors."""
    model = copy.deepcopy(model)
    for name, module in model.named_modules():
        if plant is not None and isinstance(module, AttentionDatapath):
            module.register_forward_hook(
                lambda _module, _inputs, output, name=name: plant(name, output.named())
            )
    with watch(model, checker) as watched:
        for batch in batches:
            watched.run(batch)
    return report(checker)


def plant_in_later_layers(layer, registers):
    """One wrong value in some registers of every layer but the first of a stage."""
    if not layer.endswith("blocks.0.attn.datapath"):
        for name in ("score", "d", "level", "o"):
            registers[name].view(-1)[len(layer) % 5] ^= 1


@pytest.mark.parametrize("plant", [None, plant_in_later_layers], ids=["right", "planted"])
@pytest.mark.parametrize(
    ("swin", "mode"), [(True, "all"), (True, "sample"), (True, "sample:5"), (False, "all")]
)
def test_threads_report_the_same(swin, mode, plant):
    """Swin has windows, window masks and position biases."""
    model = quantized_swin(SCHEME) if swin else quantized_digits(SCHEME)
    batches = swin_images(6).split(3) if swin else digits_images(24).split(8)
    reports = [report_of(model, Checker(mode, threads=n, keep=50), batches, plant) for n in THREADS]
    assert reports[0] == reports[1] == reports[2]
    differing = sum(reports[0][1].values())
    assert (differing > 0) == (plant is not None) or (mode != "all" and plant is not None)


@pytest.mark.parametrize("masks", [False, True], ids=["", "masks"])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_threads_report_the_same_of_masks_and_biases(masks, bias):
    def of(threads):
        checker = Checker("all", threads=threads, keep=100)
        for seed in range(6):
            seen = observe(20 + seed, seed, masks=masks, bias=bias, batch=3, layer=f"layer {seed}")
            for name in REGISTERS[seed : seed + 3]:
                seen.registers[name].view(-1)[seed] += 1
            checker.take(seen)
        return report(checker)

    assert of(0) == of(1) == of(3)
    assert len(of(3)[2]) == 18 - 2 * masks  # nothing observes d and e of a masked key


@pytest.mark.parametrize("threads", THREADS)
def test_threads_mismatches_come_in_datapath_order(threads, monkeypatch):
    """Errors in three layers, of which the first takes longest to check."""
    right, first = check.attention, [True]

    def slow(*args, **kwargs):
        time.sleep(0.2 if first else 0)
        first.clear()
        return right(*args, **kwargs)

    monkeypatch.setattr(check, "attention", slow)
    checker = Checker("all", threads=threads, keep=5, waiting=9)
    for layer, names in (("a", ("o", "t")), ("b", ("score",)), ("c", ("e", "d", "acc"))):
        seen = observe(layer=layer)
        for name in names:
            seen.registers[name].view(-1)[3] += 1
        checker.take(seen)
    found = [(m.layer, m.register) for m in checker.mismatches]
    assert found == [("a", "t"), ("a", "o"), ("b", "score"), ("c", "d"), ("c", "e")]


def refused():
    """A run that the simulator refuses: a row with every key masked."""
    seen = observe(9, 0, masks=True)
    return replace(seen, masked=torch.ones_like(seen.masked))


@pytest.mark.parametrize("threads", THREADS)
def test_threads_error_surfaces_in_the_caller(threads):
    def all_of_it():
        checker = Checker("all", threads=threads)
        for _ in range(6):
            checker.take(refused())
        checker.finish()

    with pytest.raises(ValueError, match="masked must leave at least one key"):
        all_of_it()
    assert running_threads() == []


def test_threads_after_an_error_nothing_passes():
    checker = Checker("all")
    checker.take(refused())
    for _ in range(2):
        with pytest.raises(ValueError, match="masked must leave"):
            print(checker.passed)


def test_threads_end_with_an_error_of_inference():
    model = copy.deepcopy(quantized_digits(SCHEME))
    model.blocks[2].register_forward_pre_hook(lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run_watched(model, digits_images(8), Checker("all"))
    assert running_threads() == []


@pytest.mark.parametrize(("threads", "waiting"), [(1, 0), (1, 1), (2, 1)])
def test_threads_hold_inference_back(threads, waiting, monkeypatch):
    """With the simulator held, inference of four layers stops at the layer that is one too many."""
    gate, right, calls = threading.Event(), check.attention, []

    def closed(*args, **kwargs):
        gate.wait(60)
        return right(*args, **kwargs)

    monkeypatch.setattr(check, "attention", closed)
    model, checker = quantized_digits(SCHEME), Checker("all", threads=threads, waiting=waiting)
    watchers = (Notes(calls), checker)
    runs = threading.Thread(target=lambda: run_watched(model, digits_images(2), *watchers))
    runs.start()
    deadline = time.monotonic() + 20
    while len(calls) < threads + waiting + 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    begun = len(calls)
    gate.set()
    runs.join(60)
    assert (begun, len(calls)) == (threads + waiting + 1, 4)
    assert checker.passed


@pytest.mark.parametrize(
    ("device", "processors", "processes", "torch_threads", "threads"),
    [
        ("cpu", 1, 1, 1, 1),  # never none: inference would wait for every comparison
        ("cpu", 2, 1, 1, 1),
        ("cpu", 2, 1, 2, 1),
        ("cpu", 4, 1, 1, 3),
        ("cpu", 16, 1, 1, 4),  # memory
        ("cpu", 16, 4, 1, 3),
        ("cpu", 16, 1, 16, 1),
        ("cuda", 16, 1, 16, 4),
        ("cuda", 16, 8, 16, 1),
    ],
)
def test_threads_by_default_are_those_that_torch_leaves_free(
    monkeypatch, device, processors, processes, torch_threads, threads
):
    monkeypatch.setattr(check, "_processors", lambda: processors)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch, "get_num_threads", lambda: torch_threads)
    assert (check_threads(device), check_threads(device, 7)) == (threads, 7)


@pytest.mark.parametrize("asked", [0, -1, 257])
def test_threads_out_of_range_are_refused(asked):
    with pytest.raises(ValueError, match=f"check threads must be from 1 to 256, got {asked}"):
        check_threads("cpu", asked)


@pytest.mark.parametrize(
    "command", [["evaluate"], ["resume", "run"], ["sweep", "--run", "run", "--vary", "F=4"]]
)
def test_threads_option_is_refused_out_of_range(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--check-threads", "0"]) == 2
    assert "--check-threads" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Watermarks, against the registers themselves.

#: A multiplier and a shift that make t and d saturate.
STEEP = LayerParams(60000, 13, 40000, 20, 7, 8, 7, 8)


def marked(*args, **given):
    """Marks of one run, and the run."""
    seen, marks = observe(*args, **given), Watermarks()
    marks.take(seen)
    return marks.layers[seen.layer], seen


@pytest.mark.parametrize("scheme", SCHEMES)
def test_watermarks_are_smallest_and_largest(scheme):
    marks, seen = marked(config=AttentionConfig(scheme), bias=True)
    assert [name for name in WATERMARKED if name in REGISTERS] == list(REGISTERS)
    for name, values in seen.registers.items():
        found = (marks[name].smallest, marks[name].largest, marks[name].values)
        assert found == (int(values.min()), int(values.max()), values.numel())


def test_watermarks_leave_masked_distances_out():
    marks, seen = marked(masks=True)
    visible = seen.registers["e"][~seen.masked.expand(seen.grid)]
    assert (marks["e"].smallest, marks["e"].values) == (int(visible.min()), visible.numel())
    assert marks["t"].values > marks["d"].values


@pytest.mark.parametrize("t_bits", [12, 14, 18])
def test_watermarks_count_what_t_limits(t_bits):
    config = AttentionConfig(t_bits=t_bits)
    marks, seen = marked(33, 2, config=config, params=STEEP)
    exact = [rnd(score * 60000, 13) for score in seen.registers["score"].flatten().tolist()]
    limited = sum(not config.t_min <= value <= config.t_max for value in exact)
    assert marks["t"].saturated == limited
    assert (limited > 0) == (t_bits == 12)


def test_watermarks_count_what_o_limits():
    marks, seen = marked(33, 3, params=replace(STEEP, m=40000, n=20))
    exact = [rnd(acc * 40000, 20) + 8 for acc in seen.registers["acc"].flatten().tolist()]
    assert marks["o"].saturated == sum(not 0 <= value <= 15 for value in exact) > 0


def test_watermarks_count_what_d_limits():
    marks, seen = marked(33, 4, masks=True, params=STEEP)
    gap = seen.registers["row_max"].unsqueeze(-1) - seen.registers["t"]
    visible = ~seen.masked.expand(seen.grid)
    assert marks["d"].saturated == int((gap[visible] > 1023).sum()) > 0


def test_watermarks_only_three_registers_saturate():
    marks, _ = marked(9, 0)
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
    assert Mark(-3, 5, 10, 1).joined(Mark(0, 9, 20, 2)) == Mark(-3, 9, 30, 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_watermarks_never_pass_what_is_provided(scheme):
    """On real rows no register needs more bits than its bound gives it."""
    marks = Watermarks()
    run_watched(quantized_digits(scheme), digits_images(32), marks)
    assert len(marks.layers) == 4
    for registers in marks.layers.values():
        for name, mark in registers.items():
            record = MarkRecord.of(mark, name, AttentionConfig(scheme))
            assert record.bits_used <= record.bits_provided


def test_watermarks_of_a_planted_overflow_show():
    marks = Watermarks()
    marks.take(observe(9, 0, layer="a", plant=lambda seen: seen.registers["e"].fill_(1 << 17)))
    e = MarkRecord.of(marks.layers["a"]["e"], "e", AttentionConfig())
    assert (e.bits_used, e.bits_provided) == (18, 17)


def test_watermarks_of_swin_are_by_layer():
    marks = Watermarks()
    run_watched(quantized_swin(SCHEME), swin_images(4, 7), marks)
    assert list(marks.layers) == [f"layers.{s}.blocks.{b}.attn" for s in (0, 1) for b in (0, 1)]


@pytest.mark.parametrize(("scheme", "bits"), [("BitLog2_Half_16", 4), ("BitLog2_Half_17", 5)])
def test_watermarks_level_is_given_the_bits_of_its_top(scheme, bits):
    assert provided_bits("level", AttentionConfig(scheme)) == bits


# Digests of pixels and registers: one per image, whatever shares its batch.


def alone(seen, image):
    """What the datapath makes of one of the images that it was given."""
    rows = slice(image * seen.windows, (image + 1) * seen.windows)
    codes = (values[rows] for values in seen.inputs.values())
    masks = (x if x is None or len(x) == 1 else x[rows] for x in (seen.masked, seen.bias))
    inputs = (*codes, seen.params, *masks)
    return observed(seen.config, inputs, AttentionDatapath(seen.config)(*inputs), (image,))


def digests(observations, numbers, which="codes"):
    digest = RegisterDigest(which)
    digest.begin(numbers)
    for seen in observations:
        digest.take(seen)
    return digest.digests


@pytest.mark.parametrize("which", ["codes", "all"])
def test_digest_of_registers_does_not_depend_on_the_batch(which):
    for model, images in (
        (quantized_swin(SCHEME), swin_images(4)),
        (quantized_digits(SCHEME), digits_task().calibration_images(0)[:4]),
    ):
        recorder, digest = Recorder(), RegisterDigest(which)
        run_watched(model, images, recorder, digest)
        layers = recorder.layers.values()
        parts = [digests([alone(each, i) for each in layers], (i,), which) for i in range(4)]
        assert digest.digests == tuple(each for part in parts for each in part)
        assert len(set(digest.digests)) == 4


@pytest.mark.parametrize("register", ["level", "o"])
def test_digest_of_one_changed_register_differs_for_its_image_alone(register):
    recorder = Recorder()
    run_watched(quantized_digits(SCHEME), digits_images(4), recorder)
    *layers, last = recorder.layers.values()
    changed = last.registers[register].clone()
    changed[2, 0, 3, 1] ^= 1
    planted = replace(last, registers={**last.registers, register: changed})
    before, after = (digests([*layers, each], last.numbers) for each in (last, planted))
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, False, True, False]


def test_digest_of_pixels_is_of_each_image():
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = pixel_digests(images)
    assert whole == tuple(digest for image in images for digest in pixel_digests(image[None]))
    changed = images.clone()
    changed[1, 2, 3, 3] = torch.nextafter(changed[1, 2, 3, 3], torch.tensor(2.0))
    assert [a != b for a, b in zip(whole, pixel_digests(changed), strict=True)] == [0, 1, 0]


def test_digest_of_a_model_without_datapaths_is_empty():
    digest = RegisterDigest("codes")
    run_watched(digits_task().model, digits_images(2), digest)
    assert digest.digests == ()
    assert digest_of_digests(()) == ""


def relative_error(found, wanted):
    return float(((found - wanted) ** 2).sum() / (wanted**2).sum())


@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16"])
def test_watch_attention_error_of_a_datapath_is_that_of_its_accumulators(scheme):
    model, statistics = quantized_digits(scheme), MapStatistics()
    seen = []

    class Keeper(Watcher):
        def take(self, observation):
            seen.append(observation)

    with watch(model, statistics, Keeper()) as watched:
        watched.run(digits_images(2))
    for run in seen:
        registers, params = {n: r.double() for n, r in run.registers.items()}, run.params
        octaves = registers["score"] * params.m / 2.0**params.n / 2**run.config.fraction_bits
        exact = torch.exp2(octaves - octaves.amax(-1, keepdim=True))
        wanted = exact @ (run.inputs["v"].double() - params.zv) / exact.sum(-1, keepdim=True)
        found = registers["acc"] / run.delta
        if run.config.code.row_max:
            found = registers["acc"] / registers["weight_sum"].unsqueeze(-1)
        error = statistics.layers[run.layer].attention_error
        assert error == pytest.approx(relative_error(found, wanted), rel=1e-9)
        assert 0 < error < 0.1


@pytest.mark.parametrize(
    ("scheme", "arithmetic"),
    one_in(2, product(("none", "uniform_4", "RowMax_8"), ("float", "attention"))),
)
def test_watch_attention_error_of_a_float_map_is_that_of_its_output(scheme, arithmetic):
    model, statistics = quantized_digits(scheme, arithmetic), MapStatistics()
    with watch(model, statistics) as watched:
        watched.run(digits_images(2))
    errors = [layer.attention_error for layer in statistics.layers.values()]
    assert len(errors) == len(model.blocks)
    assert all(e == 0 if scheme == "none" else 0 < e < 0.1 for e in errors)


def test_watch_attention_error_by_hand():
    statistics = MapStatistics()
    before, after = torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[[0.75, 0.25]]]])
    statistics.take_map(MapObservation("a", before, after, torch.tensor([[[[4.0], [0.0]]]])))
    assert statistics.layers["a"].attention_error == 0.25
    assert mean_attention_error(statistics.layers.values()) == 50.0
    assert mean_attention_error([]) is None


def test_watch_zeros_and_mass_by_hand():
    statistics = MapStatistics()
    before, after = torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[[0.75, 0.0]]]])
    statistics.take_map(MapObservation("a", before, after, torch.ones(1, 1, 2, 1)))
    statistics.take_map(MapObservation("a", before, before, torch.ones(1, 1, 2, 1)))
    assert statistics.layers["a"].zeros == (1, 4)
    assert statistics.layers["a"].mass == 1.75 / 2
