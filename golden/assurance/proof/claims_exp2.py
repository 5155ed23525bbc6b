"""Claims about unit 4: its table, its rounding shifter, its error."""

from collections.abc import Iterator, Sequence

import z3

from .claim import BITS, EXHAUSTION, Checked, Holds, Setting, claim, integer, rnd, unsigned


@claim(
    "exp2_table",
    "BL2-EXP2-01",
    lambda s: f"all {len(s.config.table)} entries, exact integer powers",
    EXHAUSTION,
)
def table(setting: Setting, entries: Sequence[int] | None = None) -> Iterator[Checked]:
    """Every entry is the nearest integer to the power; `entries` are a test's planted ones."""
    P, F = setting.config.table_bits, setting.config.fraction_bits
    checked = setting.config.table if entries is None else entries

    def check() -> str:
        """T - 1/2 <= 2^(P - f/2^F) < T + 1/2, doubled and raised to the power 2^F."""
        for f, entry in enumerate(checked):
            power = 1 << (((P + 1) << F) - f)
            if not (2 * entry - 1) ** (1 << F) <= power < (2 * entry + 1) ** (1 << F):
                return f"f = {f}, T[f] = {entry}"
        return ""

    yield Checked("T[f] = RND(2^P * 2^(-f/2^F))", check)


@claim(
    "exp2_error",
    "BL2-EXP2-05",
    lambda s: f"all {s.config.d_max + 1} distances, exact integer powers",
    EXHAUSTION,
)
def error(setting: Setting, quarters: int = 3) -> Iterator[Checked]:
    """|e - 2^P * 2^(-d/2^F)| is below 3/4; a test plants another number of quarters."""
    config = setting.config
    P, F = config.table_bits, config.fraction_bits

    def check() -> str:
        """4e - 3 < 4 * 2^(P - d/2^F) < 4e + 3, raised to the power 2^F and times 2^d."""
        for d in range(config.d_max + 1):
            e, shift = config.table[d % (1 << F)], d >> F
            e = (e + ((1 << shift) >> 1)) >> shift
            power = 1 << ((P + 2) << F)
            low, high = 4 * e - quarters, 4 * e + quarters
            above = low < 0 or low ** (1 << F) << d < power
            if not (above and power < high ** (1 << F) << d):
                return f"d = {d}, e = {e}"
        return ""

    yield Checked("e is within 3/4 of an LSB of the power", check)


@claim(
    "exp2_shifter",
    "BL2-EXP2-02, -03",
    lambda s: (
        f"full width, entry {s.config.table_bits + 1} and "
        f"shift {s.config.width('d') - s.config.fraction_bits} bits"
    ),
    BITS,
)
def shifter(setting: Setting) -> Iterator[Holds]:
    """The shifter with a guard bit is RND; where it ends; e stays at most 2^P."""
    P = setting.config.table_bits
    shift_bits = setting.config.width("d") - setting.config.fraction_bits
    entry, distance = z3.BitVec("entry", P + 1), z3.BitVec("shift", shift_bits)
    shown: dict[str, z3.ExprRef] = {"entry": entry, "shift": distance}
    T, k = unsigned(entry), unsigned(distance)
    guarded = z3.LShR(T << 1, k)
    e = rnd(T, k)
    yield Holds("guard bit", z3.LShR(guarded, 1) + (guarded & 1) == e, shown=shown)
    legal = [z3.ULE(T, 1 << P)]
    ends = [k == P + 1]
    one = z3.If(T == 1 << P, integer(1), integer(0))
    yield Holds("a shift of P + 1 gives 1 for T[0] alone", e == one, [*legal, *ends], shown)
    yield Holds("a shift of P + 2 or more gives 0", e == 0, [*legal, k >= P + 2], shown)
    yield Holds("e is at most 2^P, and at most T", z3.And(e <= 1 << P, e <= T), legal, shown)
