"""The names of the observable registers, in datapath order."""

__all__ = ["KEY_REGISTERS", "OUTPUT_REGISTERS", "REGISTERS", "ROW_REGISTERS"]

#: Registers in datapath order, as a trace, a check and a tap name them.
REGISTERS = (
    "score",
    "t",
    "row_max",
    "d",
    "e",
    "row_sum",
    "level",
    "nibble",
    "flag",
    "acc",
    "o",
)
#: One value a key.
KEY_REGISTERS = ("score", "t", "d", "e", "level", "nibble", "flag")
#: One value a row.
ROW_REGISTERS = ("row_max", "row_sum")
#: One value an output channel.
OUTPUT_REGISTERS = ("acc", "o")
