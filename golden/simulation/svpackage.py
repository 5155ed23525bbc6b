"""`bitlog2_pkg.sv`: widths, constants, the exp2 table or the thresholds for SystemVerilog."""

from collections.abc import Sequence

from bitlog2 import SPEC_VERSION
from bitlog2.sim import SCHEMES
from bitlog2.sim.datapath import PORTS
from bitlog2.sim.table import distance_thresholds

from ..stimulus.unit import GoldenUnit, Target
from ..words.fields import first_bits, hex_digits, word_width

#: Of a port that the scheme's datapath has not: any width with which each module elaborates.
_ABSENT_WIDTH = 32
#: Of a code that is built to be compared, and is none of the schemes.
_NO_SCHEME = -1


def render_package(target: Target, units: Sequence[GoldenUnit]) -> bytes:
    """Return the package of a target, from the same configuration as the vectors.

    A table is one packed vector, entry 0 lowest: Icarus and Yosys refuse unpacked localparams. What
    the scheme's datapath has not, widths of its ports and a table, is there with a width and zeros,
    so that every file of the reference RTL elaborates.

    Args:
        target: configuration and head dimension.
        units: those of the set, as the scheme's datapath has them.
    """
    lines = [
        f"// {target.config.scheme}, specification version {SPEC_VERSION}: made with the vectors.",
        "package bitlog2_pkg;",
        *_integers("Scheme: A, and what the code register holds.", _scheme(target)),
        *_integers("What the hardware is built with.", _choices(target)),
        *_integers("Register widths.", _widths(target)),
        *_integers("Ports that are no registers.", _ports(target)),
        *_integers("Ports that this scheme's datapath has not.", _absent(target)),
        *_integers("Words of the vector files.", _words(target, units)),
        *_integers("Lowest bit of each field in its word.", _lowest_bits(target, units)),
        *_table(target),
        *_thresholds(target),
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
        "SCHEME": list(SCHEMES).index(code.name) if code.name in SCHEMES else _NO_SCHEME,
        "INT_MAX": code.int_max,
        "ODD_FACTOR": code.odd_factor,
        "BASE_SHIFT": code.base_shift,
        "HALF": int(code.half),
        "LEVELS": code.levels,
        "TOP_LEVEL": code.top_level,
        "ZERO_FLAG": int(code.zero_flag),
        "STORAGE_BITS": code.storage_bits,
        "ROW_MAX": int(code.row_max),
        "OCTAVE_LEVELS": code.octave_levels,
    }


def _choices(target: Target) -> dict[str, int]:
    config = target.config
    chosen = {each.name.upper(): getattr(config, each.name) for each in config.choices()}
    table = {} if config.code.row_max else {"TABLE_ENTRIES": len(config.table)}
    derived = {
        "DISTANCE_MAX": config.d_max,
        "LARGEST_WEIGHT": config.largest_weight,
        "MAX_LAYER_N2": config.max_layer_n2,
    }
    return {"HEAD_DIM": target.head_dim, **chosen, **table, **derived}


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


def _absent(target: Target) -> dict[str, int]:
    names = [name for name in PORTS if name not in target.config.ports]
    return {f"{name.upper()}_WIDTH": _ABSENT_WIDTH for name in names}


def _lowest_bits(target: Target, units: Sequence[GoldenUnit]) -> dict[str, int]:
    return {
        f"{unit.name}_{stream.name}_{field.name}_LSB".upper(): bit
        for unit in units
        for stream in unit.streams
        for field, bit in reversed(list(first_bits(target.fields(stream))))
    }


def _table(target: Target) -> list[str]:
    config = target.config
    if config.code.row_max:
        bits = _ABSENT_WIDTH << config.fraction_bits
        return _vector("No table: this scheme has no exp2.", "EXP2_TABLE", bits, 0)
    width = config.width("e")
    title = "T[f] = RND(2**P * 2**(-f / 2**F)), entry f in bits [f*E_WIDTH +: E_WIDTH]."
    return _vector(title, "EXP2_TABLE", width * len(config.table), _packed(config.table, width))


def _thresholds(target: Target) -> list[str]:
    """Return the largest d of each level, or zeros where a level is no matter of d alone."""
    config = target.config
    levels = config.code.top_level
    if not config.code.row_max:
        width, values = config.fraction_bits, (0,) * levels
        title = "No thresholds of d: this scheme's levels are quotients."
    else:
        values = distance_thresholds(config.code.values, config.fraction_bits)[::-1]
        width = values[0].bit_length()
        title = "Largest d of level L in bits [(L-1)*THRESHOLD_WIDTH +: THRESHOLD_WIDTH]."
    head, *vector = _vector(title, "THRESHOLDS", width * levels, _packed(values, width))[1:]
    return ["", head, f"  localparam integer THRESHOLD_WIDTH = {width};", *vector]


def _packed(values: Sequence[int], width: int) -> int:
    return sum(value << (place * width) for place, value in enumerate(values))


def _vector(title: str, name: str, bits: int, value: int) -> list[str]:
    digits = f"{value:0{hex_digits(bits)}x}" if value else "0"
    head = f"  localparam [{bits - 1}:0] {name} ="
    return ["", f"  // {title}", head, f"    {bits}'h{digits};"]
