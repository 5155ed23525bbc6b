"""The modules of the reference RTL that have vectors or assumptions, from the datapath's units."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bitlog2.sim import AttentionConfig
from bitlog2.sim.datapath import ATTENTION, units_of
from bitlog2.sim.declarations import Unit
from bitlog2.sim.expressions import Expression

from ..simulation.contract import CONTRACTS, Contract, contracts_of


@dataclass(frozen=True)
class Module:
    """A module of the reference RTL.

    Attributes:
        name: its name.
        unit: the unit that it belongs to.
        contract: port contract of the testbench that plays its device.
        device: the module in that testbench: this one, or the one that holds it.
        assumes: what holds of its inputs; None where it is held to the ports of its device.
    """

    name: str
    unit: Unit
    contract: Contract
    device: str
    assumes: tuple[Expression, ...] | None

    def place(self, port: str) -> str:
        """Return where a port of the datapath is in SystemVerilog: a port, or bits of a stream."""
        if self.name in (self.contract.module, *self.contract.stand_ins):
            for channel in () if self.contract.plain else self.contract.inputs:
                if port in channel.fields and not channel.lanes:
                    lowest = f"{self.unit.name}_{channel.stream}_{port}_LSB".upper()
                    width = f"bitlog2_pkg::{port.upper()}_WIDTH"
                    return f"{channel.prefix}_tdata[bitlog2_pkg::{lowest} +: {width}]"
        return port


def _modules(units: Mapping[str, Unit], contracts: Mapping[str, Contract]) -> dict[str, Module]:
    """Return the modules of each contract, then their helpers and stand-ins, by name."""
    found: list[Module] = []
    for contract in contracts.values():
        unit = units[contract.unit]
        inner = [each for each in unit.helpers if each.name not in contracts]
        within = {each.name for each in unit.helpers}
        played = contracts[unit.name] if contract.module in within else contract
        given = {*contract.params, *(f for each in contract.inputs for f in each.fields)}
        assumes = tuple(each for each in unit.assumes if set(each.ports) <= given)
        found.append(Module(contract.module, unit, played, played.module, assumes))
        if contract.module == unit.name:
            found += [Module(each.name, unit, contract, unit.name, each.assumes) for each in inner]
        found += [Module(name, unit, contract, name, assumes) for name in contract.stand_ins]
    by_name: dict[str, Module] = {}
    for module in found:
        by_name.setdefault(module.name, module)
    return by_name


def modules_within(config: AttentionConfig) -> dict[str, Module]:
    """Return the modules of the scheme's datapath by name, in its order."""
    return _modules_of(config.code.family)


@cache
def _modules_of(family: str) -> dict[str, Module]:
    return _modules(units_of(family), contracts_of(family))


#: Every module by name, in the order of the datapath.
MODULES: dict[str, Module] = _modules(ATTENTION, CONTRACTS)


def mutated(modules: Mapping[str, Module]) -> dict[str, tuple[Module, bool]]:
    """Return what is mutated, by name: cells of each module, and entries of its table if any."""
    return {
        name: (module, entries)
        for module in modules.values()
        for name, entries in ((module.name, False), (f"{module.name} table", True))
        if not entries or (module.unit.table and module.name == module.unit.name)
    }


#: What is mutated of any datapath.
MUTATED: dict[str, tuple[Module, bool]] = mutated(MODULES)
