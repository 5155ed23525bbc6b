"""The names of the observable registers, in datapath order: those that a trace keeps."""

from .declarations import Per
from .ports import PORTS

#: Registers in datapath order, as a trace, a check and a tap name them.
REGISTERS = tuple(port.name for port in PORTS.values() if port.dtype)


def _per(what: Per) -> tuple[str, ...]:
    return tuple(name for name in REGISTERS if PORTS[name].per == what)


#: One value per key.
KEY_REGISTERS = _per("key")
#: One value per row.
ROW_REGISTERS = _per("row")
#: One value per output channel.
OUTPUT_REGISTERS = _per("channel")
#: Registers that mean nothing for a masked key.
HIDDEN_REGISTERS = tuple(name for name in REGISTERS if PORTS[name].hidden)
