"""`bitlog2_pkg.sv`: widths, constants and the exp2 table for SystemVerilog."""

from collections.abc import Sequence

from bitlog2 import SPEC_VERSION

from ..stimulus.unit import GoldenUnit, Target
from ..words.fields import first_bits, hex_digits, word_width


def render_package(target: Target, units: Sequence[GoldenUnit]) -> bytes:
    """Return the package of a target, from the same configuration as the vectors.

    The table is one packed vector, entry f in bits [f*E_WIDTH +: E_WIDTH]: Icarus and Yosys refuse
    unpacked localparams.
    """
    lines = [
        f"// {target.config.scheme}, specification version {SPEC_VERSION}: made with the vectors.",
        "package bitlog2_pkg;",
        *_integers("Scheme: A, and what the code register holds.", _scheme(target)),
        *_integers("What the hardware is built with.", _choices(target)),
        *_integers("Register widths.", _widths(target)),
        *_integers("Ports that are no registers.", _ports(target)),
        *_integers("Words of the vector files.", _words(target, units)),
        *_integers("Lowest bit of each field in its word.", _lowest_bits(target, units)),
        *_table(target),
        "endpackage",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _integers(title: str, values: dict[str, int]) -> list[str]:
    constants = [f"  localparam integer {name} = {value};" for name, value in values.items()]
    return ["", f"  // {title}", *constants]


def _scheme(target: Target) -> dict[str, int]:
    code = target.config.code
    return {
        "SPEC_VERSION": SPEC_VERSION,
        "INT_MAX": code.int_max,
        "ODD_FACTOR": code.odd_factor,
        "BASE_SHIFT": code.base_shift,
        "HALF": int(code.half),
        "LEVELS": code.levels,
        "TOP_LEVEL": code.top_level,
        "ZERO_FLAG": int(code.zero_flag),
        "STORAGE_BITS": code.storage_bits,
    }


def _choices(target: Target) -> dict[str, int]:
    config = target.config
    chosen = {each.name.upper(): getattr(config, each.name) for each in config.choices()}
    derived = {"TABLE_ENTRIES": len(config.table), "DISTANCE_MAX": config.d_max}
    return {"HEAD_DIM": target.head_dim, **chosen, **derived}


def _widths(target: Target) -> dict[str, int]:
    registers = target.config.registers
    return {f"{name.upper()}_WIDTH": register.bits for name, register in registers.items()}


def _words(target: Target, units: Sequence[GoldenUnit]) -> dict[str, int]:
    return {
        f"{unit.name}_{stream.name}_WIDTH".upper(): word_width(target.fields(stream))
        for unit in units
        for stream in unit.streams
    }


def _ports(target: Target) -> dict[str, int]:
    """Return the widths of what the section of registers does not have."""
    names = [name for name, port in target.config.ports.items() if not port.register]
    return {f"{name.upper()}_WIDTH": target.config.width(name) for name in names}


def _lowest_bits(target: Target, units: Sequence[GoldenUnit]) -> dict[str, int]:
    return {
        f"{unit.name}_{stream.name}_{field.name}_LSB".upper(): bit
        for unit in units
        for stream in unit.streams
        for field, bit in reversed(list(first_bits(target.fields(stream))))
    }


def _table(target: Target) -> list[str]:
    config = target.config
    width = config.width("e")
    bits = width * len(config.table)
    vector = sum(entry << (f * width) for f, entry in enumerate(config.table))
    return [
        "",
        "  // T[f] = RND(2**P * 2**(-f / 2**F)), entry f in bits [f*E_WIDTH +: E_WIDTH].",
        f"  localparam [{bits - 1}:0] EXP2_TABLE =",
        f"    {bits}'h{vector:0{hex_digits(bits)}x};",
    ]
