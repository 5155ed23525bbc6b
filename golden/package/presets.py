"""Configurations by name."""

import codecs
from pathlib import Path

from bitlog2.documents import one_line, plain
from bitlog2.names import did_you_mean
from bitlog2.sim import SCHEMES, AttentionConfig, config_from_mapping
from bitlog2.sim.own_scheme import is_own

#: A message repeats what a file holds: a value may be as long as the file.
_LONGEST_MESSAGE = 500

#: The four schemes with every other field at its default; `default` is `AttentionConfig()`.
PRESETS: dict[str, AttentionConfig] = {
    **{name: AttentionConfig(scheme=name) for name in SCHEMES},
    "default": AttentionConfig(),
}


def preset_of(config: AttentionConfig) -> str | None:
    """Return the name of the preset that equals `config`, or None."""
    return next((name for name, preset in PRESETS.items() if preset == config), None)


def load_config(text: str) -> AttentionConfig:
    """Return the configuration of that preset, of a code of one's own, or in that JSON file.

    A file holds an object of fields in UTF-8, each once, the rest at their defaults; or it is a
    set's manifest.

    Raises:
        ValueError: neither a preset nor a file, or not JSON.
        TypeError, ValueError: as `config_from_mapping`.
        OSError: the file cannot be read.
    """
    if text in PRESETS:
        return PRESETS[text]
    if is_own(text):
        return AttentionConfig(scheme=text)
    path = Path(text)
    if not path.is_file():
        raise ValueError(
            f"configuration must be a JSON file or one of {', '.join(PRESETS)}, got {text!r}"
            f"{did_you_mean(text, PRESETS)}"
        )
    values = plain(path.read_bytes().removeprefix(codecs.BOM_UTF8), f"configuration {path}")
    if isinstance(values, dict) and "schema_version" in values:
        values = values.get("configuration")
    try:
        return config_from_mapping(values)
    except RecursionError:
        raise ValueError(f"configuration {text} must hold plain fields, got nested ones") from None
    except (TypeError, ValueError) as error:
        raise type(error)(one_line(error, _LONGEST_MESSAGE)) from None
