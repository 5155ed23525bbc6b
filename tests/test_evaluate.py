"""Evaluation of the pretrained models on an ImageNet-shaped folder, as a user runs it."""

import json
import re
import runpy
import shutil
import sys
import tempfile
import warnings
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.evaluations import quiet, run, running_threads
from support.imagenet_folder import make_imagenet
from support.models import digits_task, quantized_once
from support.quick import quick_where
from support.shared import made_once
from support.weights import random_checkpoint

from bitlog2.models.images.data import TensorImages
from bitlog2.models.ptq.quantize import quantize
from bitlog2.models.runs import evaluation, result
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import not_comparable
from bitlog2.names import ZOO
from bitlog2.scripts import test_quant
from bitlog2.scripts.cli import main

NO_CODE = ("--scheme", "none", "--arithmetic", "attention")
SCRIPT = Path(__file__).parent.parent / "scripts" / "test_quant.py"


@pytest.fixture(autouse=True)
def calibrated_once(monkeypatch):
    """Take a model that an earlier test quantized, where weights, images and spec are the same."""
    monkeypatch.setattr(evaluation, "quantize", quantized_once)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """3 classes: 12 training images, 6 validation images."""
    return made_once(
        tmp_path_factory, "evaluated", lambda path: make_imagenet(path, 3, 4, 2, seed=0)
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return random_checkpoint(tmp_path_factory.mktemp("weights"), "deit_tiny", 3)


def options(data, checkpoint, *more, model="deit_tiny"):
    images = ("--data", str(data), "--checkpoint", str(checkpoint), "--workers", "0")
    return ("evaluate", "--model", model, *images, "--calibration-images", "3", *more)


def results(path, *argv):
    """Status, and the JSON of an evaluation."""
    status = main([*argv, "--json", str(path)])
    return status, json.loads(path.read_text())


def refused(capsys, *argv):
    assert main(argv) == 2
    return capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("name", ZOO)
def test_evaluate_every_register_of_every_model_agrees(name, data, tmp_path):
    """Random weights, the true architectures; from pixels to logits in integers."""
    checkpoint = random_checkpoint(tmp_path, name, 3)
    argv = options(data, checkpoint, "--limit", "2", "--batch-size", "1", model=name)
    status, integer = results(tmp_path / "i.json", *argv)
    check = integer["cells"][1]["check"]
    assert (status, check["total_mismatched"], check["passed"]) == (0, 0, True)
    layers = len(integer["cells"][1]["layer_params"])
    assert layers == {"swin_small": 24}.get(name, 12)
    assert min(check["compared"].values()) > 0


@pytest.mark.long
@pytest.mark.parametrize("name", ZOO)
def test_evaluate_every_model_lowered_and_run_gives_the_same_digest(name, data, tmp_path, capsys):
    """The program of `lower`, on the image files themselves."""
    argv = options(data, random_checkpoint(tmp_path, name, 3), model=name)
    more = ("--limit", "2", "--threads", "1", "--check", "none")
    status, document = results(tmp_path / "i.json", *argv, *more)
    cell, program = document["cells"][1], str(tmp_path / "program")
    of_lower = [word for word in argv[3:] if word not in ("--workers", "0")]
    assert (status, main(["lower", name, "--out", program, *of_lower])) == (0, 0)
    assert f"program {program}: {cell['model_sha256']}\n" in capsys.readouterr().out
    images = ("--images", str(data), "--limit", "2", "--out", str(tmp_path / "logits.npz"))
    assert main(["run", program, *images, "--expect", cell["digests"]["logits"]]) == 0


@pytest.mark.long
@pytest.mark.parametrize("name", ZOO)
def test_evaluate_every_model_in_float_arithmetic(name, data, tmp_path):
    checkpoint = random_checkpoint(tmp_path, name, 3)
    argv = options(data, checkpoint, "--limit", "2", "--arithmetic", "float", model=name)
    status, document = results(tmp_path / "f.json", *argv)
    top1 = [row["top1"] for row in document["cells"]]
    assert (status, [share["total"] for share in top1]) == (0, [2, 2])


@pytest.mark.long
def test_evaluate_several_seeds_print_their_spread(data, tiny, tmp_path, capsys):
    argv = options(data, tiny, "--seeds", "0,1,2", "--limit", "3")
    _, document = results(tmp_path / "r.json", *argv)
    rows = document["cells"][1:]
    shares = [row["top1"]["percent"] for row in rows]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert rows[0]["layer_params"] != rows[1]["layer_params"]
    (spread,) = (each["top1"] for each in document["spread"])
    assert (spread["least"], spread["most"], spread["seeds"]) == (min(shares), max(shares), 3)
    assert f"over 3 seeds: mean {np.mean(shares):.2f} %" in capsys.readouterr().out


@pytest.mark.parametrize("size", quick_where(lambda size: size == 4, (1, 4, 100)))
def test_evaluate_sample_of_a_size_checks_so_many_heads(data, tiny, tmp_path, size):
    """12 layers, batches of 2, 2 and 1 images, 3 heads and 197 rows each."""
    argv = options(data, tiny, "--limit", "5", "--batch-size", "2", "--check", f"sample:{size}")
    argv += ("--arithmetic", "attention")
    status, document = results(tmp_path / "r.json", *argv)
    check = document["cells"][1]["check"]
    heads = 12 * sum(min(size, 3 * images) for images in (2, 2, 1))
    assert (status, check["mode"], check["passed"]) == (0, f"sample:{size}", True)
    assert check["compared"]["row_max"] == heads * 197


@pytest.mark.parametrize("mode", ["sample:0", "al"])
def test_evaluate_wrong_check_is_refused_in_one_sentence(mode, capsys):
    assert main(["evaluate", "--check", mode]) == 2
    legal = "must be none, sample, sample:K with K from 1 to 999999999, or all"
    assert capsys.readouterr().err == f"bitlog2 evaluate: error: --check {legal}, got {mode!r}\n"


class Changed(TensorImages):
    """Digits' images, each batch changed on its way."""

    def batches(self, batch_size, limit, wanted=None):
        for number, batch in enumerate(super().batches(batch_size, limit, wanted)):
            yield self.change(number, batch)


def evaluate_changed(monkeypatch, change, **request):
    """Evaluate digits on changed batches."""
    plain = digits_task()
    data = Changed(plain.data.train, plain.data.test, 10)
    object.__setattr__(data, "change", change)
    changed = replace(plain, data=data)
    monkeypatch.setattr(EvaluationRequest, "task", lambda self, model, loaded: changed)
    request = EvaluationRequest(models=("digits",), batch_size=8, statistics=False, **request)
    return evaluation.evaluate(None, request, quiet)


def test_evaluate_that_fails_leaves_nothing_behind(monkeypatch, tmp_path):
    """Inference stops in its third batch, with registers waiting to be compared."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    quantized = []

    def change(number, batch):
        channels = 3 if number == 2 and quantized else None
        return batch._replace(images=batch.images[:, :, :channels])

    made = evaluation.quantize
    monkeypatch.setattr(
        evaluation, "quantize", lambda *a, **how: quantized.append(made(*a, **how)) or quantized[0]
    )
    with pytest.raises((AssertionError, RuntimeError)):
        evaluate_changed(
            monkeypatch, change, schemes=("BitLog2_Half_17",), arithmetics=("attention",), limit=24
        )
    assert running_threads() == []
    assert not any(module._forward_hooks for module in quantized[0].modules())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_evaluate_is_the_same_twice(data, tiny, tmp_path, monkeypatch):
    """But for the time that it took; calibrated anew."""
    monkeypatch.setattr(evaluation, "quantize", quantize)
    documents = [
        results(tmp_path / f"{time}.json", *options(data, tiny, "--limit", "3"))[1]
        for time in range(2)
    ]
    for each in documents:
        del each["timings"], each["sha256"]
    assert documents[0] == documents[1]


def test_evaluate_keeps_no_images(monkeypatch):
    """Constant memory: of the batches of a cell, at most two are alive at any time."""
    alive: list[weakref.ref] = []
    most = 0

    def change(number, batch):
        nonlocal most
        images = batch.images.clone()
        alive.append(weakref.ref(images))
        most = max(most, sum(one() is not None for one in alive))
        return batch._replace(images=images)

    evaluate_changed(
        monkeypatch, change, schemes=("none",), arithmetics=("attention",), check="none", limit=80
    )
    assert (len(alive), most) == (20, 2)


@pytest.mark.long
def test_evaluate_alone_gives_the_result_of_a_run(tmp_path):
    """But for its timings: the same bytes with a folder and without."""
    request = EvaluationRequest(
        models=("digits",),
        schemes=("BitLog2_Half_17", "none"),
        arithmetics=("integer", "attention"),
        limit=8,
        watermarks=True,
    )
    kept = run(tmp_path / "run", request)
    assert evaluation.evaluate(None, request, quiet) == result.read_result(kept.path)


SAME = ("name", "seed", "model_sha256", "digests", "top1", "top5", "layer_params", "quantization")


@pytest.mark.long
def test_evaluate_saved_model_is_the_evaluated_one(data, tiny, tmp_path):
    """And so are the dumped quantizers; to evaluate it again, no training images are needed."""
    saved, dumped = tmp_path / "q.safetensors", tmp_path / "q.npz"
    argv = options(data, tiny, "--save", str(saved), "--dump-quantizers", str(dumped))
    _, first = results(tmp_path / "1.json", *argv)
    shutil.copytree(data / "val", tmp_path / "only" / "val")
    argv = ("evaluate", "--load", str(saved), "--data", str(tmp_path / "only"), "--workers", "0")
    status, second = results(tmp_path / "2.json", *argv)
    assert status == 0
    assert [second["cells"][0][name] for name in SAME] == [first["cells"][1][name] for name in SAME]
    assert second["cells"][0]["check"]["total_compared"] > 0
    tensors = load_file(saved)
    with np.load(dumped) as values:
        names = [name for name in values.files if name != "about"]
        assert len(names) > 12 * 20
        assert all(np.array_equal(values[n].ravel(), tensors[n].ravel()) for n in names)


@pytest.mark.parametrize("option", ["--save", "--dump-quantizers"])
def test_evaluate_one_file_of_several_models_is_refused(data, tiny, tmp_path, capsys, option):
    argv = options(data, tiny, option, str(tmp_path / "x"), "--seeds", "0,1")
    name = option.removeprefix("--").replace("-", "_")
    assert f"{name} must go with one scheme and one seed, got 2 cells" in refused(capsys, *argv)


def test_evaluate_shows_the_published_figure_and_warns_when_off(data, tiny, monkeypatch, capsys):
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    assert main(options(data, tiny, "--arithmetic", "float")) == 0
    printed = capsys.readouterr()
    assert re.search(r"^unquantized .* 72\.21\b", printed.out, re.MULTILINE)
    assert re.search(r"^BitLog2_Half_17 .* 58\.35\b", printed.out, re.MULTILINE)
    assert "published are 72.21 %: data, weights or preprocessing differ" in printed.err


def test_evaluate_of_a_part_is_not_held_against_the_published_figure(
    data, tiny, monkeypatch, capsys
):
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    assert main(options(data, tiny, *NO_CODE, "--check", "none", "--limit", "4")) == 0
    message = capsys.readouterr().err
    assert "differ" not in message
    assert "50,000 images, these are of 4, so that no figure here can be compared" in message


NONE = "so that no figure here can be compared with a published one"


@pytest.mark.parametrize(
    ("published", "reached", "images", "limit", "message"),
    [
        (None, 10.0, 4, 4, None),
        (72.21, 72.5, 50_000, None, None),
        (72.21, 72.5, 50_000, 10**6, None),
        (72.21, 72.52, 50_000, None, f"data, weights or preprocessing differ, {NONE}"),
        (72.21, 72.2, 4, 4, f"these are of 4, {NONE}"),
        (72.21, None, 50_000, None, f"was not evaluated: .* may differ, {NONE}"),
    ],
)
def test_evaluate_says_why_no_figure_can_be_compared(published, reached, images, limit, message):
    found = not_comparable(published, reached, images, limit)
    assert found is None if message is None else re.search(message, found)


def test_evaluate_of_a_saved_model_warns_that_nothing_is_known_of_the_data(
    data, tiny, tmp_path, monkeypatch, capsys
):
    saved = str(tmp_path / "q.safetensors")
    assert main(options(data, tiny, *NO_CODE, "--limit", "1", "--save", saved)) == 0
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    argv = ("evaluate", "--load", saved, "--data", str(data), "--workers", "0", "--limit", "1")
    capsys.readouterr()
    assert main(argv) == 0
    assert "the unquantized model was not evaluated" in capsys.readouterr().err


def test_evaluate_published_command_line_warns_that_nothing_is_known_of_the_data(
    data, tiny, monkeypatch, capsys
):
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    argv = ("--model", "deit_tiny", "--dataset", str(data), "--checkpoint", str(tiny))
    assert test_quant.main((*argv, *PUBLISHED_OPTIONS)) == 0
    assert NONE in capsys.readouterr().err


@pytest.mark.long
def test_evaluate_at_six_bits_agrees_and_nothing_is_published(data, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(result, "IMAGENET_CLASSES", 3)
    argv = options(data, tiny, "--w-bits", "6", "--a-bits", "6", "--limit", "2")
    status, document = results(tmp_path / "r.json", *argv)
    assert (status, document["cells"][1]["check"]["total_mismatched"]) == (0, 0)
    assert document["cells"][1]["published_top1"] is None


def test_evaluate_of_other_classes_has_no_published_figure(data, tiny, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, document = results(tmp_path / "r.json", *options(data, tiny, "--arithmetic", "float"))
    assert document["cells"][0]["published_top1"] is None
    assert "published" not in capsys.readouterr().out


def test_evaluate_without_data_says_what_is_needed(tiny, capsys):
    printed = refused(capsys, "evaluate", "--model", "deit_tiny", "--checkpoint", str(tiny))
    assert "data must be given for deit_tiny: a folder with train/ and val/" in printed


@pytest.mark.parametrize("option", ["--data", "--checkpoint"])
def test_evaluate_digits_takes_neither_data_nor_weights(option, tmp_path, capsys):
    printed = refused(capsys, "evaluate", "--model", "digits", option, str(tmp_path))
    assert f"{option.removeprefix('--')} must be left out for digits" in printed


def test_evaluate_other_number_of_classes_is_told(data, tmp_path, capsys):
    checkpoint = random_checkpoint(tmp_path, "deit_tiny", 5)
    printed = refused(capsys, *options(data, checkpoint))
    assert re.search(r"must have 5 classes.*got 3", printed)


def test_evaluate_load_of_another_model_is_refused(data, tmp_path, capsys):
    saved = tmp_path / "q.safetensors"
    assert main(["evaluate", "--limit", "1", "--save", str(saved)]) == 0
    capsys.readouterr()
    argv = ("evaluate", "--model", "deit_tiny", "--load", str(saved), "--data", str(data))
    assert "load must be a quantized deit_tiny, got one of digits" in refused(capsys, *argv)


PUBLISHED_OPTIONS = (
    *("--calib-batchsize", "3", "--val-batchsize", "4", "--num-workers", "1", "--device", "cpu"),
    *("--print-freq", "1", "--seed", "0", "--log_quant_scheme", "Sqrt2_17"),
)


def test_evaluate_published_command_line_gives_the_same_accuracy(
    data, tiny, tmp_path, monkeypatch, capsys
):
    """Every published option; the last line is the published one, its figures evaluate's."""
    command = [str(SCRIPT), "--model", "deit_tiny", "--dataset", str(data)]
    command += ["--checkpoint", str(tiny), *PUBLISHED_OPTIONS, "--w_bits", "4", "--a_bits", "4"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    argv = options(data, tiny, "--arithmetic", "float", "--scheme", "Sqrt2_17")
    _, ours = results(tmp_path / "r.json", *argv, "--batch-size", "4")
    row = ours["cells"][1]
    assert "Performing scale reparameterization ..." in printed
    line = (
        r"Test: \[1/2\]\tTime [\d.]+ \([\d.]+\)\tLoss [\d.]+ \([\d.]+\)\tPrec@1 [\d.]+ \([\d.]+\)"
    )
    assert re.search(line + r"\tPrec@5 100\.000 \(100\.000\)", printed)
    last = f" * Prec@1 {row['top1']['percent']:.3f} Prec@5 {row['top5']['percent']:.3f} Time "
    assert printed.splitlines()[-1].startswith(last)


@pytest.mark.long
@pytest.mark.parametrize("ending", ["bit", "bits"])
def test_evaluate_published_command_line_takes_both_spellings(ending, capsys):
    argv = ("--model", "digits", f"--w_{ending}", "6", f"--a_{ending}", "8", *PUBLISHED_OPTIONS)
    assert test_quant.main(argv) == 0
    printed = capsys.readouterr().out
    assert "a_bits=8" in printed
    assert "w_bits=6" in printed


def test_evaluate_published_command_line_tells_errors_in_one_line(tmp_path, capsys):
    assert test_quant.main(("--dataset", str(tmp_path / "none"))) == 2
    assert capsys.readouterr().err.startswith("test_quant.py: error: data must be a folder")
