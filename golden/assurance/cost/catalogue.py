"""The choices of the design whose cost is measured."""

from dataclasses import dataclass

from msgspec import field

from bitlog2.documents import Count, Document
from bitlog2.names import ROW_MAX_8
from bitlog2.sim import SCHEMES, AttentionConfig, Scheme

from ...stimulus.unit import Target


class Counts(Document, frozen=True):
    """What a module costs in one technology.

    Attributes:
        cells: logic cells that count as one: two-input gates and inverters, or LUTs.
        carries: cells of a carry chain; 0 for gates.
        flip_flops: one a bit; their enable and synchronous reset belong to them.
        memory_bits: bits of written memories, which stay apart.
        levels: logic cells on the longest path between ports, flip-flops and memories.
        path_carries: carry cells on that path, the most where several have as many levels.
        by_type: cells by the technology's name.
    """

    cells: Count
    carries: Count
    flip_flops: Count
    memory_bits: Count
    levels: Count
    path_carries: Count
    by_type: dict[str, Count]


@dataclass(frozen=True)
class _ThreeBitConfig(AttentionConfig):
    """RowMax_16's configuration with the levels of `RowMax_8`, built for its cost alone."""

    @property
    def code(self) -> Scheme:
        """Levels of the sister that fits three bits."""
        return ROW_MAX_8


class Alternative(Document, frozen=True):
    """One module, as it is built.

    Attributes:
        name: name in the table.
        top: the module, of `golden/rtl` or `golden/assurance/cost/sv`.
        configuration: fields of `AttentionConfig` that are not the default; the scheme may be
            `RowMax_8` too.
        parameters: parameters of the module that are not the package's.
        remark: what the counts do not show, in a few words.
        counts: by technology, once they are measured.
        cycles: of a row of 197 keys, once it is measured, of a module whose header states them.
    """

    name: str
    top: str
    configuration: dict[str, int | str] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    remark: str = ""
    counts: dict[str, Counts] = field(default_factory=dict)
    cycles: float | None = None

    @property
    def config(self) -> AttentionConfig:
        """The configuration."""
        if self.configuration.get("scheme") != ROW_MAX_8.name:
            return AttentionConfig.from_mapping(self.configuration)
        return _ThreeBitConfig.from_mapping(self.configuration | {"scheme": "RowMax_16"})

    @property
    def target(self) -> Target:
        """The configuration that the package is made of, and the head dimension."""
        return Target.of(self.config)


class AlternativeGroup(Document, frozen=True):
    """Alternatives whose costs are compared; the first is the one that ratios refer to.

    Attributes:
        title: subject of the alternatives.
        alternatives: the alternatives.
        same_function: the test that shows that all compute one function; None where they do not.
    """

    title: str
    alternatives: tuple[Alternative, ...]
    same_function: str | None = None


class Choice(Document, frozen=True):
    """A choice of the design, in groups.

    Attributes:
        name: the name for `--choice`.
        title: the choice in words.
        note: what must be known to read the figures.
        groups: groups of alternatives.
    """

    name: str
    title: str
    note: str
    groups: tuple[AlternativeGroup, ...]


def linear_entry(fraction: int, config: AttentionConfig) -> int:
    """Return (1 - f/2) * 2^P of f = fraction / 2^F, what `exp2_linear` has for T[f].

    Raises:
        ValueError: the entry is no integer, P <= F, or the fraction is none.
    """
    if config.table_bits <= config.fraction_bits:
        raise ValueError(
            f"table_bits must be above fraction_bits, {config.fraction_bits}, "
            f"got {config.table_bits}"
        )
    if not 0 <= fraction < 1 << config.fraction_bits:
        raise ValueError(
            f"fraction must be from 0 to {(1 << config.fraction_bits) - 1}, got {fraction}"
        )
    return (1 << config.table_bits) - (fraction << (config.table_bits - config.fraction_bits - 1))


def entry_error(config: AttentionConfig) -> float:
    """Return the largest relative error of the linear entries."""
    steps = 1 << config.fraction_bits
    one = 1 << config.table_bits
    return max(linear_entry(f, config) / (one * 2 ** (-f / steps)) - 1 for f in range(steps))


def step_error(fraction_bits: int) -> float:
    """Return the largest relative error of 2^-x when x is rounded to F fraction bits."""
    return float(2 ** (0.5 / (1 << fraction_bits)) - 1)


_COMPARED = "tests/test_cost_functions.py: test_cost_dividing_form_is_the_comparing_form"
_LANE = "tests/test_cost_functions.py: test_cost_value_multiply_lane_is_the_shift_add_lane"


def _quantizers() -> tuple[AlternativeGroup, ...]:
    return tuple(
        AlternativeGroup(
            scheme,
            (
                Alternative("comparing", "log2_quantizer", {"scheme": scheme}),
                Alternative("dividing, array", "log2_quantizer_restoring", {"scheme": scheme}),
                Alternative("dividing, `/`", "log2_quantizer_divide", {"scheme": scheme}),
            ),
            _COMPARED,
        )
        for scheme, each in SCHEMES.items()
        if not each.row_max
    )


def _exponentials() -> tuple[AlternativeGroup, ...]:
    tables = tuple(
        Alternative(
            f"{1 << bits} entries",
            "exp2",
            {"fraction_bits": bits},
            remark=f"rounding of t: {100 * step_error(bits):.1f} % of e",
        )
        for bits in (5, 4, 6)
    )
    line = 100 * entry_error(AttentionConfig())
    linear = Alternative(
        "1 - f/2, F = 5",
        "exp2_linear",
        remark=f"rounding of t: {100 * step_error(5):.1f} %, and the line {line:.1f} %",
    )
    return (AlternativeGroup("exp2", (*tables, linear)),)


def _table_bits() -> tuple[AlternativeGroup, ...]:
    return tuple(
        AlternativeGroup(
            unit,
            tuple(
                Alternative(f"P = {bits}", unit, {"table_bits": bits}, remark=_widths(bits))
                for bits in (16, 12, 20)
            ),
        )
        for unit in ("exp2", "log2_quantizer", "row_sum")
    )


def _widths(bits: int) -> str:
    config = AttentionConfig(table_bits=bits)
    return f"e {config.width('e')} bits, s {config.width('row_sum')} bits"


def _by_scheme(schemes: tuple[str, ...], units: dict[str, str]) -> tuple[AlternativeGroup, ...]:
    return tuple(
        AlternativeGroup(
            title,
            tuple(
                Alternative(scheme, unit, {"scheme": scheme}, remark=_stored(scheme))
                for scheme in schemes
            ),
        )
        for unit, title in units.items()
    )


def _stored(scheme: str) -> str:
    config = Alternative("", "", {"scheme": scheme}).config
    return f"{config.code.storage_bits} bits stored a key, acc {config.width('acc')} bits"


def _multipliers() -> tuple[AlternativeGroup, ...]:
    kinds = ("shift and add", "4 x 9 bit multiplier", "4 x 4 bit multiplier, uniform code")
    lanes = tuple(
        Alternative(name, "lane_accumulator", {}, {"KIND": kind}) for kind, name in enumerate(kinds)
    )
    return (
        AlternativeGroup("lane and accumulator, one function", lanes[:2], _LANE),
        AlternativeGroup("lane and accumulator, another code", (lanes[0], lanes[2])),
    )


def _floats() -> tuple[AlternativeGroup, ...]:
    return (
        AlternativeGroup(
            "log2 quantizer",
            (
                Alternative("comparing, integers", "log2_quantizer"),
                Alternative("floor(e / s * A), float32", "float32_log2_quantizer"),
            ),
        ),
        AlternativeGroup(
            "its parts",
            (
                Alternative("comparing, integers", "log2_quantizer"),
                Alternative("float32 division", "float32_divide"),
                Alternative("float32 product", "float32_multiply"),
            ),
        ),
    )


#: Codes of the map that the reference RTL is built with: the schemes, and a sister of RowMax_16.
BUILT_CODES = (*SCHEMES, ROW_MAX_8.name)
#: What a code needs that is divided by the sum of its values.
DIVIDING = ("weight_sum", "row_multiplier")
#: D of `attention_row` where codes are compared.
CHANNELS = 8
#: Title of the lanes of RowMax_16 in one pass and in two.
ONLINE = "lane and accumulator, RowMax_16"


def divided_title(unit: str) -> str:
    """Return the title of a module of `DIVIDING`, by code."""
    return f"{unit}, of a code that is divided by the sum of its values"


def row_title(unit: str, lanes: int) -> str:
    """Return the title of the rows of a module, by code."""
    return f"{unit}, 256 keys, {lanes} a beat"


def _row_max() -> tuple[AlternativeGroup, ...]:
    """Return the parts of a datapath of quotients, each beside what RowMax_16 has in its place."""
    half: dict[str, int | str] = {"scheme": "BitLog2_Half_17"}
    row_max: dict[str, int | str] = {"scheme": "RowMax_16"}
    compared = ("BitLog2_Half_17", "RowMax_16")
    built: tuple[tuple[str, dict[str, int]], ...]
    built = (("softmax_row", {}), ("attention_row", {"HEAD_DIM": CHANNELS}))
    of_a_key = (
        Alternative("exp2", "exp2", half, remark="Half_17"),
        Alternative("log2_quantizer", "log2_quantizer", half, remark="Half_17"),
        Alternative("distance_quantizer", "distance_quantizer", row_max, remark="RowMax_16"),
    )
    of_a_row = (
        Alternative("row_sum", "row_sum", half, remark="Half_17, a key a cycle"),
        Alternative("weight_sum", "weight_sum", row_max, remark="RowMax_16, a key a cycle"),
        Alternative("row_multiplier", "row_multiplier", row_max, remark="RowMax_16, one of a row"),
    )
    rows = tuple(
        AlternativeGroup(
            row_title(unit, lanes),
            tuple(
                Alternative(
                    scheme, unit, {"max_tokens": 256, "scheme": scheme}, {"LANES": lanes, **extra}
                )
                for scheme in schemes
            ),
        )
        for unit, extra in built
        for lanes, schemes in ((1, BUILT_CODES), (4, compared))
    )
    online = (
        Alternative("two passes", "lane_accumulator", row_max),
        Alternative("online", "online_accumulator", row_max, remark="no row buffer"),
    )
    divided = tuple(
        AlternativeGroup(
            divided_title(unit),
            tuple(
                Alternative(scheme, unit, {"max_tokens": 256, "scheme": scheme})
                for scheme in SCHEMES
            ),
        )
        for unit in DIVIDING
    )
    return (
        AlternativeGroup("distance to level", of_a_key),
        AlternativeGroup("of a row", of_a_row),
        AlternativeGroup(ONLINE, online),
        *_by_scheme(
            BUILT_CODES,
            {
                "lane_accumulator": "lane and accumulator",
                "output_requantizer": "output requantizer",
            },
        ),
        *divided,
        *rows,
    )


def _rows() -> tuple[AlternativeGroup, ...]:
    sizes = ((64, 1), (256, 1), (64, 4), (256, 4))
    built: tuple[tuple[str, dict[str, int], tuple[tuple[int, int], ...]], ...]
    built = (("softmax_row", {}, sizes), ("attention_row", {"HEAD_DIM": 8}, sizes[:3]))
    return tuple(
        AlternativeGroup(
            unit,
            tuple(
                Alternative(
                    f"{tokens} keys, {lanes} a beat", unit, {"max_tokens": tokens},
                    {"LANES": lanes, **extra},
                )
                for tokens, lanes in chosen
            ),
        )
        for unit, extra, chosen in built
    )  # fmt: skip


CHOICES: dict[str, Choice] = {
    choice.name: choice
    for choice in (
        Choice(
            "log2",
            "A quotient that is compared, or divided",
            "BL2-LOG2-04 to -06 against -01 to -03. The array has a row for each bit of the "
            "quotient; `/` is the divider that Yosys makes, which does not know that e <= s.",
            _quantizers(),
        ),
        Choice(
            "exp2",
            "A table of 16, 32 or 64 entries, or a line",
            "Different functions: F is the step of d as well, 2^-F octaves; I = 5, P = 16.",
            _exponentials(),
        ),
        Choice("table_bits", "P, fraction bits of e", "Different functions.", _table_bits()),
        Choice(
            "single_half",
            "Half or Single, 17 levels",
            "Different codes; Single has A = 2^16, Half A = 384. One channel; output code 4 bits.",
            _by_scheme(
                ("BitLog2_Half_17", "BitLog2_Single_17"),
                {
                    "log2_quantizer": "log2 quantizer",
                    "shift_add_lane": "shift-and-add lane",
                    "lane_accumulator": "lane and accumulator",
                    "output_requantizer": "output requantizer",
                },
            ),
        ),
        Choice(
            "levels",
            "16 or 17 levels",
            "Different codes. code_memory packs a row's codes into bytes.",
            tuple(
                group
                for form in ("Half", "Single")
                for group in _by_scheme(
                    (f"BitLog2_{form}_17", f"BitLog2_{form}_16"),
                    {
                        "log2_quantizer": f"log2 quantizer, {form}",
                        "lane_accumulator": f"lane and accumulator, {form}",
                        "code_register": f"code register, {form}",
                        "code_memory": f"code memory, {form}",
                    },
                )
            ),
        ),
        Choice(
            "row_max",
            "Quotients, or a level from the distance alone",
            "Different codes. Half_17 has exp2, a row sum and a quotient for each key; RowMax_16 a "
            "level from d, a division for each row, wider accumulators, and one more register for "
            "them while it divides. D = 8 in attention_row. Online: each level relative to the "
            "largest t until now in whole octaves, sums shifted where that rises. RowMax_8 has "
            "three bits.",
            _row_max(),
        ),
        Choice(
            "multiplier",
            "Shift and add, or a multiplier",
            "One channel. The 4 x 9 bit multiplier takes the value of the level, its decoder "
            "counted; the 4 x 4 bit one a uniform code of the same bits. v - zv is in all; the 14 "
            "bits of the accumulators hold a uniform code too, RND(15 p) of 1024 keys.",
            _multipliers(),
        ),
        Choice(
            "float32",
            "The published way, in float32",
            "Different functions: two float32 roundings against none. Counted: division, the "
            "product with the constant A, level. Not counted: exponential and sum in float32, "
            "signs, subnormal numbers, infinities, NaN. The parts have two free operands.",
            _floats(),
        ),
        Choice(
            "rows",
            "Whole rows",
            "D = 8 in attention_row. The row buffer is the memory.",
            _rows(),
        ),
    )
}  # fmt: skip
