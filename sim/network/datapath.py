"""The units of the network around attention and their ports, in the order of the data."""

from ..datapath import ports_in, units_in
from ..declarations import Port, Unit
from . import units

#: The units by name, in the order of their numbers.
NETWORK: dict[str, Unit] = units_in(units)

#: Every port and register by name.
NETWORK_PORTS: dict[str, Port] = ports_in(list(NETWORK.values()))

#: What traces show of these units.
NETWORK_REGISTERS = tuple(port.name for port in NETWORK_PORTS.values() if port.dtype)

#: The version of these units in SPEC.md: of whichever changed last. Attention has its own.
NETWORK_VERSION = max(unit.version for unit in NETWORK.values())
