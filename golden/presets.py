"""Configurations by name."""

import json
from pathlib import Path

from bitlog2.sim import SCHEMES, AttentionConfig, config_from_mapping

__all__ = ["PRESETS", "load_config", "preset_of"]

#: The four schemes with every other field at its default; `default` is `AttentionConfig()`.
PRESETS: dict[str, AttentionConfig] = {
    **{name: AttentionConfig(scheme=name) for name in SCHEMES},
    "default": AttentionConfig(),
}


def preset_of(config: AttentionConfig) -> str | None:
    """Return the name of the preset that equals `config`, or None."""
    return next((name for name, preset in PRESETS.items() if preset == config), None)


def load_config(text: str) -> AttentionConfig:
    """Return the configuration of that preset, or in that JSON file.

    A file holds an object of fields, the rest at their defaults, or is a set's manifest.

    Raises:
        ValueError: neither a preset nor a file, or not JSON.
        TypeError, ValueError: as `config_from_mapping`.
    """
    if text in PRESETS:
        return PRESETS[text]
    path = Path(text)
    if not path.is_file():
        raise ValueError(
            f"configuration must be a JSON file or one of {', '.join(PRESETS)}, got {text!r}"
        )
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"configuration {text} must be JSON: {error}") from None
    if isinstance(values, dict) and "schema_version" in values:
        values = values.get("configuration")
    return config_from_mapping(values)
