"""The units that vector sets hold: one declaration a file, in datapath order."""

from importlib import import_module

from bitlog2.sim.datapath import ATTENTION

from .unit import GoldenUnit

#: Every unit by name, in the order in which a set lists them.
UNITS: dict[str, GoldenUnit] = {
    name: getattr(import_module(f".{name}", __package__), name.upper()) for name in ATTENTION
}
