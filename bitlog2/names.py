"""Models, codes of the attention map and arithmetics by name.

Nothing here needs an extra: a command may offer these names before anything heavy is imported.
"""

import ast
import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bitlog2.sim.own_scheme import canonical_scheme, is_coded, is_own, scheme_named
from bitlog2.sim.scheme import ROW_MAX, SCHEMES, Scheme

#: The published baselines: RepQ-ViT's base-sqrt(2) code, float arithmetic only.
FLOAT_ONLY = ("Sqrt2_16", "Sqrt2_17")
#: Beside the schemes, to show what a map's code costs: no code, and a uniform one.
CONTROLS = ("none", "uniform_4")
#: The codes that the integer datapath makes.
CODED = tuple(SCHEMES)
#: What `all` stands for.
USUAL_SCHEMES = (*FLOAT_ONLY, *CODED, *CONTROLS)
#: Levels of the sister of RowMax_16 that fits three bits.
ROW_MAX_8 = Scheme("RowMax_8", 32, octave_levels=5, levels=8, family=ROW_MAX)
#: Codes of a float map that no datapath makes, to hold RowMax_16 against; name -> levels. Their
#: rows, too, are divided by the sum of their values: its sister of three bits, its online form
#: (one pass, relative to the largest key until now), and the published codes.
NORMALIZED = {
    ROW_MAX_8.name: ROW_MAX_8,
    "RowMax_16_online": SCHEMES["RowMax_16"],
    **{f"{name}_normalized": each for name, each in SCHEMES.items() if not each.row_max},
}
MODEL_SCHEMES = (*USUAL_SCHEMES, *NORMALIZED)
#: Codes that each arithmetic has a form of.
SCHEMES_OF = {
    "float": MODEL_SCHEMES,
    "attention": (*CODED, *CONTROLS, *NORMALIZED),
    "integer": CODED,
}
ARITHMETICS = tuple(SCHEMES_OF)
#: How scales, weight codes and biases are chosen; the first as published.
CALIBRATIONS = ("repq", "compensated", "reconstructed")
#: Images that calibrate a model, as published.
CALIBRATION_IMAGES = 32
#: Bits of the control `uniform_4`, whatever the bits of the activations.
UNIFORM_BITS = 4
#: Most classes of a classifier: no file can ask for a head that fills the memory.
MOST_CLASSES = 100_000
#: Of a calibration: what every generator takes.
LARGEST_SEED = 2**31 - 1


def model_scheme(name: str) -> str:
    """Return a code of the attention map by the name that files keep, one of one's own too.

    Raises:
        ValueError: it is none of `MODEL_SCHEMES`, nor declares or is registered as one's own.
    """
    if name not in MODEL_SCHEMES and not (isinstance(name, str) and is_own(name)):
        raise ValueError(
            f"scheme must be one of {', '.join(MODEL_SCHEMES)}, or a code of one's own, got "
            f"{str(name)[:100]!r}"
        )
    return canonical_scheme(name)


def has_form(scheme: str, arithmetic: str, calibration: str = CALIBRATIONS[0]) -> bool:
    """Whether an arithmetic has a form of a code of the attention map, of that calibration.

    `reconstructed` trains through integers: not in float arithmetic, nor through a normalized map.
    """
    if calibration == "reconstructed" and (arithmetic == "float" or scheme in NORMALIZED):
        return False
    return scheme in SCHEMES_OF[arithmetic] or is_own(scheme)


def map_bits(scheme: str, a_bits: int) -> int | None:
    """Return the bits that the code of one attention value takes; None for a float map.

    A zero flag is counted. The BitLog2 and RowMax codes and `uniform_4` stay as they are at any
    `a_bits`; the base-sqrt(2) codes have 2**a_bits levels, and one more in the 17-level form.
    """
    if is_coded(scheme):
        return scheme_named(scheme).storage_bits
    if scheme in NORMALIZED:
        return NORMALIZED[scheme].storage_bits
    if scheme in FLOAT_ONLY:
        return a_bits + (scheme == "Sqrt2_17")
    return UNIFORM_BITS if scheme == "uniform_4" else None


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """Return the end of a refusal, the nearest of some names; nothing where none is near."""
    same = {name.lower().replace("-", "_"): name for name in names}
    near = difflib.get_close_matches(text.lower().replace("-", "_"), same, n=1)
    return f"; did you mean {same[near[0]]!r}?" if near else ""


_Triple = tuple[float, float, float]
_HALF: _Triple = (0.5, 0.5, 0.5)
_IMAGENET_MEAN: _Triple = (0.485, 0.456, 0.406)
_IMAGENET_STD: _Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ZooModel:
    """A model of timm, with the weights, crop and normalization of its publication, or as it is.

    Or a model that a function in Python makes.

    Attributes:
        name: as `--model` takes it.
        timm_name: what `timm.create_model` takes; empty where a function makes the model.
        keys: keyword arguments of `timm.create_model`.
        published_top1: top-1 of the unquantized model on ImageNet's validation set, percent; None
            where nothing was published here.
        crop: share of the resized image that the centre crop keeps.
        mean, std: constants of the normalization, by channel. None for timm's own, so the crop;
            those of the published models have moved since.
    """

    name: str
    timm_name: str
    keys: tuple[tuple[str, Any], ...] = ()
    published_top1: float | None = None
    crop: float | None = None
    mean: _Triple | None = None
    std: _Triple | None = None

    @property
    def is_function(self) -> bool:
        """Whether its name is that of a function, which makes it."""
        return not self.timm_name

    @property
    def is_random(self) -> bool:
        """Whether its weights are random, by the key `pretrained=False`."""
        return dict(self.keys).get("pretrained") is False


def _vit(name: str, timm_name: str, top1: float) -> ZooModel:
    return ZooModel(name, f"{timm_name}.augreg_in21k_ft_in1k", (), top1, 0.9, _HALF, _HALF)


def _deit(name: str, timm_name: str, top1: float) -> ZooModel:
    timm_name = f"{timm_name}.fb_in1k"
    return ZooModel(name, timm_name, (), top1, 0.875, _IMAGENET_MEAN, _IMAGENET_STD)


def _swin(name: str, timm_name: str, top1: float) -> ZooModel:
    timm_name = f"{timm_name}.ms_in1k"
    return ZooModel(name, timm_name, (), top1, 0.9, _IMAGENET_MEAN, _IMAGENET_STD)


#: The published models by name.
ZOO: dict[str, ZooModel] = {
    model.name: model
    for model in (
        _vit("vit_small", "vit_small_patch16_224", 81.39),
        _vit("vit_base", "vit_base_patch16_224", 84.54),
        _deit("deit_tiny", "deit_tiny_patch16_224", 72.21),
        _deit("deit_small", "deit_small_patch16_224", 79.85),
        _deit("deit_base", "deit_base_patch16_224", 81.80),
        _swin("swin_tiny", "swin_tiny_patch4_window7_224", 81.35),
        _swin("swin_small", "swin_small_patch4_window7_224", 83.23),
    )
}
#: The networks whose weights and images are part of the package.
EMBEDDED = ("digits", "fashion")
#: The names that `--model` takes, beside those of timm and of functions.
MODELS = (*EMBEDDED, *ZOO)
#: How timm's models are named, with `,KEY=VALUE` for each argument of `timm.create_model`.
_TIMM_NAMES = ("timm:NAME", "hf-hub:OWNER/NAME", "local-dir:FOLDER")
#: The names that `--model` takes, beside `MODELS`: timm's, and functions that make a model.
OTHER_NAMES = (*_TIMM_NAMES, "PACKAGE.MODULE:FUNCTION")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
#: A key of a name, behind its comma.
_KEY = r"[A-Za-z_]\w*="
#: What stands between two names of a list: a comma in front of no key, outside of brackets.
BETWEEN_MODELS = rf",(?!{_KEY})(?![^()\[\]]*[)\]])"
#: Keys that would bring other weights or another kind of model.
_NO_KEYS = ("cache_dir", "checkpoint_path", "features_only", "pretrained_cfg")


def zoo_model(name: str) -> ZooModel:
    """Return the published model of a name, or the one of timm or of a function that it describes.

    The folder of a `local-dir:` becomes an absolute path, in `name` too. Values of keys are Python
    literals, or else text, as in timm's own scripts.

    Raises:
        ValueError: it is none of them; whether the model is there is not looked at.
    """
    if name in ZOO:
        return ZOO[name]
    first, *pairs = re.split(rf",(?={_KEY})", name)
    source, _, place = first.partition(":")
    if not place or source not in (each.partition(":")[0] for each in _TIMM_NAMES):
        if _FUNCTION.fullmatch(name) and len(name) <= _LONGEST_NAME:
            return ZooModel(name, "")
        legal = ", ".join((*ZOO, *OTHER_NAMES))
        raise ValueError(f"model must be one of {legal}, got {name!r}")
    if not name.isprintable() or "=" in place or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"model must be printable, at most {_LONGEST_NAME} characters, with = in keys alone, "
            f"got {name[:_LONGEST_NAME]!r}"
        )
    keys = tuple((key, _literal(value)) for key, value in (each.split("=", 1) for each in pairs))
    for number, (key, value) in enumerate(keys):
        if key.startswith(_NO_KEYS) or key in dict(keys[:number]):
            legal = f"each key once, without {', '.join(_NO_KEYS)}"
            raise ValueError(f"model must have {legal}, got {key} in {name!r}")
        if key == "pretrained" and not isinstance(value, bool):
            raise ValueError(f"model must have pretrained=True or False, got {value!r}")
    if source == "local-dir":
        place = os.path.abspath(place)
    named = ",".join((f"{source}:{place}", *pairs))
    return ZooModel(named, place if source == "timm" else f"{source}:{place}", keys)


_LONGEST_NAME = 1000


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def is_random(name: str) -> bool:
    """Whether the weights of a model are random, so that no figure of it is an accuracy."""
    return name not in MODELS and zoo_model(name).is_random


def is_function(name: str) -> bool:
    """Whether a function makes a model, so that to load the model runs code that it names."""
    return name not in MODELS and zoo_model(name).is_function


def canonical_model(name: str) -> str:
    """Return the name of one of `MODELS`, or of a model of timm or a function, with absolute paths.

    Raises:
        ValueError: it is none of them.
    """
    if name in MODELS:
        return name
    if not isinstance(name, str) or ":" not in name:
        legal = ", ".join((*MODELS, *OTHER_NAMES))
        raise ValueError(f"model must be one of {legal}, got {name!r}")
    return zoo_model(name).name


#: The choices of the design whose cost is measured, and what it is counted in.
COSTED = (
    *("log2", "exp2", "table_bits", "single_half", "levels", "row_max", "multiplier", "float32"),
    "rows",
)
TECHNOLOGIES = ("generic", "ice40")
#: The families of FPGAs that modules are placed on.
PLACED = ("ice40", "ecp5")
#: Configurations of the hardware by name: each scheme with all else as it is by default.
PRESETS = (*SCHEMES, "default")
#: Where the cases of a vector set come from, and the most random ones of a unit.
SOURCES = ("corners", "random")
MOST_CASES = 100_000_000
#: The simulators, and the runs of a device: of stalls, with resets.
SIMULATORS = ("verilator", "icarus")
PROFILES = ("none", "source", "sink", "both", "reset")
#: Cycles without a transfer after which a device counts as stuck.
IDLE_CYCLES = 10_000
#: Chance of a stall in a cycle.
STALL_PERCENT = 30
#: Seconds after which a simulator is ended.
LIMIT_SECONDS = 900
#: Mutants of a module.
MOST_MUTANTS = 200
#: Which attention registers go into a cell's digest.
DIGESTS = ("none", "codes", "all")
#: Forms of a figure's file. PGF is made with LaTeX, which says how wide texts are.
FIGURE_FORMATS = ("svg", "pdf", "pgf")
