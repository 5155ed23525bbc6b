"""The units that vector sets hold: one declaration a file, in datapath order."""

from dataclasses import replace
from importlib import import_module

from bitlog2.sim import AttentionConfig
from bitlog2.sim.datapath import ATTENTION

from .unit import GoldenUnit

#: The units of every datapath by name, in the order in which a set lists them.
UNITS: dict[str, GoldenUnit] = {
    name: getattr(import_module(f".{name}", __package__), name.upper()) for name in ATTENTION
}


def units_within(config: AttentionConfig) -> dict[str, GoldenUnit]:
    """Return the units of the scheme's datapath by name, their streams without absent ports."""
    return {name: replace(UNITS[name], declared=unit) for name, unit in config.units.items()}
