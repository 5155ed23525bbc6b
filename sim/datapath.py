"""The attention datapath: its units and its ports, in the order of the data."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from . import units
from .declarations import Port, Unit


def units_in(package: ModuleType) -> dict[str, Unit]:
    """Return the unit that each module of a package declares, by name; in order of their numbers.

    A unit is named as its module is.
    """
    names = [module.name for module in iter_modules(package.__path__)]
    found = [getattr(import_module(f"{package.__name__}.{name}"), name.upper()) for name in names]
    return {unit.name: unit for unit in sorted(found, key=lambda unit: unit.number)}


#: The units of every datapath by name, in the order of their numbers; the row comes last.
ATTENTION: dict[str, Unit] = units_in(units)


def ports_in(declared: list[Unit]) -> dict[str, Port]:
    """Return the ports that some units declare by name, in the order of the data."""
    in_order = sorted(declared, key=lambda unit: unit.place)
    return {port.name: port for unit in in_order for port in unit.declares}


#: Every port and register by name.
PORTS: dict[str, Port] = ports_in(list(ATTENTION.values()))


@cache
def ports_of(family: str) -> dict[str, Port]:
    """Return the ports and registers of the datapath of a family of schemes, by name."""
    return ports_in([unit for unit in ATTENTION.values() if family in unit.families])


@cache
def units_of(family: str) -> dict[str, Unit]:
    """Return the units of the datapath of a family of schemes, by name."""
    ports = ports_of(family)
    absent = {name for name, unit in ATTENTION.items() if family not in unit.families}
    return {
        name: unit.within(ports, absent) for name, unit in ATTENTION.items() if name not in absent
    }


#: The version of attention in SPEC.md, and of manifests: of whichever of its units changed last.
SPECIFICATION_VERSION = max(unit.version for unit in ATTENTION.values())
