"""Models by their names in timm: what they mean, and that they run whole or are refused by name."""

import csv
import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import timm.data
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from support.imagenet_folder import make_imagenet
from support.quick import quick_where
from support.shared import made_once
from support.timm_families import FAMILIES, VIT
from timm.models._hub import save_for_hf

from bitlog2.models.naming import file_name
from bitlog2.models.network import lower
from bitlog2.models.network.lower import require_form
from bitlog2.models.ptq import quantize as ptq
from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import csv_line
from bitlog2.models.zoo.architectures import build_zoo_model, data_config, load_zoo_model, transform
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.models.zoo.task import DataSource, load_task, pixels_of, resize_of
from bitlog2.names import ARITHMETICS, BETWEEN_MODELS, MODELS, canonical_model, zoo_model
from bitlog2.scripts import test_quant
from bitlog2.scripts.cli import main
from bitlog2.scripts.values import Models, model_and_file

PAGE = Path(__file__).parent.parent / "docs" / "models.md"
SMALL = "img_size=32,patch_size=8,depth=1,embed_dim=32,num_heads=2"
RANDOM = f"timm:{VIT},{SMALL},num_classes=3,pretrained=False"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """3 classes: 12 training images, 6 validation images."""
    return made_once(
        tmp_path_factory, "evaluated", lambda path: make_imagenet(path, 3, 4, 2, seed=0)
    )


def evaluated(data, name, *more):
    images = ("--data", str(data), "--workers", "0", "--calibration-images", "3")
    return main(["evaluate", "--model", name, *images, "--limit", "2", *more])


def error_of(capsys, status):
    """The one line of a refusal."""
    assert status == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1, printed
    return printed


# Names


def test_timm_names_have_keys_typed_as_timms_scripts_type_them():
    name = "timm:vit,img_size=64,drop_rate=0.5,class_token=False,global_pool=avg,window_size=(4,8)"
    keys = (("img_size", 64), ("drop_rate", 0.5), ("class_token", False), ("global_pool", "avg"))
    assert zoo_model(name).keys == (*keys, ("window_size", (4, 8)))
    assert (zoo_model(name).name, zoo_model(name).timm_name) == (name, "vit")


def test_timm_names_of_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = canonical_model("local-dir:a,b,img_size=64")
    assert found == f"local-dir:{tmp_path}/a,b,img_size=64"
    assert zoo_model(found).timm_name == f"local-dir:{tmp_path}/a,b"
    assert canonical_model(found) == found


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("timm:", "one of vit_small, .*timm:NAME, hf-hub:OWNER/NAME, local-dir:FOLDER, PACK"),
        ("resnet", "one of digits, .*, got 'resnet'"),
        ("url:x/y", "one of .*, got 'url:x/y'"),
        ("timm:a\n", "be printable"),
        ("local-dir:/a=b", "with = in keys alone"),
        (f"timm:{'a' * 1000}", "at most 1000 characters"),
        ("timm:a,depth=1,depth=2", "each key once, .*, got depth"),
        ("timm:a,checkpoint_path=/etc/x", "without .*checkpoint_path, .*got checkpoint_path"),
        ("timm:a,pretrained_cfg_overlay={}", "got pretrained_cfg_overlay"),
        ("timm:a,pretrained=maybe", "pretrained=True or False, got 'maybe'"),
    ],
)
def test_timm_names_that_are_none_are_refused(name, wrong):
    with pytest.raises(ValueError, match=f"^model must .*{wrong}"):
        canonical_model(name)


def test_timm_names_stand_in_lists():
    """A comma in front of a key, or within brackets, parts no two models."""
    first, last = "timm:a,depths=(2,2),img_size=64", "hf-hub:o/n"
    names = (first, "vit_small", last)
    assert tuple(re.split(BETWEEN_MODELS, ",".join(names))) == names
    found = Models.converter(None, [type("Token", (), {"value": ",".join(names)})])
    assert found == names


def test_timm_names_stand_in_csv_tables():
    line = csv_line(("timm:a,depths=(2,2)", "RowMax_16", 4, ""))
    assert line == '"timm:a,depths=(2,2)",RowMax_16,4,'
    assert next(csv.reader([line])) == ["timm:a,depths=(2,2)", "RowMax_16", "4", ""]


@pytest.mark.parametrize(
    "name", ["vit_small", "timm:a", "timm:a,img_size=64,x=y", "local-dir:/a/b"]
)
def test_timm_names_stand_in_front_of_a_checkpoint(name):
    assert model_and_file(f"{name}=/b,c=d.pth") == (name, "/b,c=d.pth")
    for wrong in ("vit_small", "timm:a=", "=x"):
        with pytest.raises(ValueError, match="must be MODEL=FILE"):
            model_and_file(wrong)


def test_timm_names_give_legal_names_of_files_one_each():
    names = [*MODELS, "timm:a,b=1", "timm:a,b=2", "timm:a;b=1", "hf-hub:o/n", "x" * 900, "x" * 901]
    files = [file_name(name) for name in names]
    assert files[: len(MODELS)] == list(MODELS)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", file) for file in files)
    assert len(set(files)) == len(names)


def test_timm_names_of_a_request_are_absolute_and_named_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("local-dir:a", f"local-dir:{tmp_path}/a")
    request = EvaluationRequest(models=names[:1], schemes=("RowMax_16",))
    assert request.models == names[1:]
    with pytest.raises(ValueError, match="models must name each once"):
        EvaluationRequest(models=names, schemes=("RowMax_16",))


# Architecture, data configuration, weights


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("timm:vit_tiny_patch16_244", "timm has none of that name; did you mean 'vit_tiny_patch16"),
        ("timm:vit_tiny_patch16_224.nothing", "Invalid pretrained tag"),
        ("timm:vit_tiny_patch16_224,depht=2,pretrained=False", "TypeError: .*'depht'"),
        (
            "timm:vit_small_patch14_dinov2,depth=1,pretrained=False",
            "must have a head: give the key",
        ),
        (f"timm:{VIT},img_size=big", "img_size must be a side or two, integers, got 'big'"),
        (f"{RANDOM},in_chans=1", "must take images of 3 colours, got 1"),
    ],
)
def test_timm_models_that_timm_does_not_make_are_refused(name, wrong, data, capsys):
    assert re.search(wrong, error_of(capsys, evaluated(data, name)))


@pytest.mark.parametrize(
    ("name", "resized"),
    [
        ("vit_tiny_patch16_224", 248),
        ("vit_small_patch14_dinov2", 518),
        ("deit3_small_patch16_384", 384),
        ("vit_base_patch16_clip_224.openai", 248),
        ("vit_base_patch16_siglip_gap_224", 248),
        ("eva02_base_patch14_448", None),
        ("levit_128s", 248),
        ("resnet18.tv_in1k", None),
    ],
)
def test_timm_preprocessing_is_timms_own(name, resized):
    """Of images as of the model; where a program cannot say how they are resized, it does not."""
    recipe = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    )
    shape = (40, 61, 3)
    pixels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1))
    image = Image.fromarray(pixels.byte().numpy())
    assert torch.equal(transform(zoo_model(f"timm:{name}"))(image), recipe(image))
    assert resize_of(f"timm:{name}") == resized


def test_timm_size_of_images_is_that_of_the_key():
    config = data_config(zoo_model(f"timm:{VIT},img_size=(64,96)"))
    assert config["input_size"] == (3, 64, 96)
    assert pixels_of(RANDOM).mean == (0.5, 0.5, 0.5)


def test_timm_random_weights_are_the_same_every_time_and_take_no_others(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = (load_zoo_model(RANDOM).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(ValueError, match="checkpoint must be left out for the random weights of"):
        load_zoo_model(RANDOM, tmp_path / "x.pth")


KEYS = {key: value for key, value in zoo_model(RANDOM).keys if key != "pretrained"}


def saved(model, folder):
    """As timm pushes a model to the hub."""
    save_for_hf(model, folder, model_args=KEYS, safe_serialization="both")


def small(classes=3, **changes):
    """A model that was trained somewhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return timm.create_model(VIT, **{**KEYS, "num_classes": classes, **changes}).eval()


def same(model, other):
    states = model.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_timm_checkpoint_gives_weights_and_classes(tmp_path):
    torch.save(small(5).state_dict(), tmp_path / "w.pth")
    name = f"timm:{VIT},{SMALL}"
    assert same(load_zoo_model(name, tmp_path / "w.pth"), small(5))
    with pytest.raises(ValueError, match=r"wrong shape: head\.weight"):
        load_zoo_model(f"{name},num_classes=3", tmp_path / "w.pth")


@pytest.fixture
def folder(tmp_path):
    saved(small(), tmp_path / "a: model")
    return tmp_path / "a: model"


@pytest.mark.parametrize("left", ["model.safetensors", "pytorch_model.bin"])
def test_timm_folder_gives_architecture_and_weights(folder, left):
    for file in {"model.safetensors", "pytorch_model.bin"} - {left}:
        (folder / file).unlink()
    name = f"local-dir:{folder}"
    assert same(load_zoo_model(name), small())
    assert data_config(zoo_model(name))["input_size"] == (3, 32, 32)
    assert build_zoo_model(name, 7).num_classes == 7


def test_timm_folder_without_its_files_says_what_is_missing(folder):
    name = f"local-dir:{folder}"
    for file in ("model.safetensors", "pytorch_model.bin"):
        (folder / file).unlink()
    with pytest.raises(OSError, match=r"must be model\.safetensors or pytorch_model\.bin in"):
        load_zoo_model(name)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="must be one that timm makes: "):
        load_zoo_model(name)
    (folder / "config.json").unlink()
    with pytest.raises(OSError, match=r"must be a folder with timm's config\.json"):
        load_zoo_model(name)


def test_timm_weights_that_are_not_finite_are_refused(folder):
    model = small()
    with torch.no_grad():
        model.norm.weight[3] = torch.nan
    saved(model, folder)
    with pytest.raises(ValueError, match=r"not finite: norm.weight \(1 of 32 values\)"):
        load_zoo_model(f"local-dir:{folder}")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Its cache, empty, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def cached(hub, repository, folder):
    """Put a folder where the hub's client keeps it."""
    place = hub / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        (
            f"timm:{VIT}",
            r"give --checkpoint FILE, the model.safetensors of https://huggingface.co/timm/vit_t",
        ),
        ("hf-hub:some/model@v2", "give local-dir:FOLDER, a copy of https://huggingface.co/some/mo"),
    ],
)
def test_timm_without_the_hub_says_what_to_give(hub, name, instead, data, capsys):
    printed = error_of(capsys, evaluated(data, name))
    assert re.search(
        f"weights of {name} can't be had from the Hugging Face hub .*{instead}", printed
    )


def test_timm_models_of_the_hubs_cache_need_no_network(hub, folder):
    cached(hub, "some/model", folder)
    assert same(load_zoo_model("hf-hub:some/model"), small())


def test_timm_weights_of_the_hubs_cache_are_adapted_as_timm_does_it(hub, tmp_path):
    """Those of 1000 classes and 224 pixels, for images of 64; another head would be random."""
    tag = timm.get_pretrained_cfg(VIT).hf_hub_id
    keys = {"depth": 1, "embed_dim": 32, "num_heads": 2}
    whole = small(1000, img_size=224, patch_size=16, **keys)
    (tmp_path / "x").mkdir()
    save_file(whole.state_dict(), tmp_path / "x" / "model.safetensors")
    cached(hub, tag, tmp_path / "x")
    name = f"timm:{VIT},depth=1,embed_dim=32,num_heads=2"
    assert same(load_zoo_model(name), whole)
    assert load_zoo_model(f"{name},img_size=64").pos_embed.shape == (1, 17, 32)
    with pytest.raises(ValueError, match=r"num_classes must be 1000 for .*, got 3: give --check"):
        load_zoo_model(f"{name},num_classes=3")


def test_timm_file_cannot_ask_for_more_than_it_holds(tmp_path):
    """12 billion parameters; the file itself loads."""
    spec = QuantizationSpec("none", "float")
    model = quantize(load_zoo_model(RANDOM), torch.rand(2, 3, 32, 32), spec)
    saved_as = QuantizedModel(model, RANDOM, 3, spec, 0)
    save_quantized(tmp_path / "q", saved_as)
    assert load_quantized(tmp_path / "q").name == RANDOM
    large = replace(saved_as, name=RANDOM.replace("embed_dim=32", "embed_dim=32000"))
    save_quantized(tmp_path / "q", large)
    with pytest.raises(ValueError, match=r"must hold the 12,\d{3},\d{3},\d{3} parameters of timm:"):
        load_quantized(tmp_path / "q")


# Families


QUICK = ("deit_tiny_distilled_patch16_224", "vit_giant_patch14_dinov2", "resnet18")
RUNS = [(family, a) for family in FAMILIES for a in ARITHMETICS]
IDS = [f"{family.title}-{a}".replace(" ", "_") for family, a in RUNS]


@pytest.mark.parametrize(
    ("family", "arithmetic"),
    quick_where(lambda family, a: family.name in QUICK and a == "integer", RUNS, IDS),
)
def test_timm_families_have_a_form_or_are_refused_by_their_part(family, arithmetic, monkeypatch):
    """Nothing is calibrated."""
    monkeypatch.setattr(ptq, "calibrate_on", None)
    monkeypatch.setattr(lower, "observe", None)
    model, size = load_zoo_model(family.model), data_config(zoo_model(family.model))["input_size"]
    images = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    spec = QuantizationSpec(arithmetic=arithmetic)
    if not family.refused or arithmetic not in family.arithmetics:
        require_form(model, images, spec)
        return
    with pytest.raises(ValueError, match=f"^layer .*{re.escape(family.refused)}") as caught:
        require_form(model, images, spec)
    assert "\n" not in str(caught.value)


WHOLE = [(f,) for f in FAMILIES if len(f.arithmetics) < 3 or not f.refused]


@pytest.mark.parametrize(
    "family",
    quick_where(
        lambda family: family.name == "vit_small_patch14_reg4_dinov2",
        WHOLE,
        [family.title.replace(" ", "_") for (family,) in WHOLE],
    ),
)
def test_timm_families_run_whole_with_every_register_checked(family, data, tmp_path):
    arithmetics = [a for a in ARITHMETICS if not family.refused or a not in family.arithmetics]
    path = tmp_path / "result.json"
    more = ("--arithmetic", ",".join(arithmetics), "--check", "all", "--json", str(path))
    more += ("--run", str(tmp_path / "run"))  # models are read from their files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert evaluated(data, family.model, *more, "--scheme", "RowMax_16") == 0
    first, *cells = json.loads(path.read_text())["cells"]
    assert "weights are random" in first["warning"]
    assert [cell["quantization"]["arithmetic"] for cell in cells] == arithmetics
    for cell in cells[1:]:
        check = cell["check"]
        assert (check["passed"], check["total_mismatched"]) == (True, 0)
        assert min(check["compared"].values()) > 0


def test_timm_families_stand_on_the_page_of_models():
    lines = PAGE.read_text().splitlines()
    rows = [family.row for family in FAMILIES]
    start = lines.index(rows[0])
    assert lines[start : start + len(rows)] == rows
    assert lines[start + len(rows)] == ""


def test_timm_models_are_refused_before_anything_long_runs(data, tmp_path, capsys):
    """One image is read, and no cell begins, the unquantized one neither."""
    name = f"timm:{VIT},{SMALL},global_pool=map,num_classes=3,pretrained=False"
    printed = error_of(capsys, evaluated(data, name, "--run", str(tmp_path / "run")))
    assert "layer attn_pool (AttentionPoolLatent): has no quantized form" in printed
    assert not (tmp_path / "run").exists()


# The whole flow


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*weights are random")
def test_timm_model_goes_through_every_command(data, folder, tmp_path, monkeypatch, capsys):
    """From a relative folder; resumed, loaded, lowered and run elsewhere."""
    monkeypatch.chdir(tmp_path)
    name, images = f"local-dir:{folder.name}", ("--data", str(data), "--calibration-images", "3")
    argv = ("--workers", "0", "--limit", "2", "--save", "saved", "--json", "result.json")
    run = ("evaluate", "--run", "run", "--models", f"{name},{RANDOM}", *images, *argv[:4])
    assert main(run) == 0
    assert main(["evaluate", "--model", name, *images, *argv]) == 0
    cells = json.loads(Path("run/result.json").read_text())["cells"]
    one = json.loads(Path("result.json").read_text())["cells"][1]
    assert [cell["model"] for cell in cells] == [f"local-dir:{folder}"] * 2 + [RANDOM] * 2
    assert [cell["warning"] is None for cell in cells] == [True, True, False, True]
    assert one["model_sha256"] == cells[1]["model_sha256"]
    monkeypatch.chdir(data)
    here = str(tmp_path)
    few = ("--data", str(data), "--workers", "0", "--limit", "2")
    logits = ("--out", f"{here}/l.npz", "--expect", one["digests"]["logits"])
    rows = ("--out", f"{here}/rows", "--source", "model", "--model", f"local-dir:{folder}")
    for command in (
        ("resume", f"{here}/run"),
        ("status", f"{here}/run"),
        ("report", f"{here}/run", "--out", f"{here}/page.html"),
        ("compare", f"{here}/run", f"{here}/run"),
        ("evaluate", "--load", f"{here}/saved", *few),
        ("lower", f"local-dir:{folder}", "--out", f"{here}/program", *images, "--check", "1"),
        ("run", f"{here}/program", "--images", str(data), "--limit", "2", *logits),
        ("export", f"local-dir:{folder}", "--out", f"{here}/export", *images),
        ("golden", "verify", f"{here}/export"),
        ("golden", "emit", *rows, *images),
        ("golden", "verify", f"{here}/rows"),
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert f"program {here}/program: {one['model_sha256']}" in capsys.readouterr().out
    assert f"local-dir:{folder}" in (tmp_path / "page.html").read_text()


@pytest.mark.long
def test_timm_model_goes_through_the_published_command_line(data, capsys):
    argv = ("--model", RANDOM, "--dataset", str(data), "--device", "cpu", "--num_workers", "0")
    assert test_quant.main((*argv, "--calib_batchsize", "3")) == 0
    printed = capsys.readouterr()
    assert "its weights are random" in printed.err
    assert " * Prec@1" in printed.out


def test_timm_task_takes_classes_from_the_model(data):
    task = load_task(RANDOM, source=DataSource(data))
    assert (task.data.classes, task.name) == (3, RANDOM)
    assert task.calibration_images(0, 1).shape == (1, 3, 32, 32)
