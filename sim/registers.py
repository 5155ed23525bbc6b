"""The names of the observable registers: those that a trace keeps.

The constants are of every datapath; one scheme's has those of `registers_of` alone.
"""

from functools import cache

from .datapath import PORTS, ports_of
from .declarations import Per

#: Registers in datapath order, as a trace, a check and a tap name them.
REGISTERS = tuple(port.name for port in PORTS.values() if port.dtype)


@cache
def registers_of(family: str) -> tuple[str, ...]:
    """Return the observable registers of a family of schemes, in the order of the data."""
    return tuple(name for name, port in ports_of(family).items() if port.dtype)


def _per(what: Per) -> tuple[str, ...]:
    return tuple(name for name in REGISTERS if PORTS[name].per == what)


#: One value per key.
KEY_REGISTERS = _per("key")
#: One value per row.
ROW_REGISTERS = _per("row")
#: One value per output channel.
OUTPUT_REGISTERS = _per("channel")
#: Registers in which a masked key shows nothing: without meaning there, or 0 by definition.
HIDDEN_REGISTERS = tuple(
    name for name in REGISTERS if ("mask", 1) in (PORTS[name].hidden, PORTS[name].zero)
)
