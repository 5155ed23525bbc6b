"""Models that a function in Python makes: named wherever a model is, run by their name alone."""

import json
import sys

import pytest
import torch
from support.imagenet_folder import make_imagenet
from support.shared import made_once
from test_timm_models import error_of, same

from bitlog2.golden import verify
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.runs.request import usual_request
from bitlog2.models.zoo.architectures import build_zoo_model, data_config, load_zoo_model
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.models.zoo.task import pixels_of
from bitlog2.names import canonical_model, is_function, zoo_model
from bitlog2.scripts.cli import main
from bitlog2.scripts.values import model_and_file

NAME = "own.nets:network"
SOURCE = """
import torch
from timm.models.vision_transformer import VisionTransformer

DATA = {"input_size": (3, 32, 32), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
called = []


class Own(VisionTransformer):
    def __init__(self, **more):
        sizes = {"patch_size": 8, "depth": 1, "embed_dim": 32, "num_heads": 2, "num_classes": 3}
        super().__init__(img_size=32, **sizes | more)


def network():
    called.append(1)
    return Own(), DATA


def of_timm():
    import timm

    return timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=3)


def without_data():
    return Own()


def without_classes():
    return torch.nn.Linear(2, 2), DATA


def nothing():
    return None


def fails():
    raise RuntimeError("no weights here")


def infinite():
    model = Own()
    torch.nn.init.constant_(model.norm.weight, float("inf"))
    return model, DATA
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a package of one's own; it is imported anew."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "nets.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # tests change it within a second
    yield tmp_path
    for name in [each for each in sys.modules if each.split(".")[0] == "own"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_once(
        tmp_path_factory, "evaluated", lambda path: make_imagenet(path, 3, 4, 2, seed=0)
    )


def evaluated(data, *more, model=NAME):
    named = () if model is None else ("--model", model)
    images = ("--data", str(data), "--workers", "0", "--limit", "2")
    return main(["evaluate", *named, *images, *map(str, more)])


FEW = ("--calibration-images", "3")


# Names


def test_function_names_are_names_of_models():
    assert canonical_model(NAME) == NAME
    assert is_function(NAME)
    assert zoo_model(NAME).is_function
    assert not is_function("digits")
    assert not is_function("timm:vit")
    assert not is_function("vit_small")
    assert model_and_file(f"{NAME}=/b,c=d.pth") == (NAME, "/b,c=d.pth")


@pytest.mark.parametrize(
    "name",
    ["a.b:", ":f", "a-b:f", "a..b:f", "a:f()", "a:f,x=1", "a:b.c", "a/b:f", f"{'a' * 1000}:f"],
)
def test_function_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match=r"^model must be .*PACKAGE\.MODULE:FUNCTION, got"):
        canonical_model(name)


# What a function gives


def test_function_makes_the_same_model_every_time(here):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = load_zoo_model(NAME), build_zoo_model(NAME, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first, second)
    assert not first.training
    assert str(here) not in sys.path
    assert pixels_of(NAME).mean == (0.4, 0.5, 0.6)


def test_function_of_timm_has_timms_data_configuration(here):
    found = data_config(zoo_model("own.nets:of_timm"))
    assert (found["input_size"], found["mean"]) == ((3, 224, 224), (0.5, 0.5, 0.5))


def test_function_takes_a_checkpoint(here):
    torch.manual_seed(5)
    other = type(load_zoo_model(NAME))()
    torch.save(other.state_dict(), here / "w.pth")
    assert same(load_zoo_model(NAME, here / "w.pth"), other)
    torch.save(type(other)(num_classes=5).state_dict(), here / "w.pth")
    with pytest.raises(ValueError, match=r"wrong shape: head\.weight"):
        load_zoo_model(NAME, here / "w.pth")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (
            "nowhere.at.all:f",
            "must be a function that makes one: ModuleNotFoundError: No module nam",
        ),
        ("own.nets:no", "must be a function that makes one: AttributeError: module 'own.nets' has"),
        ("own.nets:fails", "must be a function that makes one: RuntimeError: no weights here"),
        (
            "own.nets:DATA",
            "must be a function that makes one: TypeError: 'dict' object is not calla",
        ),
        (
            "own.nets:nothing",
            "must be a torch.nn.Module, or that and a data configuration, got None",
        ),
        ("own.nets:without_classes", "must say its num_classes, got None"),
        (
            "own.nets:without_data",
            "must have a data configuration, as timm's pretrained_cfg or beside it: input_size, "
            "mean, std, without input_size, mean, std",
        ),
    ],
)
def test_function_that_makes_no_model_is_refused_in_one_line(here, data, name, wrong, capsys):
    assert f"model {name} {wrong}" in error_of(capsys, evaluated(data, model=name))


def test_function_of_values_that_are_not_finite_is_refused(here, data, capsys):
    printed = error_of(capsys, evaluated(data, *FEW, model="own.nets:infinite"))
    assert "must be finite" in printed


# Saved files


def saved(path):
    spec = QuantizationSpec("BitLog2_Half_17", "attention")
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = quantize(load_zoo_model(NAME), images, spec)
    save_quantized(path, QuantizedModel(model, NAME, 3, spec, 0))
    return model


def test_function_is_not_run_by_a_file_that_names_it(here, data, capsys):
    model = saved(here / "q")
    called = sys.modules["own.nets"].called
    before = len(called)
    for refused in (
        lambda: load_quantized(here / "q"),
        lambda: load_quantized(here / "q", "own.nets:of_timm"),
        lambda: usual_request(load=here / "q", data=data),
    ):
        with pytest.raises(
            ValueError, match="made by a function, which is run if it is named: --mo"
        ):
            refused()
    printed = error_of(capsys, evaluated(data, "--load", here / "q", model=None))
    assert printed.endswith(f"run if it is named: --model {NAME}\n")
    assert len(called) == before
    assert same(load_quantized(here / "q", NAME).model, model)
    assert evaluated(data, "--load", here / "q") == 0


def test_function_of_another_model_does_not_fit_a_saved_file(here):
    saved(here / "q")
    path = here / "own" / "nets.py"
    path.write_text(path.read_text().replace('"depth": 1', '"depth": 2'))
    del sys.modules["own.nets"]
    with pytest.raises(ValueError, match=f"must hold the tensors of {NAME}: missing: blocks.1"):
        load_quantized(here / "q", NAME)
    path.write_text(path.read_text().replace('"num_classes": 3', '"num_classes": 4'))
    del sys.modules["own.nets"]
    with pytest.raises(ValueError, match=f"model {NAME} must have 3 classes, got 4"):
        load_quantized(here / "q", NAME)


# Commands


@pytest.mark.long
def test_function_model_runs_whole_in_every_command(here, data, capsys):
    files = ("--json", here / "r.json", "--save", here / "q")
    assert evaluated(data, *FEW, "--check", "all", "--arithmetic", "integer", *files) == 0
    cell = json.loads((here / "r.json").read_text())["cells"][1]
    assert cell["check"]["passed"]
    assert cell["model"] == NAME
    assert evaluated(data, "--load", here / "q", "--json", here / "again.json") == 0
    again = json.loads((here / "again.json").read_text())["cells"][0]
    assert again["digests"] == cell["digests"]
    images = ("--data", str(data), *FEW)
    lowered = ("lower", NAME, "--out", here / "p", *images, "--check", "2")
    assert main([*map(str, lowered)]) == 0
    assert main(["export", NAME, "--out", str(here / "e"), *images]) == 0
    assert verify(here / "e").ok
    words = ("golden", "emit", "--source", "model", "--model", NAME, "--layers", "0", "--rows", "0")
    assert main([*words, "--out", str(here / "v"), *images]) == 0
    assert verify(here / "v").ok
    capsys.readouterr()


@pytest.mark.long
def test_function_model_has_a_run_that_is_resumed(here, data, capsys):
    assert evaluated(data, *FEW, "--run", here / "run") == 0
    files = [*(here / "run" / "cells").glob("*/batches-*.jsonl")]
    assert [each.parent.name.startswith("own.nets-network-") for each in files] == [True, True]
    first = (here / "run" / "result.json").read_bytes()
    for each in (*files, here / "run" / "result.json"):
        each.unlink()
    assert main(["resume", str(here / "run")]) == 0
    assert (here / "run" / "result.json").read_bytes() == first
    assert main(["status", str(here / "run")]) == 0
    capsys.readouterr()
