"""The attention datapath: its units and its ports, in the order of the data."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from . import units
from .declarations import Port, Unit


def _declared() -> list[Unit]:
    """Return the unit that each module of `units` declares, named as the module is."""
    names = [module.name for module in iter_modules(units.__path__)]
    return [getattr(import_module(f"{units.__name__}.{name}"), name.upper()) for name in names]


#: The units of every datapath by name, in the order of their numbers; the row comes last.
ATTENTION: dict[str, Unit] = {
    unit.name: unit for unit in sorted(_declared(), key=lambda unit: unit.number)
}


def _ports(declared: list[Unit]) -> dict[str, Port]:
    in_order = sorted(declared, key=lambda unit: unit.place)
    return {port.name: port for unit in in_order for port in unit.declares}


#: Every port and register by name.
PORTS: dict[str, Port] = _ports(list(ATTENTION.values()))


@cache
def ports_of(family: str) -> dict[str, Port]:
    """Return the ports and registers of the datapath of a family of schemes, by name."""
    return _ports([unit for unit in ATTENTION.values() if family in unit.families])


@cache
def units_of(family: str) -> dict[str, Unit]:
    """Return the units of the datapath of a family of schemes, by name."""
    ports = ports_of(family)
    absent = {name for name, unit in ATTENTION.items() if family not in unit.families}
    return {
        name: unit.within(ports, absent) for name, unit in ATTENTION.items() if name not in absent
    }


#: The version of SPEC.md, and of manifests: of whichever unit changed last.
SPECIFICATION_VERSION = max(unit.version for unit in ATTENTION.values())
