"""Every unit: numbers worked by hand, kernel against specification, properties."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cases import (
    CHANNEL_LANES,
    DEPTH,
    KEY_LANES,
    channel_product,
    code_planes,
    corners,
    framed,
    held_distances,
    key_product,
    laid_out,
    leading_ones,
    levels_of_rows,
    looked_up,
    place_of,
    scores_of,
    summed_terms,
    sums_of_pairs,
    values_of,
)
from support.cases import (
    leading_one as leading_one_kernel,
)
from support.cases import (
    rnd as rnd_kernel,
)
from support.schemes import QUOTIENTS
from test_golden_helpers import simulated, table

from bitlog2.sim import (
    SCHEMES,
    AttentionConfig,
    LayerParams,
    exp2_table,
    pack_levels,
    unpack_levels,
)
from bitlog2.sim.kernel import rows, vectors
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.pairs import block_former, pair_features
from bitlog2.sim.parts import LANES, bounds_of, filled_up, parts_of
from bitlog2.sim.rounding import leading_one, rnd, rnd_conv, sat, trn, wrap
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import (
    code_register,
    distance,
    distance_quantizer,
    exp2,
    level_of_code,
    log2_quantizer,
    output_requantizer,
    pack_row,
    row_max,
    row_sum,
    score_accumulator,
    score_requantizer,
    shift_add,
    shift_add_lane,
    unpack_row,
)
from bitlog2.sim.units.distance_quantizer import distance_quantizer_kernel
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel

requirement = pytest.mark.requirement
#: A property of all its arguments: the same examples in every run.
always = settings(deadline=None, derandomize=True)

CONFIG = AttentionConfig()
HALF_16, HALF_17 = SCHEMES["BitLog2_Half_16"], SCHEMES["BitLog2_Half_17"]
NARROW = AttentionConfig(t_bits=8)
WIDEST = AttentionConfig(
    "BitLog2_Single_17",
    **{f"{name}_bits": 8 for name in "qkvo"} | {"m_bits": 24, "m2_bits": 24, "t_bits": 24},
    **{"max_head_dim": 1024, "max_n": 48, "max_n2": 48, "max_tokens": 65536, "table_bits": 20},
)
REQUANTIZED = {"default": CONFIG, "narrow": NARROW, "widest": WIDEST}
SINGLE_17 = AttentionConfig("BitLog2_Single_17")
SHAPES = [(f, p, i) for f in (1, 4, 5, 6, 8) for p in (4, 7, 12, 16, 20) for i in (2, 5, 6)]


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def exp2_config(fraction_bits: int, table_bits: int, distance_int_bits: int) -> AttentionConfig:
    return AttentionConfig(
        fraction_bits=fraction_bits, table_bits=table_bits, distance_int_bits=distance_int_bits
    )


# Numbers worked by hand: the inputs of a unit, and what it gives by kernel and specification.

#: Key 0 and key 2 of the row of SPEC.md, (1-7)(11-8) + (13-7)(7-8) + (15-7)(12-8) + 0 = 8; the
#: bound of one channel.
SCORES = framed(
    [
        {"q": [1, 13, 15, 14], "k": [11, 7, 12, 8]},
        {"q": [1, 13, 15, 14], "k": [15, 6, 4, 11]},
        {"q": [15], "k": [0]},
    ],
    zq=[7, 7, 0],
    zk=[8, 8, 15],
)
#: Keys 0 and 2 of the row of SPEC.md; ties of both signs go up; rounded once (3 >> 3 at 2 and again
#: at 1 bit would be 1); the bias moves no tie; one saturation, after the bias; every bias is taken.
T = {
    "score": [8, -65, 5, -5, -3, 3, -5, 1, 3, 28800, -28800, 28800, -28800, 16384, 0, 0],
    "m": [47274, 47274, 1, 1, 1, 1, 1, 1, 1, 65535, 65535, 65535, 65535, 8, 1, 1],
    "n": [14, 14, 1, 1, 1, 1, 1, 1, 3, 0, 0, 0, 0, 0, 28, 0],
    "bias": [0, -20, 0, 0, 0, 0, 10, -1, 0, 0, 0, -1, 1, -8, -131072, 131071],
}
T_OUT = [23, -208, 3, -2, -1, 2, 8, 0, 0, 131071, -131072, 131071, -131072, 131064, -131072, 131071]
#: The row of SPEC.md, whose largest t is masked; a row of one key; a masked key above and below the
#: maximum, which shows d_max; both keys at the smallest t; d at its largest and past it.
T_ROWS = framed(
    [
        {"t": [23, 67, -208, 113, 182, 186, -55, -31], "mask": [0, 0, 0, 0, 0, 1, 0, 0]},
        {"t": [-9], "mask": [0]},
        {"t": [-3, 0, 3], "mask": [1, 0, 1]},
        {"t": [-131072, -131072], "mask": [1, 0]},
        {"t": [0, -1022, -1023, -1024, -131072], "mask": [0] * 5},
    ]
)
DISTANCES = [159, 115, 390, 69, 0, 1023, 237, 213, 0, 1023, 0, 1023, 1023, 0]
DISTANCES += [0, 1022, 1023, 1023, 1023]
#: T[0], T[16] and its octave (23170.5 goes up), T[31]; key 0 of the row of SPEC.md; a shift of 16
#: and of P + 1, where T[0] still gives 1; of P + 2; masked keys.
D = {
    "d": [0, 32, 16, 31, 48, 159, 512, 544, 545, 546, 576, 1023, 0, 5, 1023],
    "mask": [0] * 12 + [1] * 3,
}
E = [65536, 32768, 46341, 33486, 23171, 2093, 1, 1, 0, 0, 0, 0, 0, 0, 0]
#: The row of SPEC.md, one key, and two keys at the maximum.
E_ROWS = framed(
    [
        {"e": [2093, 5428, 14, 14702, 65536, 0, 386, 650]},
        {"e": [65536]},
        {"e": [65536, 65536]},
    ]
)
#: The row of SPEC.md: nibble plane 75 a0 0f 10, flag plane 24; then rows of three and one keys,
#: whose last bytes are padded with 0.
LEVELS = framed([{"level": [6, 8, 0, 11, 16, 0, 1, 2]}, {"level": [2, 3, 4]}, {"level": [5]}])
CODES = {
    "expected.nibble": [5, 7, 0, 10, 15, 0, 0, 1, 1, 2, 3, 4],
    "expected.flag": [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    "memory.nibble_write": [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1],
    "memory.nibble_byte": [0, 0x75, 0, 0xA0, 0, 0x0F, 0, 0x10, 0, 0x21, 0x03, 0x04],
    "memory.flag_write": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1],
    "memory.flag_byte": [0, 0, 0, 0, 0, 0, 0, 0x24, 0, 0, 0, 0],
}
#: 16 levels: the level is the nibble, no flag is written.
CODES_16 = {
    "expected.nibble": list(range(16)),
    "expected.flag": [0] * 16,
    "memory.nibble_byte": [y for x in range(1, 16, 2) for y in (0, x << 4 | x - 1)],
    "memory.flag_write": [0] * 16,
}
#: The row of SPEC.md: 7*8 - 6*16 + 0 - 6*48 + 0 + 4*1 + 1*2 = -322.
CODED = framed(
    [
        {
            "nibble": [5, 7, 0, 10, 15, 0, 0, 1],
            "flag": [0, 0, 1, 0, 0, 1, 0, 0],
            "v": [[13, 2], [0, 7], [4, 15], [0, 6], [6, 8], [13, 11], [10, 0], [7, 12]],
        }
    ],
    zv=[6],
)
#: Both channels of the row of SPEC.md; ties of both signs go up; negative before the zero point,
#: which is added before the one saturation; both saturations, the largest product among them.
ACC = {
    "acc": [-322, 502, -3, -5, 5, 5, -5, -3, -3, -100, 100, 5760, -5760],
    "m2": [43691, 43691, 1, 1, 1, 1, 1, 1, 1, 1, 1, 65535, 65535],
    "n2": [23, 23, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
    "zo": [7, 7, 7, 7, 7, 0, 2, 7, 15, 7, 7, 15, 0],
}
OUTPUTS = [5, 10, 6, 5, 10, 3, 0, 4, 12, 0, 15, 15, 0]
HAND = [
    pytest.param(
        *("score_accumulator", CONFIG, SCORES, {"expected.score": [8, -65, -225]}),
        marks=requirement("BL2-SCORE-01", "BL2-SCORE-02"),
    ),
    pytest.param(
        *("score_requantizer", CONFIG, {"stimulus": table(**T)}, {"expected.t": T_OUT}),
        marks=requirement("BL2-REQ-01", "BL2-REQ-02", "BL2-REQ-03", "BL2-NUM-02", "BL2-NUM-05"),
    ),
    pytest.param(
        *("row_max", CONFIG, T_ROWS),
        {"expected.row_max": [182, -9, 0, -131072, 0], "keys.d": DISTANCES},
        marks=requirement("BL2-MAX-01", "BL2-MAX-03", "BL2-MAX-04"),
    ),
    pytest.param(
        *("exp2", CONFIG, {"stimulus": table(**D)}, {"expected.e": E}),
        marks=requirement("BL2-EXP2-01", "BL2-EXP2-02", "BL2-EXP2-03", "BL2-EXP2-04"),
    ),
    pytest.param(
        *("row_sum", CONFIG, E_ROWS, {"expected.s": [88809, 65536, 131072]}),
        marks=requirement("BL2-SUM-01", "BL2-SUM-02"),
    ),
    pytest.param(
        *("code_register", CONFIG, LEVELS, CODES),
        marks=requirement("BL2-CODE-02", "BL2-CODE-03", "BL2-CODE-04"),
    ),
    pytest.param(
        *("code_register", AttentionConfig("BitLog2_Half_16")),
        *(framed([{"level": range(16)}]), CODES_16),
        marks=requirement("BL2-CODE-01"),
    ),
    pytest.param(
        *("shift_add", CONFIG, CODED, {"expected.acc": [[-322, 502]]}),
        marks=requirement("BL2-ACC-01"),
    ),
    pytest.param(
        *("output_requantizer", CONFIG, {"stimulus": table(**ACC)}, {"expected.o": OUTPUTS}),
        marks=requirement("BL2-OUT-01", "BL2-OUT-02"),
    ),
]


@pytest.mark.parametrize(("unit", "config", "inputs", "expected"), HAND)
def test_unit_worked_by_hand(unit: str, config: AttentionConfig, inputs: Any, expected: Any):
    found = simulated(unit, inputs, config, head_dim=2)
    for port, values in expected.items():
        stream, field = port.split(".")
        assert found[stream][field].tolist() == values, port


# Kernel against specification: domains of each unit, as input streams.


def pairs_of_codes() -> Iterator[Any]:
    """Every pair of codes and of zero points on one channel; random codes; the widest sums."""
    q, k, zq, zk = (grid.ravel() for grid in np.mgrid[0:16, 0:16, 0:16, 0:16])
    params = table(zq=zq, zk=zk)
    yield CONFIG, {"params": params, "stimulus": table(last=q >= 0, q=q, k=k)}
    for code in (0, 255):
        rows = [{"q": [255] * 1024, "k": [k] * 1024} for k in (0, 255)]
        yield WIDEST, framed(rows, zq=[0, 0], zk=[code, code])


def scores() -> Iterator[Any]:
    """Every score of the default; corners of every input; a million random."""
    every = np.arange(-28800, 28801)
    for m, n in ((47274, 14), (1, 1), (65535, 20), (32768, 28)):
        yield CONFIG, {"score": every, "m": m, "n": n, "bias": 0}
    for config in REQUANTIZED.values():
        near, top = corners(*signed_range(config, "score")), (1 << config.m_bits) - 1
        shifts = [0, 1, 2, 3, config.max_n // 2, config.max_n - 1, config.max_n]
        biases = [config.t_min, config.t_min + 1, -1, 0, 1, config.t_max]
        grid = np.meshgrid([1, 2, 3, top, (top + 1) // 2], shifts, biases, near, indexing="ij")
        yield config, dict(zip(("m", "n", "bias", "score"), map(np.ravel, grid), strict=True))
    for head_dim in (140, 141, 142):  # around where the lanes of int32 end
        config, score = AttentionConfig(max_head_dim=head_dim, max_n=27), 225 * head_dim
        ends = [config.t_min, 0, config.t_max]
        grid = np.meshgrid([0, 1, 13, 27], ends, [score, -score], indexing="ij")
        yield (
            config,
            {"m": 65535} | dict(zip(("n", "bias", "score"), map(np.ravel, grid), strict=True)),
        )
    rng = np.random.default_rng(21)
    for _ in range(100):
        config = list(REQUANTIZED.values())[int(rng.integers(3))]
        low, high = signed_range(config, "score")
        yield (
            config,
            {
                "m": rng.integers(1, 1 << config.m_bits),
                "n": rng.integers(0, config.max_n + 1),
                "score": rng.integers(low, high + 1, 10_000),
                "bias": rng.integers(config.t_min, config.t_max + 1, 10_000),
            },
        )


def signed_range(config: AttentionConfig, register: str) -> tuple[int, int]:
    bound = config.registers[register].bound
    return -bound, bound


def t_rows() -> Iterator[Any]:
    """Every t beside the largest; corners, ever more of them masked; a million random keys."""
    every = np.arange(CONFIG.t_min, CONFIG.t_max + 1).reshape(-1, 512)
    top = [CONFIG.t_max]
    yield CONFIG, framed([{"t": [*row, *top], "mask": [0] * 513} for row in every])
    for t_bits in (8, 18, 24):
        config = AttentionConfig(t_bits=t_bits)
        t = np.array(corners(config.t_min, config.t_max))
        order = np.arange(len(t))
        yield config, framed([{"t": t, "mask": order > last} for last in order])
    rng, rows = np.random.default_rng(31), []
    for _ in range(500):
        size, spread = int(rng.integers(1, 4000)), 1 << int(rng.integers(1, 18))
        mask = rng.random(size) < rng.random() * 0.9
        mask[rng.integers(size)] = False
        rows.append({"t": rng.integers(-spread, spread, size), "mask": mask})
    yield AttentionConfig(max_tokens=4000), framed(rows)


def distances() -> Iterator[Any]:
    """Every d, masked and not, of 75 configurations."""
    for shape in SHAPES:
        config = exp2_config(*shape)
        mask, d = (grid.ravel() for grid in np.mgrid[0:2, 0 : config.d_max + 1])
        yield config, {"mask": mask, "d": d}


def e_rows() -> Iterator[Any]:
    """A million random keys; the longest row of the widest e, whose sum needs 37 bits."""
    rng = np.random.default_rng(51)
    sizes = [1, 2, 3, 5, 8, 13, 1024, *rng.integers(1, 4000, 500).tolist()]
    rows = [rng.integers(0, (1 << 16) + 1, size) for size in sizes]
    for row in rows:
        row[rng.integers(len(row))] = 1 << 16
    yield AttentionConfig(max_tokens=4000), framed([{"e": row} for row in rows])
    yield WIDEST, framed([{"e": [1 << 20] * 65536}])


def level_rows() -> Iterator[Any]:
    """Every level of every scheme, rows of every length to 33, and a million random keys."""
    rng = np.random.default_rng(71)
    for name, scheme in SCHEMES.items():
        sizes = [*range(1, 34), *rng.integers(1, 3000, 160).tolist()]
        rows = [range(scheme.levels), *(rng.integers(0, scheme.levels, size) for size in sizes)]
        yield AttentionConfig(name, max_tokens=3000), framed([{"level": row} for row in rows])


def coded_rows() -> Iterator[Any]:
    """One key of every level, every zero point, every v in its lanes."""
    for name, scheme in SCHEMES.items():
        cases = [(*code_register(x, scheme), zv) for x in range(scheme.levels) for zv in range(16)]
        rows = [{"nibble": [a], "flag": [b], "v": [range(16)]} for a, b, _ in cases]
        yield AttentionConfig(name), framed(rows, zv=[zv for *_, zv in cases])


def accumulators() -> Iterator[Any]:
    """Every acc of a Half scheme; corners of every input; a million random."""
    every = np.arange(-5760, 5761)
    for m2, n2 in ((43691, 23), (1, 1), (65535, 36), (65535, 0), (32768, 30)):
        for zo in (0, 7, 15):
            yield CONFIG, {"acc": every, "m2": m2, "n2": n2, "zo": zo}
    for config in (SINGLE_17, WIDEST):
        near, top = corners(*signed_range(config, "acc")), (1 << config.m2_bits) - 1
        shifts = [0, 1, 2, config.max_n2 - 1, config.max_n2]
        zeros = [0, 1, (1 << config.o_bits) - 1]
        grid = np.meshgrid([1, 2, 3, (top + 1) // 2, top], shifts, zeros, near, indexing="ij")
        yield config, dict(zip(("m2", "n2", "zo", "acc"), map(np.ravel, grid), strict=True))
    rng = np.random.default_rng(91)
    for case in range(100):
        config = (SINGLE_17, WIDEST)[case % 2]
        low, high = signed_range(config, "acc")
        yield (
            config,
            {
                "m2": rng.integers(1, 1 << config.m2_bits),
                "n2": rng.integers(config.max_n2 // 2, config.max_n2 + 1),
                "zo": rng.integers(1 << config.o_bits),
                "acc": rng.integers(low, high + 1, 10_000),
            },
        )


DOMAINS = {
    "score_accumulator": pairs_of_codes,
    "score_requantizer": scores,
    "row_max": t_rows,
    "exp2": distances,
    "row_sum": e_rows,
    "code_register": level_rows,
    "shift_add": coded_rows,
    "output_requantizer": accumulators,
}


@pytest.mark.parametrize("unit", DOMAINS)
def test_unit_kernel_equals_the_specification(unit: str):
    """On every stream that the unit writes; columns of one value are those of all cases."""
    for config, inputs in DOMAINS[unit]():
        if "stimulus" not in inputs:
            columns = np.broadcast_arrays(*inputs.values())
            inputs = {"stimulus": table(**dict(zip(inputs, columns, strict=True)))}
        simulated(unit, inputs, config, head_dim=16)


# Roundings, overflows and the leading-one detector.

HALVES = (-5, -3, 3, 5)
WIDE = st.integers(-(1 << 70), 1 << 70)
SHIFT = st.integers(0, 70)


@pytest.mark.parametrize(
    ("rounding", "expected", "real"),
    [
        pytest.param(trn, [-3, -2, 1, 2], floor, marks=requirement("BL2-NUM-01")),
        pytest.param(
            rnd,
            [-2, -1, 2, 3],
            lambda x: floor(x + Fraction(1, 2)),
            marks=requirement("BL2-NUM-02"),
        ),
        pytest.param(rnd_conv, [-2, -2, 2, 2], round, marks=requirement("BL2-NUM-03")),
    ],
)
def test_rounding_of_halves_and_of_real_numbers(rounding: Any, expected: list[int], real: Any):
    """The integer definition and the real one are the same rule."""
    assert [rounding(x, 1) for x in HALVES] == expected
    assert [rounding(x, 0) for x in (-3, 0, 5)] == [-3, 0, 5]

    @always
    @given(WIDE, SHIFT)
    def is_the_real_one(x: int, n: int) -> None:
        assert rounding(x, n) == real(Fraction(x, 1 << n))

    is_the_real_one()


@requirement("BL2-NUM-04")
@always
@given(WIDE, st.integers(1, 64))
def test_wrap_is_twos_complement(x: int, bits: int):
    y = wrap(x, bits)
    assert (x - y) % (1 << bits) == 0
    assert -(1 << (bits - 1)) <= y < 1 << (bits - 1)
    assert [wrap(x, 4) for x in (7, 8, 15, 16, -8, -9, 300)] == [7, -8, -1, 0, -8, 7, -4]


@requirement("BL2-NUM-05")
def test_sat_limits_both_ends():
    assert [sat(x, -8, 7) for x in (-100, -9, -8, 0, 7, 8)] == [-8, -8, -8, 0, 7, 7]


@requirement("BL2-NUM-06")
@always
@given(st.integers(1, 1 << 200))
def test_leading_one_brackets_its_argument(x: int):
    assert 1 << leading_one(x) <= x < 2 << leading_one(x)
    assert [leading_one(x) for x in (1, 2, 3, 4, 7, 8, 255, 256)] == [0, 1, 1, 2, 2, 3, 7, 8]


def test_rnd_kernel_equals_the_specification():
    """At corners with every shift, and on 200,000 random products."""
    rng = np.random.default_rng(101)
    cases = [(x, n) for x in corners(-(1 << 60) - 2, (1 << 60) + 2) for n in range(62)]
    drawn = rng.integers(-(1 << 60), 1 << 60, 200_000), rng.integers(0, 62, 200_000)
    cases += zip(*(x.tolist() for x in drawn), strict=True)
    assert [(x, n) for x, n in cases if rnd_kernel(np.int64(x), np.int64(n)) != rnd(x, n)] == []


def test_leading_one_kernel_equals_the_specification():
    """Up to 2**17 and at corners; of 0 it is 0."""
    cases = [*range(1, 1 << 17), *corners(1, (1 << 62) + 2)]
    assert [x for x in cases if leading_one_kernel(np.int64(x)) != leading_one(x)] == []
    assert leading_one_kernel(np.int64(0)) == 0


# The exact products: of matrices, and of rows in lanes of 16 bits.

LANE_KERNELS = [(key_product, KEY_LANES), (channel_product, CHANNEL_LANES)]
LANE_SIZES = [(1, 1), (7, 3), (8, 128), (64, 197), (65, 64), (128, 129)]


def lane_product(kernel: Any, lanes: int, a: np.ndarray, b: np.ndarray) -> list[int]:
    """a (depth) times b (depth, columns), laid out in blocks that are filled up with zeros."""
    depth, columns = b.shape
    blocks, size = laid_out(depth, columns, lanes)
    filled = np.zeros((blocks, size), np.int16)
    for row, column in np.ndindex(b.shape):
        place = int(place_of.py_func(row, column % lanes, lanes))
        filled[column // lanes, place] = b[row, column]
    row_of_a, out = np.zeros(size // lanes, np.int16), np.full(blocks * lanes, 77, np.int32)
    row_of_a[:depth] = a
    kernel(row_of_a, filled, out)
    assert not out[columns:].any()
    return out[:columns].tolist()


@pytest.mark.parametrize(("depth", "columns"), LANE_SIZES)
@pytest.mark.parametrize(("kernel", "lanes"), LANE_KERNELS)
def test_lane_product_equals_the_integer_product(kernel: Any, lanes: int, depth: int, columns: int):
    rng = np.random.default_rng(depth)
    a, b = rng.integers(-300, 301, depth), rng.integers(-300, 301, (depth, columns))
    assert lane_product(kernel, lanes, a, b) == (a @ b).tolist()


@pytest.mark.parametrize(("kernel", "lanes"), LANE_KERNELS)
def test_lane_product_holds_the_largest_sums_and_factors(kernel: Any, lanes: int):
    """255 * 255 * 1024 of either sign; the ends of int16; a sum that touches both ends of int32."""
    full = np.full(1024, 255)
    for sign in (-1, 1):
        b = np.full((1024, 3), 255 * sign)
        assert lane_product(kernel, lanes, full, b) == [sign * 255 * 255 * 1024] * 3
    ends = np.array([-32768, 32767]), np.array([[255, -255], [255, -255]])
    assert lane_product(kernel, lanes, *ends) == [-255, 255]
    up_and_down = np.array([[32767], [32767], [32767], [-32768], [-32768], [-32768]])
    a = np.array([32767, 32767, 4, 32767, 32767, -4])
    assert lane_product(kernel, lanes, a, up_and_down) == (a @ up_and_down).tolist()


@pytest.mark.parametrize("lanes", [KEY_LANES, CHANNEL_LANES])
@pytest.mark.parametrize("feature", ["", "avx2", "avx512bw", "avx512vnni"])
def test_lane_product_each_form_in_vectors_equals_the_loop(feature: str, lanes: int):
    """The instructions of x86 and the general form, the ends of int16 too; nothing else moves."""
    if feature not in pair_features():
        pytest.skip(f"no {feature}")
    for found, expected in sums_of_pairs(block_former, lanes, feature):
        assert found == expected


@pytest.mark.parametrize(("depth", "columns"), LANE_SIZES)
def test_lane_product_layout_holds_every_column(depth: int, columns: int):
    blocks, size = laid_out(depth, columns, KEY_LANES)
    assert 0 <= blocks * KEY_LANES - columns < KEY_LANES
    assert 0 <= size // KEY_LANES - depth < DEPTH


# Loops in whole vectors, and the look-up of weights.


def test_parts_cover_every_key_and_end_in_whole_vectors():
    for size in range(1, 3 * LANES + 2):
        ranges = [
            range(*map(int, bounds_of.py_func(part, size)))
            for part in range(parts_of.py_func(size))
        ]
        assert sorted({j for keys in ranges for j in keys}) == list(range(size)), size
        assert size < LANES or all(len(keys) % LANES == 0 for keys in ranges), size
        assert len(ranges) == (1 if size < LANES or size % LANES == 0 else 2), size
        assert filled_up(size) in range(size, size + LANES), size
        assert filled_up(size) % LANES == 0, size


@pytest.fixture(params=["loop", "vectors"])
def row_form(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Return the loop that numba compiles, or the vectors, by name."""
    if request.param == "loop":
        return lambda name: getattr(rows, name).py_func
    if not vectors.has_vectors():
        pytest.skip("no AVX-512BW")
    return vectors.FORMS.__getitem__


def test_row_weights_each_form_gives_the_negative_values_and_their_sum(row_form):
    """Nothing else moves."""
    for found, expected in looked_up(row_form("row_weights")):
        assert found == expected


def test_levels_of_scores_each_form_equals_the_specification(row_form):
    """Nothing else moves."""
    for found, expected in levels_of_rows(row_form):
        assert found == expected


@pytest.mark.parametrize("by_search", [True, False])
def test_leading_one_each_form_gives_its_position_and_0_of_0(by_search: bool):
    if not by_search and not vectors.has_vectors():
        pytest.skip("no AVX-512BW")
    form = leading_one_kernel.py_func if by_search else vectors.leading_one
    for found, expected in leading_ones(form):
        assert found == expected


# Units 1 and 2: scores and t.

CODE = st.integers(0, 15)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_score_accumulator_kernel_gives_all_scores_of_rows_and_keys(bits: int):
    rng = np.random.default_rng(11 + bits)
    q, k = rng.integers(0, 1 << bits, (56, 3)), rng.integers(0, 1 << bits, (600, 3))
    zq, zk = (int(z) for z in rng.integers(0, 1 << bits, 2))
    keys = k.tolist()
    expected = [[score_accumulator(row, key, zq, zk) for key in keys] for row in q.tolist()]
    assert scores_of(q, k, zq, zk).tolist() == expected


@requirement("BL2-SCORE-02")
@always
@given(st.lists(st.tuples(CODE, CODE), min_size=1, max_size=40), CODE, CODE)
def test_score_accumulator_stays_within_its_bound(pairs: list[tuple[int, int]], zq: int, zk: int):
    """And reaches it: 15 * 15 * 128 = 28800, of both signs."""
    q, k = zip(*pairs, strict=True)
    assert abs(score_accumulator(q, k, zq, zk)) <= 225 * len(pairs)
    full, empty = [15] * 128, [0] * 128
    assert score_accumulator(full, full, 0, 0) == CONFIG.registers["score"].bound == 28800
    assert score_accumulator(full, empty, 0, 15) == -28800


def test_score_accumulator_refuses_ragged_arguments():
    with pytest.raises(ValueError, match="shorter"):
        score_accumulator([1, 2], [1], 0, 0)


@requirement("BL2-REQ-01")
@pytest.mark.parametrize("bias", [-7, -1, 0, 1, 7])
def test_score_requantizer_bias_moves_no_tie(bias: int):
    """RND commutes with the addition of an integer, for ties of both signs."""
    for score in (-3, -1, 1, 3):
        expected = score_requantizer(score, 1, 1, 0, CONFIG) + bias
        assert score_requantizer(score, 1, 1, bias, CONFIG) == expected


def test_score_requantizer_product_stays_within_its_register():
    """|S M| + 2**(n-1) at its largest is the bound, and fits 62 bits in every configuration."""
    register = CONFIG.registers["product"]
    assert 28800 * 65535 + (1 << 27) == register.bound < 1 << (register.bits - 1)
    assert WIDEST.registers["product"].bits <= 62


@requirement("BL2-REQ-02")
@always
@given(
    st.integers(-28800, 28799),
    st.integers(1, 65535),
    st.integers(0, 28),
    st.integers(-131072, 131071) | st.integers(-9, 9),
)
def test_score_requantizer_is_monotone_and_stays_in_t_range(s: int, m: int, n: int, bias: int):
    here, above = (score_requantizer(x, m, n, bias, CONFIG) for x in (s, s + 1))
    assert CONFIG.t_min <= here <= above <= CONFIG.t_max


def test_score_requantizer_lanes_are_chosen_by_the_proof():
    """225 * D * 65535 + 2**26 + 2**17 passes 2**31 between D = 141 and 142."""
    fits = [AttentionConfig(max_head_dim=d, max_n=27).scores_fit_int32 for d in (141, 142)]
    assert fits == [True, False]


@pytest.mark.parametrize("keys", [1, LANES - 1, LANES, LANES + 5])
@pytest.mark.parametrize("name", REQUANTIZED)
def test_score_requantizer_kernel_returns_the_largest_t(name: str, keys: int):
    """With a bias and without, in lanes of every width."""
    config, params = REQUANTIZED[name], LayerParams(60000, 13, 1, 0)
    bound = min(config.registers["score"].bound, (1 << 31) - 1)
    rng = np.random.default_rng(keys)
    score, none = rng.integers(-bound, bound + 1, keys).astype(np.int32), np.zeros(0, np.int32)
    bias = rng.integers(config.t_min, config.t_max + 1, keys).astype(np.int32)
    for offset in (bias, none):
        t = np.full(keys + 1, 77, np.int32)
        layer = layer_constants(config, params, offset.size > 0)
        largest = score_requantizer_kernel(score, offset, layer, t[:keys])
        added = offset.tolist() or [0] * keys
        expected = [
            score_requantizer(s, params.m, params.n, b, config)
            for s, b in zip(score.tolist(), added, strict=True)
        ]
        assert t.tolist() == [*expected, 77]
        assert largest == max(expected)


# Units 3, 4 and 5: distances, e and their sum.

ROW = st.lists(st.integers(CONFIG.t_min, CONFIG.t_max), min_size=1, max_size=60)


def distances_of(t: list[int]) -> list[int]:
    largest = row_max(t, [False] * len(t))
    return [distance(x, largest, False, CONFIG) for x in t]


@requirement("BL2-MAX-02")
def test_row_max_refuses_a_row_fully_masked():
    with pytest.raises(ValueError, match="at least one key"):
        row_max([1, 2], [True, True])


def test_distance_kernel_holds_a_masked_key_beyond_d_max():
    held = held_distances([-3, 0, 3, -2000], 0, [1, 0, 1, 0], CONFIG)
    assert (held > CONFIG.d_max).tolist() == [True, False, True, False]


@always
@given(ROW, st.integers(-1000, 1000))
def test_distance_is_invariant_under_a_shift_of_the_row(t: list[int], shift: int):
    """Zero somewhere, and d_max at most."""
    plain = [max(min(x, 130000), -130000) for x in t]
    d = distances_of(plain)
    assert distances_of([x + shift for x in plain]) == d
    assert 0 == min(d) <= max(d) <= CONFIG.d_max


@requirement("BL2-DIST-02")
@pytest.mark.parametrize("fraction_bits", range(1, 9))
def test_distance_quantizer_kernel_equals_the_specification_at_every_distance(fraction_bits: int):
    """For every I, of a masked key too."""
    for bits in range(2, 7):
        config = AttentionConfig(
            "RowMax_16", fraction_bits=fraction_bits, distance_int_bits=bits, max_n2=40
        )
        d, level = np.arange(config.d_max + 2, dtype=np.int16), np.empty(config.d_max + 2, np.uint8)
        steps = layer_constants(config, LayerParams(1, 0, 1, 0)).steps
        distance_quantizer_kernel(d, steps, scheme_constants(config.code), level)
        expected = [distance_quantizer(x, False, config) for x in range(config.d_max + 1)]
        assert level.tolist() == [*expected, 0], bits


@requirement("BL2-EXP2-01")
@pytest.mark.parametrize("fraction_bits", range(1, 9))
def test_table_is_the_nearest_integer_for_every_configuration(fraction_bits: int):
    """2T - 1 <= 2**(P + 1 - f/K) < 2T + 1, K = 2**F, as powers of integers."""
    size = 1 << fraction_bits
    for table_bits in range(4, 21):
        table = exp2_table(fraction_bits, table_bits)
        assert len(table) == size
        for f, entry in enumerate(table):
            real = 1 << ((table_bits + 1) * size)
            assert (2 * entry - 1) ** size << f <= real < (2 * entry + 1) ** size << f


def test_table_worked_by_hand():
    """16 * (1, 0.8409, 0.7071, 0.5946); 65536 * (1, 2**-0.5, 2**(-31/32)), falling strictly."""
    assert exp2_table(2, 4) == (16, 13, 11, 10)
    table = exp2_table(5, 16)
    assert (table[0], table[16], table[31]) == (65536, 46341, 33486)
    assert all(a > b for a, b in pairwise(table))


@requirement("BL2-EXP2-03")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exp2_never_rises_and_ends_in_zero(shape: tuple[int, int, int]):
    """A shift of P + 2 or more gives 0."""
    config = exp2_config(*shape)
    e = [exp2(d, False, config) for d in range(config.d_max + 1)]
    assert all(a >= b for a, b in pairwise(e))
    assert e[0] == 1 << config.table_bits
    assert not any(e[(config.table_bits + 2) << config.fraction_bits :])


@requirement("BL2-EXP2-05")
@pytest.mark.parametrize("fraction_bits", [4, 5, 6])
@pytest.mark.parametrize("table_bits", [7, 12, 16, 20])
def test_exp2_is_within_three_quarters_of_an_lsb(fraction_bits: int, table_bits: int):
    """Every d, against float64 powers (their own error is below 1e-9 LSB)."""
    config = exp2_config(fraction_bits, table_bits, 6)
    d = np.arange(config.d_max + 1)
    e = np.array([exp2(int(x), False, config) for x in d])
    assert np.abs(e - 2.0 ** (table_bits - d / 2.0**fraction_bits)).max() < 0.75


@always
@given(st.integers(0, 1023 - 32))
def test_exp2_halves_in_an_octave(d: int):
    """Within one LSB: both sides are rounded."""
    assert abs(2 * exp2(d + 32, False, CONFIG) - exp2(d, False, CONFIG)) <= 1


@requirement("BL2-SUM-01")
def test_row_sum_reaches_its_bound_and_fits():
    """1024 keys of 2**16 need 27 bits."""
    register = CONFIG.registers["row_sum"]
    assert row_sum([65536] * 1024) == register.bound == 1 << 26
    assert register.bits == 27


@requirement("BL2-SUM-02")
@always
@given(ROW)
def test_row_sum_is_at_least_2_to_the_p(t: list[int]):
    """The key at the maximum has e = 2**P."""
    e = [exp2(d, False, CONFIG) for d in distances_of(t)]
    assert max(e) == 1 << 16
    assert 1 << 16 <= row_sum(e) <= len(t) << 16


# Unit 7 and rows in memory.

LENGTHS = (1, 2, 7, 8, 9, 15, 16, 17, 65, 300)


def test_code_register_fits_four_bits_and_inverts(scheme: Scheme):
    for level in range(scheme.levels):
        nibble, flag = code_register(level, scheme)
        assert 0 <= nibble <= 15
        assert level_of_code(nibble, flag, scheme) == level


@requirement("BL2-CODE-03", "BL2-CODE-04")
@pytest.mark.parametrize(
    ("scheme", "levels", "planes"),
    [
        (HALF_16, [1, 2, 15], ("210f", "")),
        (HALF_16, [15, 0, 7], ("0f07", "")),
        (HALF_17, [6, 0, 16, 1, 2, 2, 2, 2, 0], ("050f111100", "0201")),
        (HALF_17, [0, 3, 16, 1, 0], ("200f00", "11")),
        (HALF_17, [0], ("00", "01")),
    ],
    ids=["16", "16 of another order", "17", "17 with two flags", "padding is no zero flag"],
)
def test_packing_worked_by_hand(scheme: Scheme, levels: list[int], planes: tuple[str, str]):
    """Low nibble first, no flag plane for 16 levels; unused nibbles and flag bits are 0."""
    assert tuple(x.hex() for x in pack_row(levels, scheme)) == planes
    assert tuple(x.tobytes().hex() for x in pack_levels(np.array([levels]), scheme)) == planes


@requirement("BL2-CODE-03", "BL2-SCHEME-02")
@pytest.mark.parametrize("keys", LENGTHS)
def test_packing_of_arrays_and_rows_is_the_same_and_undone(scheme: Scheme, keys: int):
    """By three writers and two readers, in the bytes that SPEC.md states."""
    level = np.random.default_rng(keys).integers(0, scheme.levels, (5, keys))
    planes = pack_levels(level, scheme)
    assert [x.shape[1] for x in planes] == [(keys + 1) // 2, (keys + 7) // 8 * scheme.zero_flag]
    assert np.array_equal(unpack_levels(*planes, keys, scheme), level)
    for row, *packed in zip(level.tolist(), *planes, strict=True):
        expected = pack_row(row, scheme)
        assert tuple(x.tobytes() for x in packed) == expected
        codes = np.array([code_register(x, scheme) for x in row])
        assert code_planes(*codes.T, scheme) == expected
        assert unpack_row(*expected, keys, scheme) == row


def test_packing_refuses_a_level_above_the_top_and_planes_of_another_shape():
    with pytest.raises(ValueError, match="level must be from 0 to 15, got 16"):
        pack_levels(np.array([[16]]), HALF_16)
    planes = pack_levels(np.array([[1, 2, 3]]), HALF_17)
    with pytest.raises(ValueError, match="planes must have shapes"):
        unpack_levels(*planes, 5, HALF_17)


# Units 8 and 9: accumulators and outputs.


@requirement("BL2-ACC-01", "BL2-SCHEME-01")
def test_shift_add_lane_is_the_value_of_the_level_times_v(scheme: Scheme):
    """Every level, v and zero point of eight bits; the values by kernel too."""
    assert values_of(scheme) == list(scheme.values)
    for level, value in enumerate(scheme.values):
        for x in range(-255, 256):
            v, zv = max(x, 0), max(-x, 0)
            assert shift_add_lane(level, v, zv, scheme) == value * x


def test_shift_add_kernel_equals_the_specification_on_a_million_random_terms(scheme: Scheme):
    """Beyond the rows of the datapath: whatever the levels sum to."""
    rng = np.random.default_rng(81)
    for _ in range(50):
        keys, zv = int(rng.integers(1, 313)), int(rng.integers(16))
        levels = rng.integers(0, scheme.levels, keys).tolist()
        v = rng.integers(0, 16, (keys, 32))
        expected = [shift_add(levels, column, zv, scheme) for column in v.T.tolist()]
        assert summed_terms(levels, v, zv, scheme) == expected


@requirement("BL2-ACC-02")
@pytest.mark.parametrize("scheme", QUOTIENTS.values(), ids=QUOTIENTS)
def test_shift_add_reaches_its_bound_with_both_signs(scheme: Scheme):
    """Two equal keys share A exactly; v - zv is 15 or -15, 255 or -255 where v has 8 bits."""
    levels = [log2_quantizer(65536, 131072, scheme)] * 2
    bound = AttentionConfig(scheme.name).registers["acc"].bound
    for top, most in ((15, bound), (255, 255 * scheme.int_max)):
        assert most == top * scheme.int_max
        assert shift_add(levels, [top, top], 0, scheme) == most
        assert shift_add(levels, [0, 0], top, scheme) == -most
        assert summed_terms(levels, [[top, 0], [top, 0]], 0, scheme) == [most, 0]
        assert summed_terms(levels, [[0], [0]], top, scheme) == [-most]


@requirement("BL2-ACC-02")
@always
@given(
    st.lists(st.tuples(st.integers(0, 65536), CODE), min_size=1, max_size=80),
    CODE,
    st.sampled_from(sorted(QUOTIENTS)),
)
def test_shift_add_never_passes_its_bound(row: list[tuple[int, int]], zv: int, name: str):
    """For the levels of any row, and for every partial sum."""
    scheme = SCHEMES[name]
    e, v = zip(*row, (65536, 15), strict=True)
    levels = [log2_quantizer(x, sum(e), scheme) for x in e]
    for end in range(1, len(e) + 1):
        assert abs(shift_add(levels[:end], v[:end], zv, scheme)) <= 15 * scheme.int_max


@requirement("BL2-OUT-02")
def test_output_requantizer_product_stays_within_its_register():
    """983040 * 65535 + 2**35 in 38 bits."""
    register = SINGLE_17.registers["out_product"]
    assert 983040 * 65535 + (1 << 35) == register.bound < 1 << (register.bits - 1)
    assert register.bits == 38


@always
@given(st.integers(-983040, 983039), st.integers(1, 65535), st.integers(0, 36), CODE)
def test_output_requantizer_is_monotone_and_in_range(acc: int, m2: int, n2: int, zo: int):
    here = output_requantizer(acc, m2, n2, zo, SINGLE_17)
    assert 0 <= here <= output_requantizer(acc + 1, m2, n2, zo, SINGLE_17) <= 15
