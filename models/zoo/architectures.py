"""The pretrained models: architecture, weights and preprocessing."""

import csv
import difflib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bitlog2.documents import brief
from bitlog2.names import ZooModel, zoo_model

from .weights import WEIGHT_FILES, first_line, fit_weights, head_classes, hub_file, read_weights

#: Published results of the six schemes at 4-bit weights and activations, one calibration seed:
#: a rerun of the baseline moves by up to 0.56 points.
_PUBLISHED = Path(__file__).parent / "published_accuracy.csv"
#: Of random weights.
_SEED = 0
#: What describes a model in its folder, beside its weights.
_CONFIG = "config.json"


def published(scheme: str, model: str) -> tuple[float, float] | None:
    """Return the published (top-1, top-5) in percent at W4A4, None where none was published."""
    return _published_table().get((scheme, model))


@lru_cache(maxsize=1)
def _published_table() -> dict[tuple[str, str], tuple[float, float]]:
    with _PUBLISHED.open(newline="", encoding="utf-8") as file:
        return {
            (row["scheme"], row["model"]): (float(row["top1"]), float(row["top5"]))
            for row in csv.DictReader(file)
        }


# -- Preprocessing ---------------------------------------------------------------------------------


def data_config(model: ZooModel) -> dict[str, Any]:
    """Return timm's data configuration of a model, with what its publication has of its own.

    `input_size`, `interpolation`, `mean`, `std`, `crop_pct` and `crop_mode`, as timm's
    `create_transform` takes them. The size of an image is that of the key `img_size`, if given.

    Raises:
        ValueError: timm knows no such model, or it takes no images of three colours.
        OSError: the folder or the hub does not have it.
    """
    import timm.data

    tools: Any = timm.data  # untyped
    _, source, arguments = _source(model)
    own = {"crop_pct": model.crop, "mean": model.mean, "std": model.std}
    if (size := arguments.get("img_size")) is not None:
        sides = (size, size) if isinstance(size, int) else size
        if not isinstance(sides, tuple | list) or [type(side) for side in sides] != [int, int]:
            raise ValueError(f"img_size must be a side or two, integers, got {size!r}")
        own["input_size"] = (3, *sides)
    with _made_by_timm(model):
        found: dict[str, Any] = tools.resolve_data_config(own, pretrained_cfg=source)
    colours = arguments.get("in_chans", found["input_size"][0])
    if colours != 3:
        raise ValueError(f"model {model.name} must take images of 3 colours, got {colours}")
    return found


def resized_side(model: ZooModel) -> int | None:
    """Return the shorter side of an image in front of the centre crop, floor(size / crop).

    None where the image is resized in another way than bicubic, in proportion, to a square.
    """
    data = data_config(model)
    _, height, width = data["input_size"]
    usual = (data["interpolation"], data["crop_mode"]) == ("bicubic", "center")
    return math.floor(height / data["crop_pct"]) if usual and height == width else None


def transform(model: ZooModel) -> Callable[[Image.Image], Tensor]:
    """Return the preprocessing, timm's: an RGB image to a float32 tensor (3, height, width).

    As published: bicubic resize of the shorter side to floor(224/crop), centre crop, scale to
    [0, 1], normalize.
    """
    import timm.data

    tools: Any = timm.data  # untyped
    chain: Callable[[Image.Image], Tensor] = tools.create_transform(**data_config(model))
    return chain


# -- Architecture and weights ----------------------------------------------------------------------


def load_zoo_model(name: str, checkpoint: Path | None = None, *, ema: bool = False) -> nn.Module:
    """Return a pretrained model: eval mode, float32, on the CPU, no gradients.

    The random state of the process is left as it was.

    Args:
        name: as `zoo_model` takes it.
        checkpoint: weights as `read_weights` takes them; None takes those of a model's folder or
            function, or from the cache of the Hugging Face hub, or downloads them into it. A
            fine-tuned model may have any number of classes, which its head gives. A ViT and a DeiT
            of one size have tensors of the same names and shapes: only the accuracy distinguishes
            their files.
        ema: take the averaged weights of the checkpoint.

    Raises:
        ValueError: no such model; a checkpoint that is not one of this model, names the file.
        OSError: no such file; the hub can't be reached, with what to give instead.
    """
    entry = zoo_model(name)
    if entry.is_function and checkpoint is None:
        return build_zoo_model(name)
    if entry.is_random:
        if checkpoint is not None:
            raise ValueError(
                f"checkpoint must be left out for the random weights of {name}, got {checkpoint}"
            )
        return build_zoo_model(name)
    if checkpoint is None and entry.published_top1 is None:
        return _with_timms_weights(entry)
    path = hub_file(name, f"timm/{entry.timm_name}") if checkpoint is None else checkpoint
    weights = read_weights(path, ema=ema)
    classes = dict(entry.keys).get("num_classes", head_classes(weights))
    model = build_zoo_model(name, None if entry.is_function else classes)
    fit_weights(model, weights, name, path)
    return model


def build_zoo_model(name: str, classes: int | None = None) -> nn.Module:
    """Return the architecture with random weights: eval mode, float32, on the CPU, no gradients.

    A function's model has the weights that it gives. The weights are the same every time. The
    random state of the process is left as it was.

    Args:
        name: as `zoo_model` takes it.
        classes: of the head; None for as many as the model has.

    Raises:
        ValueError: no such model, or it has no head.
        OSError: the folder or the hub does not have it.
    """
    return _created(zoo_model(name), {} if classes is None else {"num_classes": classes})


def _with_timms_weights(model: ZooModel) -> nn.Module:
    """Return a model with the weights that timm finds for it, adapted to its keys as timm does."""
    folder, source, _ = _source(model)
    classes, asked = source.get("num_classes"), dict(model.keys).get("num_classes")
    if classes is not None and asked not in (None, classes):
        raise ValueError(
            f"num_classes must be {classes} for {model.name}, those of its pretrained weights, got "
            f"{asked}: give --checkpoint FILE, the weights of a model of {asked}"
        )
    file = _weights_of(model, folder, source)
    overlay = {"file": str(file), "source": None, "custom_load": file.suffix == ".npz"}
    made = _created(model, {"pretrained": True, "pretrained_cfg_overlay": overlay})
    fit_weights(made, made.state_dict(), model.name, file)  # refuses those that are not finite
    return made


def _weights_of(model: ZooModel, folder: Path | None, source: dict[str, Any]) -> Path:
    """Return the file of a model's own weights."""
    kind, _, place = model.timm_name.partition(":")
    if kind == "local-dir" and folder is not None:
        found = (folder / each for each in WEIGHT_FILES)
        if file := next((each for each in found if each.is_file()), None):
            return file
        raise OSError(
            f"weights of {model.name} must be {' or '.join(WEIGHT_FILES)} in the folder, or given "
            "by --checkpoint FILE"
        )
    if repository := place if kind == "hf-hub" else source.get("hf_hub_id"):
        other = source.get("hf_hub_filename")
        files = WEIGHT_FILES if other is None else (f"{Path(other).stem}.safetensors", other)
        return hub_file(model.name, repository, files)
    raise OSError(
        f"weights of {model.name} are not known to timm: give --checkpoint FILE, or the key "
        "pretrained=False for random ones"
    )


def _created(model: ZooModel, arguments: dict[str, Any]) -> nn.Module:
    import timm

    if model.is_function:
        own, classes = _given(model)[0], arguments.get("num_classes")
        if classes not in (None, own.num_classes):
            raise ValueError(
                f"model {model.name} must have {classes} classes, got {own.num_classes}"
            )
        return own.eval().requires_grad_(False)
    folder = _source(model)[0]
    name = model.timm_name if folder is None else f"local-dir:{folder}"
    given = {**dict(model.keys), "pretrained": False, **arguments}
    with _made_by_timm(model), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        made: nn.Module = timm.create_model(name, **given)
    if not getattr(made, "num_classes", None):
        raise ValueError(
            f"model {model.name} must have a head: give the key num_classes, with --checkpoint FILE"
        )
    return made.eval().requires_grad_(False)


def _source(model: ZooModel) -> tuple[Path | None, dict[str, Any], dict[str, Any]]:
    """Return where a model is described, timm's configuration of its weights, and its arguments.

    The place is a folder with `config.json`, None where timm itself knows the model.
    """
    import timm
    from timm.models._hub import load_model_config_from_path

    if model.is_function:
        return None, _data_config_of(model), {}
    kind, _, place = model.timm_name.partition(":")
    if not place:
        with _made_by_timm(model):
            if not timm.is_model(kind.partition(".")[0]):
                near = difflib.get_close_matches(kind, timm.list_models(), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"timm has none of that name{hint}")
            found: Any = timm.get_pretrained_cfg(kind)
        return None, {} if found is None else found.to_dict(), dict(model.keys)
    folder = Path(place)
    if kind == "hf-hub":
        folder = hub_file(model.name, place, (_CONFIG,)).parent
    if not (folder / _CONFIG).is_file():
        raise OSError(f"model {model.name} must be a folder with timm's {_CONFIG}")
    with _made_by_timm(model):
        cfg, _, arguments = load_model_config_from_path(folder)
    return folder, cfg, {**(arguments or {}), **dict(model.keys)}


@lru_cache(maxsize=8)
def _data_config_of(model: ZooModel) -> dict[str, Any]:
    """Return the data configuration that a function gives."""
    return _given(model)[1]


#: What a data configuration must have.
_DATA = ("input_size", "mean", "std")


def _given(model: ZooModel) -> tuple[nn.Module, dict[str, Any]]:
    """Call the function that makes a model; return that, and its data configuration.

    Its module is looked for in the current folder, too.
    """
    module, _, function = model.name.partition(":")
    try:
        with _found_here(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_SEED)
            made = getattr(import_module(module), function)()
    except Exception as error:  # of anybody's code
        raise ValueError(
            f"model {model.name} must be a function that makes one: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    own, data = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(own, nn.Module) or not isinstance(data, Mapping | None):
        raise ValueError(
            f"model {model.name} must be a torch.nn.Module, or that and a data configuration, got "
            f"{brief(made)}"
        )
    classes = getattr(own, "num_classes", None)
    if type(classes) is not int or classes < 1:
        raise ValueError(f"model {model.name} must say its num_classes, got {brief(classes)}")
    own_data = getattr(own, "pretrained_cfg", None) or {}
    own_data = own_data if isinstance(own_data, Mapping) else own_data.to_dict()
    found = dict(own_data if data is None else data)
    if lacking := [name for name in _DATA if found.get(name) is None]:
        raise ValueError(
            f"model {model.name} must have a data configuration, as timm's pretrained_cfg or beside"
            f" it: {', '.join(_DATA)}, without {', '.join(lacking)}"
        )
    return own, found


@contextmanager
def _found_here() -> Iterator[None]:
    """Look for modules in the current folder first, as `python -m` does."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def _made_by_timm(model: ZooModel) -> Iterator[None]:
    """Say in one line why timm does not make a model."""
    try:
        yield
    except Exception as error:  # of any of timm's hundreds of models
        raise ValueError(
            f"model {model.name} must be one that timm makes: "
            f"{'' if isinstance(error, ValueError) else f'{type(error).__name__}: '}"
            f"{first_line(error)}"
        ) from error
