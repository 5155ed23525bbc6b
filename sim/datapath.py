"""The attention datapath: its units and its ports, in order."""

from importlib import import_module
from pkgutil import iter_modules

from . import units
from .declarations import Port, Unit


def _declared() -> list[Unit]:
    """Return the unit that each module of `units` declares, named as the module is."""
    names = [module.name for module in iter_modules(units.__path__)]
    return [getattr(import_module(f"{units.__name__}.{name}"), name.upper()) for name in names]


#: The nine units by name, and after them the row that they make.
ATTENTION: dict[str, Unit] = {
    unit.name: unit for unit in sorted(_declared(), key=lambda unit: unit.number)
}

#: Every port and register by name.
PORTS: dict[str, Port] = {port.name: port for unit in ATTENTION.values() for port in unit.declares}

#: The version of SPEC.md, and of manifests: of whichever unit changed last.
SPECIFICATION_VERSION = max(unit.version for unit in ATTENTION.values())
