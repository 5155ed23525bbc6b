"""Values of the command line: a parser takes one word, and names the legal range where it is wrong.

Nothing is imported here, nor in a command's module outside its function, that takes time: help and
errors are there at once.
"""

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from bitlog2.names import (
    BETWEEN_MODELS,
    LARGEST_SEED,
    MODELS,
    OTHER_NAMES,
    PRESETS,
    canonical_model,
    did_you_mean,
)
from bitlog2.sim.own_scheme import canonical_scheme, is_own

T = TypeVar("T")


def value(
    parse: Callable[[str], Any] | None = None,
    *,
    repeated: bool = False,
    between: str = "",
    **rest: Any,
) -> Parameter:
    """Return the declaration of an option; the docstring below a field is its line in the help.

    Args:
        parse: what makes the value of a word; None for what its type makes.
        repeated: whether the value is a tuple, of one word per occurrence.
        between: what parts the values of a word; empty for one value per word.
        rest: as `Parameter` takes it.
    """
    if parse is None:
        return Parameter(**rest)

    def convert(_: Any, tokens: Sequence[Any]) -> Any:
        texts = [token.value for token in tokens]
        parts = [each for text in texts for each in (text.split(between) if between else [text])]
        found = tuple(map(parse, parts))
        if not repeated and len(found) > 1:
            raise ValueError("must be given once")
        return found if repeated else found[0]

    convert.names = getattr(parse, "names", ())  # type: ignore[attr-defined]
    return Parameter(converter=convert, n_tokens=1, accepts_keys=False, **rest)


def several(parse: Callable[[str], Any], **rest: Any) -> Parameter:
    """Return the declaration of an option whose value is a tuple: of a list, or of occurrences.

    Args:
        parse: what makes a value of a word without a comma.
        rest: as `Parameter` takes it.
    """
    return value(parse, repeated=True, between=",", **rest)


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of an integer from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"must be an integer from {low} to {high}, got {text!r}")
        return number

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Return the parser of a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = low - 1
        if not low <= found <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, got {text!r}")
        return found

    return parse


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """Return the parser of one of some names, which has them as `names`."""

    def parse(text: str) -> str:
        if text not in names:
            hint = did_you_mean(text, names)
            raise ValueError(f"must be one of {', '.join(names)}, got {text!r}{hint}")
        return text

    parse.names = tuple(names)  # type: ignore[attr-defined]
    return parse


def scheme_name(names: Collection[str]) -> Callable[[str], str]:
    """Return the parser of one of some codes of the map, or of one of a user's own."""

    def parse(text: str) -> str:
        if not is_own(text):
            return one_of(names)(text)
        return canonical_scheme(text)

    parse.names = (*names, "LABEL=FAMILY:VALUES[:THRESHOLDS]")  # type: ignore[attr-defined]
    return parse


def model_name(text: str) -> str:
    """Parse one of `MODELS`, or a model of timm or a function; a folder becomes absolute."""
    if ":" not in text:
        return one_of(_MODEL_NAMES)(text)
    try:
        return canonical_model(text)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("model ")) from None


_MODEL_NAMES = (*MODELS, *OTHER_NAMES)
model_name.names = _MODEL_NAMES  # type: ignore[attr-defined]


def model_and_file(text: str) -> tuple[str, str]:
    """Parse MODEL=FILE."""
    found = re.fullmatch(r"(\w+|[\w.-]+:[^=]*?(?:,[A-Za-z_]\w*=[^=]*?)*)=([^=].*)", text)
    if found is None:
        raise ValueError(f"must be MODEL=FILE, got {text!r}")
    return model_name(found[1]), found[2]


def bits_pair(text: str) -> tuple[int, int]:
    """Parse W/A."""
    w_bits, separator, a_bits = text.partition("/")
    if not separator:
        raise ValueError(f"must be W/A pairs as 4/4,6/6, got {text!r}")
    return integer(2, 8)(w_bits), integer(2, 8)(a_bits)


def image_layer_head(text: str) -> tuple[int, int, int]:
    """Parse IMAGE,LAYER,HEAD."""
    if not re.fullmatch(r"\d{1,9},\d{1,9},\d{1,9}", text):
        raise ValueError(f"must be IMAGE,LAYER,HEAD as 0,3,1, got {text!r}")
    image, layer, head = map(int, text.split(","))
    return image, layer, head


def comma_list(parse: Callable[[str], T], *groups: str, between: str = ",") -> Callable[[str], Any]:
    """Return the parser of a list, each value once; `groups`: words for several.

    Args:
        parse: what makes a value of a word.
        groups: words for several.
        between: pattern of what stands between two words.
    """

    def parse_list(text: str) -> Any:
        if text in groups:
            return (text,)
        found = tuple(parse(part) for part in re.split(between, text))
        for one in found:
            if found.count(one) > 1:
                raise ValueError(f"must name each once, got {one!r} twice")
        return found

    parse_list.names = getattr(parse, "names", ())  # type: ignore[attr-defined]
    return parse_list


def pair(form: str) -> Callable[[str], tuple[str, str]]:
    """Return the parser of a name and a value, such as `NAME=VALUE`."""

    def parse(text: str) -> tuple[str, str]:
        name, _, value = text.partition("=")
        if not name or not value:
            raise ValueError(f"must be {form}, got {text!r}")
        return name, value

    return parse


def mapping(name: str, pairs: Sequence[tuple[str, T]]) -> dict[str, T]:
    """Return pairs as a dictionary.

    Raises:
        ValueError: one of them is given twice; `name` is that of the option.
    """
    found: dict[str, T] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{name} must give {key} once, got {found[key]} and {value}")
        found[key] = value
    return found


def sha256(text: str) -> str:
    """Parse a SHA-256."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(f"must be 64 hexadecimal digits, got {text!r}")
    return text


def output_file(text: str) -> Path:
    """Parse a file to be written: its folder must be there before the work begins."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"must be a file in a folder that exists, got {text!r}")
    return path


#: Seeds of a calibration, and of what else is random.
SEED, LONG_SEED = integer(0, LARGEST_SEED), integer(0, 2**63 - 1)
#: Options that several commands have.
Config = Annotated[
    str, value(help=f"JSON file of fields, a manifest, or one of {', '.join(PRESETS)}")
]
Json = Annotated[Path | None, value(output_file, help="write everything there, as JSON")]
Junit = Annotated[Path | None, value(output_file, help="write the report there, as JUnit XML")]
Limit = Annotated[
    int | None,
    value(integer(1, 10**9), help="first N images only (an ImageNet folder is sorted by class)"),
]
CheckThreads = Annotated[
    int | None,
    value(
        integer(1, 256),
        help="threads per process that compare registers while the model goes on; nothing that is "
        "reported depends on them (default: the processors that torch leaves free, 1 to 4)",
    ),
]
Models = value(comma_list(model_name, "all", between=BETWEEN_MODELS))
Model = Annotated[
    str | None,
    value(
        model_name,
        help="model, or one of timm's, behind it any ,key=value of timm.create_model (default: "
        "digits)",
    ),
]
HeadDim = Annotated[
    int | None,
    value(integer(1, 1024), help="lanes of v (default: 64, or the largest that fits)"),
]
Lanes = Annotated[
    int | None,
    value(integer(1, 64), help="keys per beat, the parameter LANES (default: the module's own)"),
]
