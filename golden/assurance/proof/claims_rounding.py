"""Claims about leading ones, rounding, and the adders of the requantizers."""

from collections.abc import Callable, Iterator

import z3

from .claim import BITS, INTEGERS, WIDTH, Holds, Setting, claim, integer, leading_one

#: The largest shift that a configuration may have (BL2-CONF-01).
_MAX_SHIFT = 48


@claim("leading_one", "BL2-NUM-06", f"full width, x below 2^{WIDTH - 1}", BITS)
def lod(_: Setting) -> Iterator[Holds]:
    """The leading-one detector of these proofs is that of the specification."""
    x = z3.BitVec("x", WIDTH)
    k = leading_one(x, WIDTH - 1)
    least = integer(1) << k
    given = [z3.UGT(x, 0), z3.ULT(x, 1 << (WIDTH - 1))]
    goal = z3.And(z3.ULE(least, x), z3.ULT(x, least << 1), z3.ULT(k, WIDTH - 1))
    yield Holds("2^lod(x) <= x < 2^(lod(x)+1)", goal, given, {"x": x})


def rounded(x: z3.ArithRef, n: int) -> z3.ArithRef:
    """Return RND(x, n) of an integer of any size: floor((x + 2^(n-1)) / 2^n)."""
    return x if n == 0 else (x + (1 << (n - 1))) / (1 << n)


@claim("rounding", "BL2-NUM-02", f"unbounded integers x, each shift 1 to {_MAX_SHIFT}", INTEGERS)
def nearest(
    _: Setting, rounding: Callable[[z3.ArithRef, int], z3.ArithRef] = rounded
) -> Iterator[Holds]:
    """RND is the nearest integer, a tie the upper one; a test plants another rounding."""
    x = z3.Int("x")
    for n in range(1, _MAX_SHIFT + 1):
        whole, half = 1 << n, 1 << (n - 1)
        r = rounding(x, n)
        goal = z3.And(whole * r - half <= x, x < whole * r + half)
        yield Holds(f"r - 1/2 <= x / 2^{n} < r + 1/2", goal, shown={"x": x})


@claim(
    "bias_is_whole",
    "BL2-REQ-01",
    f"unbounded integers x and b, each shift 0 to {_MAX_SHIFT}",
    INTEGERS,
)
def bias(_: Setting) -> Iterator[Holds]:
    """A bias before or after the rounding gives the same, and one rounding is not two."""
    x, b = z3.Ints("x b")
    for n in range(_MAX_SHIFT + 1):
        goal = rounded(x + b * (1 << n), n) == rounded(x, n) + b
        yield Holds(f"RND(x + (b << {n}), {n}) = RND(x, {n}) + b", goal, shown={"x": x, "b": b})


@claim(
    "requantizer_adders",
    "BL2-REQ-02, -03 and BL2-OUT-02",
    lambda s: (
        f"products of {s.config.width('product')} and {s.config.width('out_product')} bits "
        "cut free, each shift"
    ),
    INTEGERS,
    per_scheme=True,
)
def adders(setting: Setting) -> Iterator[Holds]:
    """The rounded product and the adder in front of a saturation lose no bit."""
    config = setting.config
    bias_most = 1 << (config.t_bits - 1)
    product, total = config.width("product"), max(config.width("product"), config.t_bits) + 1
    yield from _adder(
        "t", config.max_n, _free("product", setting), -bias_most, bias_most - 1, product, total
    )
    out = config.width("out_product")
    zero = (1 << config.o_bits) - 1
    yield from _adder("o", config.max_n2, _free("out_product", setting), 0, zero, out, out + 1)


def _free(register: str, setting: Setting) -> tuple[z3.ArithRef, int]:
    """Return a free product, and the most that it may be with its rounding constant."""
    return z3.Int(register), setting.config.registers[register].bound


def _adder(
    name: str,
    max_n: int,
    free: tuple[z3.ArithRef, int],
    lowest: int,
    highest: int,
    product_bits: int,
    sum_bits: int,
) -> Iterator[Holds]:
    product, bound = free
    addend = z3.Int("addend")
    for n in range(max_n + 1):
        half = (1 << n) >> 1
        given = [product + half <= bound, -product + half <= bound]
        given += [addend >= lowest, addend <= highest]
        r = rounded(product, n)
        goal = z3.And(
            _fits(product + half, product_bits), _fits(r, product_bits), _fits(r + addend, sum_bits)
        )
        shown = {"product": product, "addend": addend}
        yield Holds(f"{name}, shift {n}: every register holds its value", goal, given, shown)


def _fits(x: z3.ArithRef, bits: int) -> z3.BoolRef:
    return z3.And(x >= -(1 << (bits - 1)), x < 1 << (bits - 1))
