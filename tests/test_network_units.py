"""Units 21 to 31: by hand, kernel against specification, against real numbers, properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from support.cases import corners
from support.network import (
    accumulators,
    activations,
    bytewise,
    gate_codes,
    image_codes,
    linear_codes,
    logits,
    mean_terms,
    means,
    norm_codes,
    normalized,
    outlier_tokens,
    residuals,
    roots,
    stream_norms,
    sums,
    words,
)
from test_jit import run_script

from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.product import dot_tile
from bitlog2.sim.network.spec import (
    activation,
    activation_input,
    centred,
    gate_code,
    head,
    image_requantizer,
    linear_accumulator,
    linear_requantizer,
    mean_code,
    mean_sum,
    mean_term,
    norm_requantizer,
    norm_sums,
    normalizer,
    prediction,
    reciprocal_root,
    residual_adder,
    residual_sum,
    stream_mean,
    stream_norm,
)
from bitlog2.sim.network.units.linear_accumulator import linear_accumulator_kernel
from bitlog2.sim.network.units.linear_requantizer import linear_requantizer_kernel
from bitlog2.sim.network.units.reciprocal_root import integer_root

requirement = pytest.mark.requirement
always = settings(deadline=None, derandomize=True)

CONFIG = NetworkConfig()
NARROW = NetworkConfig(stream_bits=8, root_bits=10, z_fraction_bits=6, u_bits=6, mean_bits=10)
WIDEST = NetworkConfig(
    **{"stream_bits": 20, "max_channels": 2048, "root_bits": 24, "z_fraction_bits": 16},
    **{"gain_bits": 24, "m_bits": 24, "u_bits": 12, "max_n": 30},
)
CONFIGS = {"default": CONFIG, "narrow": NARROW, "widest": WIDEST}
BOTH = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
ACC = st.integers(-(1 << 30), 1 << 30)
MULTIPLIER, SHIFT = st.integers(1, (1 << 16) - 1), st.integers(0, 36)
#: Halves of both signs at n = 1, with what RND makes of them.
TIES, ROUNDED = [-5, -3, -1, 1, 3, 5], [-2, -1, 0, 1, 2, 3]


def grid(*values):
    """Every combination, a column of integers for each."""
    return [x.ravel().tolist() for x in np.meshgrid(*values, indexing="ij")]


def acc_cases(config, seed):
    """Accumulators with M and n: corners of all three, and random ones."""
    bound, top = config.registers["linear_acc"].bound, (1 << config.m_bits) - 1
    shifts = [0, 1, 2, config.max_n // 2, config.max_n - 1, config.max_n]
    acc, m, n = grid(corners(-bound, bound), [1, 2, 3, (top + 1) // 2, top], shifts)
    rng = np.random.default_rng(seed)
    acc += rng.integers(-bound, bound + 1, 50_000).tolist()
    m += rng.integers(1, top + 1, 50_000).tolist()
    n += rng.integers(0, config.max_n + 1, 50_000).tolist()
    return acc, m, n


# Unit 21.


@requirement("BL2-IMAGE-01")
def test_image_requantizer_worked_by_hand():
    """Mean and deviation 1/2, scale 1/64; ties go up; H is inside the rounding; both ends."""
    assert image_codes([0, 127, 128, 255], 32897, 4194304, 16, 8) == [64, 128, 128, 192]
    assert image_codes([1, 3, 5], 1, 0, 1, 8) == [1, 2, 3]
    assert image_codes([1, 2], 1, 1, 2, 8) == [1, 1]
    assert image_codes([0, 255], 2, -10, 0, 8) == [0, 255]


@requirement("BL2-IMAGE-01", "BL2-IMAGE-02")
def test_image_requantizer_kernel_equals_the_specification():
    """Every pixel of 16 bits, H at its ends."""
    config, high = NetworkConfig(pixel_bits=16, outer_bits=5), (1 << 39) - 1
    pixels = range(1 << 16)
    for gain, offset, n in (
        (65535, -high, 0),
        (65535, high, 36),
        (1, 0, 1),
        (40001, -(1 << 29), 20),
    ):
        expected = [image_requantizer(p, gain, offset, n, config) for p in pixels]
        assert image_codes(pixels, gain, offset, n, 5) == expected


# Unit 22.


@requirement("BL2-LINEAR-01")
def test_linear_accumulator_worked_by_hand():
    assert linear_accumulator([9, 10, 7, 8], 7, [3, -2, 5, -7], 12) == 5
    for kernel in (accumulators, words, bytewise):
        assert kernel([9, 10, 7, 8], 7, [3, -2, 5, -7], [12]).tolist() == [[5]]


@requirement("BL2-LINEAR-01")
def test_linear_accumulator_kernel_equals_the_specification():
    """Every code and weight of 4 bits at every zero point; random tiles with outlier codes."""
    every = np.arange(16)[:, None], np.arange(-15, 16)[:, None]
    for zero in range(16):
        each = [[linear_accumulator(x, zero, w, 3) for w in every[1]] for x in every[0]]
        for kernel in (accumulators, words, bytewise):
            assert kernel(every[0], zero, every[1], 3).tolist() == each
    rng = np.random.default_rng(22)
    codes, weights = rng.integers(0, 256, (9, 301)), rng.integers(-255, 256, (13, 301))
    bias = rng.integers(-(1 << 29) + 1, 1 << 29, 13)
    rows = [
        [linear_accumulator(x, 77, w, int(b)) for w, b in zip(weights.tolist(), bias, strict=True)]
        for x in codes.tolist()
    ]
    assert accumulators(codes, 77, weights, bias).tolist() == rows
    assert words(codes, 77, weights, bias).tolist() == rows


@requirement("BL2-LINEAR-01")
@pytest.mark.parametrize("size", [(1, 1), (8, 128), (9, 127), (7, 129), (40, 300), (255, 65)])
@pytest.mark.parametrize("tokens", [1, 4, 6])
def test_linear_products_of_any_size_equal_the_plain_kernel(size, tokens):
    """What is filled up adds 0: depths, outputs and tokens beside multiples of what is at once."""
    rng = np.random.default_rng(24)
    inputs, outputs = size
    codes = rng.integers(0, 256, (tokens, inputs))
    bias = rng.integers(-999, 1000, outputs)
    for form, largest in ((words, 255), (bytewise, 127)):
        weights = rng.integers(-largest, largest + 1, (outputs, inputs))
        expected = accumulators(codes, 200, weights, bias)
        assert (form(codes, 200, weights, bias) == expected).all()


@requirement("BL2-LINEAR-02")
def test_linear_products_hold_their_largest_sums():
    """Most inputs, all codes and weights full: codes as they are, of any zero point."""
    inputs = max(each.metadata["high"] for each in CONFIG.choices() if each.name == "max_inputs")
    codes = [255] * inputs
    weights = [[127] * inputs, [-127] * inputs, [127, -127] * (inputs // 2)]
    for zero in (255, 250):
        expected = [(255 - zero) * sum(row) + 7 for row in weights]
        assert bytewise(codes, zero, weights, 7).tolist() == [expected]


def test_linear_product_in_vectors_equals_its_loop():
    """The vectors, where this processor has them, against the loop that they stand for."""
    rng = np.random.default_rng(25)
    codes = rng.integers(0, 256, (12, 36)).astype(np.uint8)
    block = rng.integers(-128, 128, 36 * 64).astype(np.int8)
    found, expected = (np.empty((4, 64), np.int32) for _ in range(2))
    for first in range(0, 12, 4):
        dot_tile(codes, first, block, found)
        dot_tile.py_func(codes, first, block, expected)
        assert (found == expected).all()


@requirement("BL2-LINEAR-01")
def test_linear_accumulator_is_the_same_with_the_zero_point_in_the_bias():
    rng = np.random.default_rng(23)
    x, w = rng.integers(0, 16, 50).tolist(), rng.integers(-15, 16, 50).tolist()
    assert linear_accumulator(x, 9, w, 5) == linear_accumulator(x, 0, w, 5 - 9 * sum(w))


@requirement("BL2-LINEAR-02")
def test_linear_accumulator_reaches_its_bound():
    """All codes full, zx = 0, all weights full, B full: of either sign."""
    bound, bias = CONFIG.registers["linear_acc"].bound, (1 << 29) - 1
    codes, full = [255] * CONFIG.max_inputs, [255] * CONFIG.max_inputs
    weights = [full, [-w for w in full]]
    for kernel in (accumulators, words):
        assert kernel(codes, 0, weights, [bias, -bias]).tolist() == [[bound, -bound]]


# Unit 23.


@requirement("BL2-LINREQ-01")
def test_linear_requantizer_worked_by_hand():
    """The ratio 1/8; ties go up; the zero point is added before the saturation."""
    assert linear_codes([5], 32768, 18, 8, 4) == [9]
    assert linear_codes(TIES, 1, 1, 3, 4) == [x + 3 for x in ROUNDED]
    assert linear_codes([-100, -8, 7, 8, 100], 1, 0, 8, 4) == [0, 0, 15, 15, 15]
    assert [linear_requantizer(x, 1, 1, 3, 4) for x in TIES] == [x + 3 for x in ROUNDED]


@BOTH
@requirement("BL2-LINREQ-01")
def test_linear_requantizer_kernel_equals_the_specification(config):
    acc, m, n = acc_cases(config, 23)
    for zero, bits in ((0, 8), (7, 4), (3, 2)):
        expected = [linear_requantizer(*each, zero, bits) for each in zip(acc, m, n, strict=True)]
        assert linear_codes(acc, m, n, zero, bits) == expected


@requirement("BL2-LINREQ-01")
@always
@given(ACC, ACC, MULTIPLIER, SHIFT, st.integers(0, 15))
def test_linear_requantizer_is_monotone(a, b, m, n, zero):
    low, high = (linear_requantizer(x, m, n, zero, 4) for x in sorted((a, b)))
    assert 0 <= low <= high <= 15


#: As a kernel that calls them sees them.
PRODUCT, REQUANTIZED = linear_accumulator_kernel.compiled, linear_requantizer_kernel.compiled


@njit
def fused_layer(codes, zero, weights, bias, m, n, y_zero, top, acc, y):
    """A layer a tile at a time: the accumulators of a tile are requantized before the next one."""
    for first in range(0, codes.shape[0], acc.shape[0]):
        tile = acc[: min(acc.shape[0], codes.shape[0] - first)]
        PRODUCT(codes[first : first + len(tile)], zero, weights, bias, tile)
        REQUANTIZED(tile, m, n, y_zero, top, y[first : first + len(tile)])


@requirement("BL2-LINEAR-01", "BL2-LINREQ-01")
def test_linear_kernels_of_a_tile_make_a_layer_in_one_pass():
    rng = np.random.default_rng(32)
    codes, weights = rng.integers(0, 16, (23, 48)), rng.integers(-15, 16, (30, 48))
    m, n = rng.integers(1 << 15, 1 << 16, 30), rng.integers(20, 24, 30)
    y, tile = np.empty((23, 30), np.uint8), np.empty((8, 30), np.int32)
    typed = codes.astype(np.uint8), 7, weights.astype(np.int16), np.zeros(30, np.int64)
    fused_layer(*typed, m, n, 8, 15, tile, y)
    assert y.tolist() == [
        linear_codes(row, m, n, 8, 4) for row in accumulators(codes, 7, weights, 0)
    ]


# Unit 24.


@requirement("BL2-RESID-01", "BL2-RESID-02")
def test_residual_adder_worked_by_hand():
    """The ratio 25.6; ties of the product go up, whatever x is; both saturations are counted."""
    assert residuals([5, 5], 52429, 11, [7, 32700], CONFIG) == ([135, 32767], 1)
    for x in (0, -7, 100):
        assert residuals(TIES, 1, 1, x, CONFIG) == ([r + x for r in ROUNDED], 0)
    ends = [32767, 32767, -32768, -32768]
    assert residuals([0, 1, 0, -1], 1, 0, ends, CONFIG) == (ends, 2)


@BOTH
@requirement("BL2-RESID-01", "BL2-RESID-02")
def test_residual_adder_kernel_equals_the_specification(config):
    acc, m, n = acc_cases(config, 24)
    rng = np.random.default_rng(24)
    x = rng.integers(config.stream_min, config.stream_max + 1, len(acc)).tolist()
    x[: len(acc) // 4] = [config.stream_min, config.stream_max] * (len(acc) // 8)
    x += [0] * (len(acc) - len(x))
    each = list(zip(acc, m, n, x, strict=True))
    expected = [residual_adder(*values, config) for values in each]
    count = sum(residual_sum(*values) != y for values, y in zip(each, expected, strict=True))
    assert residuals(acc, m, n, x, config) == (expected, count)
    assert 0 < count < len(acc)


@requirement("BL2-RESID-02")
def test_residual_adder_saturates_at_every_x():
    """Every x of 16 bits, with sums around both ends."""
    every = range(-32768, 32768)
    for acc in (-65536, -32769, -1, 0, 1, 32768, 65535):
        expected = [residual_adder(acc, 1, 0, x, CONFIG) for x in every]
        found, count = residuals([acc] * 65536, 1, 0, every, CONFIG)
        assert found == expected == np.clip(np.array(every) + acc, -32768, 32767).tolist()
        assert count == sum(not -32768 <= x + acc <= 32767 for x in every)


@requirement("BL2-RESID-01")
@always
@given(ACC, MULTIPLIER, SHIFT, st.integers(-32768, 32767))
def test_residual_adder_may_add_x_before_the_rounding(acc, m, n, x):
    assert residual_sum(acc, m, n, x) == residual_sum(acc * m + (x << n), 1, n, 0)


@requirement("BL2-RESID-03")
def test_residual_adder_of_a_branch_that_adds_nothing():
    every = corners(-32768, 32767)
    bound = CONFIG.registers["linear_acc"].bound
    for acc in (-bound, 0, bound):
        assert residuals([acc] * len(every), 0, 0, every, CONFIG) == (every, 0)


# Units 25 to 28: the layer norm.


@requirement("BL2-NORM-01", "BL2-NORM-04", "BL2-NORM-05", "BL2-ROOT-01", "BL2-ROOT-02")
@requirement("BL2-ROOT-03", "BL2-NORMREQ-01")
def test_layer_norm_worked_by_hand():
    """The token of SPEC.md, unit by unit."""
    x = [3, -5, 7, 1]
    assert sums(x, 1) == [norm_sums(x, 1)] == [(6, 84, 301)]
    assert roots(301, CONFIG) == [reciprocal_root(301, CONFIG)] == [(-11, 35531, 60439)]
    assert [centred(value, 6, 4) for value in x] == [6, -26, 22, -2]
    assert normalized(x, 6, -11, 60439, CONFIG).tolist() == [[354, -1535, 1298, -118]]
    gains = [32768, -32768, 32768, 0], [62075699, 117440512, 194615706, 8], [23, 24, 25, 0]
    assert norm_codes([354, -1535, 1298, -118], *gains, 4) == [[9, 10, 7, 8]]


@requirement("BL2-NORM-01", "BL2-NORM-02")
def test_norm_sums_kernel_equals_the_specification():
    """Every token of two channels of 8 bits; random ones, with outliers; V at least EPS."""
    pairs = np.stack(np.meshgrid(*[np.arange(-128, 128)] * 2), axis=-1).reshape(-1, 2)
    rng = np.random.default_rng(25)
    tiles = [
        (pairs, 1),
        (outlier_tokens(25, 200, 384, CONFIG.stream_max), 1),
        (rng.integers(-(1 << 19), 1 << 19, (50, 1000)), (1 << 40) - 1),
        (rng.integers(-5, 6, (100, 1)), 7),
    ]
    for x, eps in tiles:
        found = sums(x, eps)
        assert found == [norm_sums(token, eps) for token in x.tolist()]
        assert min(v for _, _, v in found) >= eps


@requirement("BL2-NORM-02")
def test_norm_sums_of_equal_channels_are_eps():
    for value in (-32768, -1, 0, 32767):
        assert [v for _, _, v in sums([[value] * 4096], 9)] == [9]


@requirement("BL2-NORM-03")
def test_norm_sums_reach_their_bounds():
    """All channels at the lower end; half of them at each end."""
    low, high = CONFIG.stream_min, CONFIG.stream_max
    eps, registers = (1 << 40) - 1, CONFIG.registers
    ((total, squares, _), (_, _, variance)) = sums([[low] * 4096, [low, high] * 2048], eps)
    assert -total == registers["stream_sum"].bound
    assert squares == registers["square_sum"].bound
    assert 4096 * squares == registers["square_product"].bound
    assert variance == registers["variance"].bound


@requirement("BL2-NORM-03")
@always
@given(st.lists(st.integers(-128, 127), min_size=1, max_size=9))
def test_norm_sums_variance_is_that_of_all_pairs_and_bounded(x):
    variance = norm_sums(x, 0)[2]
    assert variance == sum((a - b) ** 2 for i, a in enumerate(x) for b in x[:i])
    assert variance <= (len(x) ** 2 // 4) * 255**2


@requirement("BL2-ROOT-02")
def test_integer_root_over_its_whole_result():
    """Every result of 16 bits, at the first and last argument that has it and in between."""
    for root in range(1 << 16):
        first, last = root * root, root * root + 2 * root
        for u in (first, first + root, last):
            assert integer_root(np.int64(u), np.int64(16)) == root == math.isqrt(u)


@requirement("BL2-ROOT-02")
@pytest.mark.parametrize("bits", [4, 5, 10, 24])
def test_integer_root_of_other_widths(bits):
    top = (1 << (2 * bits)) - 1
    rng = np.random.default_rng(26)
    cases = [*range(min(top, 1 << 12)), *corners(0, top), *rng.integers(0, top, 5000).tolist()]
    for u in cases:
        assert integer_root(np.int64(u), np.int64(bits)) == math.isqrt(u)


@requirement("BL2-ROOT-01", "BL2-ROOT-02", "BL2-ROOT-03")
def test_reciprocal_root_kernel_equals_the_specification_up_to_a_million():
    every = range(1, (1 << 20) + 1)
    assert roots(every, CONFIG) == [reciprocal_root(v, CONFIG) for v in every]


@BOTH
@requirement("BL2-ROOT-01", "BL2-ROOT-02", "BL2-ROOT-03", "BL2-ROOT-04")
def test_reciprocal_root_of_large_variances(config):
    """Corners and random V to the bound; ranges; the relative error to either side."""
    bits, bound = config.root_bits, config.registers["variance"].bound
    rng = np.random.default_rng(27)
    drawn = (rng.random(20_000) * bound.bit_length()).tolist()
    cases = [*corners(1, bound), *(max(1, min(bound, int(2**x))) for x in drawn)]
    found = roots(cases, config)
    assert found == [reciprocal_root(v, config) for v in cases]
    for v, (k, root, r) in zip(cases, found, strict=True):
        assert 1 << (bits - 1) <= root < 1 << bits
        assert 1 << (bits - 1) <= r <= 1 << bits
        assert abs(k) <= config.largest_root_shift
        error = r * r * v * (1 << 100) // (1 << 2 * (2 * bits - 1 + k))  # (1 + error)**2
        limits = (1 - 2.0 ** (1 - bits)) ** 2, (1 + 2.0 ** (1 - bits)) ** 2
        assert limits[0] <= error / 2.0**100 <= limits[1]


@requirement("BL2-ROOT-01", "BL2-ROOT-03")
def test_reciprocal_root_at_the_ends_of_its_results():
    """V = 1 has the smallest k and the largest r; so has every power of four."""
    assert reciprocal_root(1, CONFIG) == (-15, 32768, 65536)
    assert [reciprocal_root(4**e, CONFIG)[1:] for e in range(27)] == [(32768, 65536)] * 27
    assert reciprocal_root((1 << 32) - 1, CONFIG) == (0, 65535, 32768)


@requirement("BL2-NORM-05")
def test_normalizer_rounds_ties_of_both_signs_up():
    """N = -3, -1, 1, 3 of two channels, halved."""
    config = NetworkConfig(z_fraction_bits=0, root_bits=4)
    x, total, r = [2, 3, 4, 5], 7, 1 << 3
    z = [normalizer(value, total, 2, -3, r, config) for value in x]
    assert [2 * value - total for value in x] == [-3, -1, 1, 3]
    assert z == [-1, 0, 1, 2]
    assert [normalized([value, 7 - value], 7, -3, r, config)[0][0] for value in x] == z


def normed(x, eps, config):
    """z of tokens x (T, C) by the kernels."""
    found = sums(x, eps)
    k, _, r = zip(*roots([v for _, _, v in found], config), strict=True)
    return normalized(x, [s for s, _, _ in found], k, r, config)


def spec_normed(token, eps, config):
    total, _, variance = norm_sums(token, eps)
    k, _, r = reciprocal_root(variance, config)
    return [normalizer(x, total, len(token), k, r, config) for x in token]


def norm_tokens(config, seed):
    """Tokens with outliers, flat ones, one-hot ones, and full ones."""
    low, high, channels = config.stream_min, config.stream_max, 96
    rng = np.random.default_rng(seed)
    hot = np.full((4, channels), low)
    hot[np.arange(4), rng.integers(0, channels, 4)] = high
    flat = np.repeat(rng.integers(low, high, (5, 1)), channels, axis=1)
    flat[1:, 0] += [-1, 1, 0, 1]
    full = rng.integers(low, high + 1, (60, channels))
    outliers = outlier_tokens(seed, 120, channels, high)
    return np.concatenate([hot, np.clip(flat, low, high), full, outliers]).astype(np.int32)


@BOTH
@requirement("BL2-NORM-04", "BL2-NORM-05", "BL2-NORM-06")
def test_normalizer_kernel_equals_the_specification(config):
    x = norm_tokens(config, 28)
    for eps in (1, 12345):
        z = normed(x, eps, config)
        assert z.tolist() == [spec_normed(token, eps, config) for token in x.tolist()]
        assert np.abs(z).max() <= config.registers["z"].bound


@BOTH
@requirement("BL2-NORM-05", "BL2-NORM-06")
def test_normalizer_is_within_a_stated_distance_of_real_numbers(config):
    """1/2 LSB and |z| * 2**-(root_bits - 1), on tokens with outliers of 1000 times the median."""
    x, eps = norm_tokens(config, 29), 77
    real = x.astype(np.float64)
    channels = x.shape[1]
    deviation = np.sqrt(real.var(axis=1, keepdims=True) + eps / channels**2)
    expected = (real - real.mean(axis=1, keepdims=True)) / deviation * 2.0**config.z_fraction_bits
    allowed = 0.5 + np.abs(expected) * 2.0 ** (1 - config.root_bits) + 1e-4
    assert (np.abs(normed(x, eps, config) - expected) <= allowed).all()


@requirement("BL2-NORM-06")
def test_normalizer_of_the_most_distant_channel_is_next_to_its_bound():
    token = [32767] + [-32768] * 4095
    z = normed([token], 1, CONFIG)[0]
    bound = CONFIG.registers["z"].bound
    assert bound - 4 <= z[0] <= bound


@requirement("BL2-NORM-04", "BL2-NORM-05")
@always
@given(st.lists(st.integers(-4000, 4000), min_size=1, max_size=12), st.integers(-9000, 9000))
def test_normalizer_is_blind_to_a_shift_and_to_an_octave(token, shift):
    """x + a has the same z; so has 2x, with four times the EPS."""
    z = spec_normed(token, 3, CONFIG)
    assert spec_normed([x + shift for x in token], 3, CONFIG) == z
    assert spec_normed([2 * x for x in token], 12, CONFIG) == z


@requirement("BL2-NORMREQ-01")
def test_norm_requantizer_worked_by_hand():
    """Ties go up for both signs of G; H is inside the rounding; a gain of 0; both ends."""
    assert norm_codes(TIES, 1, 6, 1, 4) == [[x + 3 for x in ROUNDED]]
    assert norm_codes(TIES, -1, 6, 1, 4) == [[x + 3 for x in ROUNDED[::-1]]]
    assert norm_codes([1], 1, 1, 2, 4) == [[1]]
    assert norm_codes([-9, 9], 0, 8, 0, 4) == [[8, 8]]
    assert norm_codes([-9, 9], 1, 0, 0, 3) == [[0, 7]]


@BOTH
@requirement("BL2-NORMREQ-01")
def test_norm_requantizer_kernel_equals_the_specification(config):
    """Every z (every 300th of the widest) with gains and offsets at their ends."""
    bound, gain = config.registers["z"].bound, (1 << (config.gain_bits - 1)) - 1
    z = list(range(-bound, bound + 1, 300 if config is WIDEST else 1))
    high = (1 << (config.offset_bits - 1)) - 1
    for g, h, n in ((gain, high, 30), (-gain, -high, 0), (1, 0, 1), (-gain // 3, high // 5, 20)):
        expected = [norm_requantizer(x, g, h, n, 4) for x in z]
        assert norm_codes(z, g, h, n, 4) == [expected]
        stream = [stream_norm(x, g, h, n, config) for x in z]
        assert stream_norms(z, g, h, n, config) == [stream]


@requirement("BL2-NORMREQ-02")
def test_stream_norm_worked_by_hand():
    """Ties go up for both signs of G; H is inside the rounding; both ends of the stream."""
    assert stream_norms(TIES, 1, 6, 1, CONFIG) == [[x + 3 for x in ROUNDED]]
    assert stream_norms(TIES, -1, -6, 1, CONFIG) == [[x - 3 for x in ROUNDED[::-1]]]
    assert stream_norms([-20000, 20000, 7], 2, 0, 0, CONFIG) == [[-32768, 32767, 14]]


# Unit 29.


@requirement("BL2-ACT-01", "BL2-ACT-02")
def test_activation_worked_by_hand():
    """u = 8; ties; both ends of the table, and beyond them."""
    table = [x % 251 for x in range(1024)]
    assert activations([5], 52429, 15, table) == ([8], [(512 + 8) % 251])
    assert activations(TIES, 1, 1, table)[0] == ROUNDED
    u, codes = activations([-5000, -513, -512, 511, 512, 5000], 1, 0, table)
    assert u == [-512, -512, -512, 511, 511, 511]
    assert codes == [table[0]] * 3 + [table[1023]] * 3
    assert activation_input(5, 52429, 15, CONFIG) == 8
    assert [activation(u, table) for u in (-512, 8, 511)] == [table[0], table[520], table[1023]]


@BOTH
@requirement("BL2-ACT-01", "BL2-ACT-02")
def test_activation_kernel_equals_the_specification(config):
    """Every u, and corners and random accumulators."""
    table = np.random.default_rng(29).integers(0, 256, 1 << config.u_bits).tolist()
    every = list(range(config.u_min - 3, config.u_max + 4))
    for acc, m, n in ((every, [1] * len(every), [0] * len(every)), acc_cases(config, 29)):
        u = [activation_input(*each, config) for each in zip(acc, m, n, strict=True)]
        codes = [activation(value, table) for value in u]
        assert activations(acc, m, n, table) == (u, codes)


# Unit 30.


@requirement("BL2-MEAN-01", "BL2-MEAN-02", "BL2-MEAN-03", "BL2-MEAN-04")
def test_token_mean_worked_by_hand():
    """Three tokens of one channel; ties; both ends of p, of the code and of the stream."""
    assert means([[1000], [-300], [700]], 43691, 25, 0, 15) == ([1400], [2])
    assert mean_code(mean_sum([1000, -300, 700]), 43691, 25, 4) == 2
    assert means([TIES], 1, 1, -8, 7)[1] == ROUNDED
    assert mean_terms([TIES], 1, 0, 1, 20).tolist() == [ROUNDED]
    assert mean_terms([[-600, 600]], 1, 0, 0, 10).tolist() == [[-512, 511]]
    assert [mean_code(p, 1, 0, 4) for p in (-1, 15, 16)] == [0, 15, 15]
    assert [stream_mean(p, 1, 0, CONFIG) for p in (-40000, 40000)] == [-32768, 32767]


@BOTH
@requirement("BL2-MEAN-01", "BL2-MEAN-02", "BL2-MEAN-03", "BL2-MEAN-04")
def test_token_mean_kernel_equals_the_specification(config):
    rng, bound = np.random.default_rng(30), config.registers["z"].bound
    z, high = rng.integers(-bound, bound + 1, (97, 40)), (1 << (config.gain_bits - 1)) - 1
    g, n = rng.integers(-high, high + 1, 40), rng.integers(0, 31, 40)
    h = rng.integers(-(1 << 30), 1 << 30, 40)
    loaded = list(zip(g.tolist(), h.tolist(), n.tolist(), strict=True))
    terms = mean_terms(z, g, h, n, config.mean_bits)
    rows = [
        [mean_term(x, *each, config) for x, each in zip(row, loaded, strict=True)]
        for row in z.tolist()
    ]
    assert terms.tolist() == rows
    totals = [mean_sum(column) for column in zip(*rows, strict=True)]
    codes = [mean_code(total, 40001, 24, 4) for total in totals]
    assert means(terms, 40001, 24, 0, 15) == (totals, codes)
    stream = [stream_mean(total, 40001, 18, config) for total in totals]
    assert means(terms, 40001, 18, config.stream_min, config.stream_max) == (totals, stream)


@requirement("BL2-MEAN-02")
def test_token_mean_reaches_its_bound():
    low = -(1 << 19)
    total, _ = means([[low]] * CONFIG.max_tokens, 1, 0, 0, 15)
    assert -total[0] == CONFIG.registers["mean_sum"].bound


@requirement("BL2-MEAN-01", "BL2-MEAN-03")
def test_token_mean_is_within_a_stated_distance_of_real_numbers():
    """Of 196 tokens: half a code, and 2**-9 by the terms and 2**-16 of the mean by M."""
    rng = np.random.default_rng(31)
    codes = rng.normal(120, 60, (196, 64))
    terms = np.rint(codes * 256).astype(int)
    m, n = 42799, 31  # 1 / (196 * 256)
    assert abs(m / 2**n * 196 * 256 - 1) < 2**-16
    _, found = means(terms, m, n, 0, 255)
    assert (np.abs(np.array(found) - codes.mean(axis=0)) <= 0.5 + 2**-9 + 255 * 2**-16).all()


# Unit 32.


@requirement("BL2-GATE-02")
def test_gate_worked_by_hand():
    """Ties of both signs go up, the zero point behind the rounding; both ends."""
    assert gate_codes([17], [10], 51200, 21, 3, 4) == [[7]]
    assert gate_codes([1] * len(TIES), TIES, 1, 1, 5, 4) == [[x + 5 for x in ROUNDED]]
    assert gate_codes([-1] * len(TIES), TIES, 1, 1, 5, 4) == [[x + 5 for x in ROUNDED[::-1]]]
    assert gate_codes([2047, -2047, 2047], [32767, 32767, -32768], 65535, 0, 7, 4) == [[15, 0, 0]]


@BOTH
@requirement("BL2-GATE-02")
def test_gate_kernel_equals_the_specification(config):
    """Corners of g, x, M and n."""
    ends = [corners(-bound, bound) for bound in (config.registers["gate"].bound, config.stream_max)]
    gates, values = grid(ends[0], [*ends[1], config.stream_min])
    for m, n, zero, bits in (
        *((1, 0, 0, 4), (1, 1, 3, 4), (3, 7, 15, 4)),
        *(((1 << config.m_bits) - 1, n, 9, 8) for n in (0, 30, config.max_n - 1, config.max_n)),
    ):
        expected = [gate_code(g, x, m, n, zero, bits) for g, x in zip(gates, values, strict=True)]
        assert gate_codes(gates, values, m, n, zero, bits) == [expected]


@requirement("BL2-GATE-02")
def test_gate_product_reaches_its_bound():
    register = CONFIG.registers["gate_product"]
    assert register.bound == 2047 * 32768 * 65535 + (1 << 35)
    assert register.bits == 44


# Unit 31.


@requirement("BL2-HEAD-01", "BL2-HEAD-03", "BL2-HEAD-04")
def test_head_worked_by_hand():
    """Ties of the rounding go up; of equal logits the lower class is predicted."""
    assert logits([5], 52429, 5) == [8192]
    assert logits([5], 52429, 5, [-200]) == [7992]
    assert logits(TIES, 1, 1) == ROUNDED
    assert prediction([3, 7, -1, 7]) == 1
    assert prediction([-5, -5, -5]) == 0
    assert prediction([-5, -4]) == 1


@requirement("BL2-HEAD-01", "BL2-HEAD-04")
def test_head_kernel_equals_the_specification():
    acc, m, n = acc_cases(CONFIG, 31)
    fits = [each for each in zip(acc, m, n, strict=True) if abs(head(*each)) < 1 << 31]
    assert len(fits) > 40_000
    acc, m, n = (list(x) for x in zip(*fits, strict=True))
    assert logits(acc, m, n) == [head(*each) for each in fits]
    before = [(-1) ** place * min(place, (1 << 31) - 1 - abs(head(*each)))
              for place, each in enumerate(fits)]  # fmt: skip
    summed = [head(*each, start) for each, start in zip(fits, before, strict=True)]
    assert logits(acc, m, n, before) == summed


@requirement("BL2-HEAD-03")
@always
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_head_prediction_is_the_first_of_the_largest(values):
    assert prediction(values) == values.index(max(values)) == int(np.argmax(values))


JIT_OFF = """
import sys
sys.path.insert(0, {tests!r})
import test_network_units
test_network_units.small_inputs()
print("same")
"""


def small_inputs():
    """Every kernel against its specification: small inputs, in all configurations."""
    for config in CONFIGS.values():
        top = (1 << (config.gain_bits - 1)) - 1
        x = norm_tokens(config, 2)[::40]
        z = normed(x, 5, config)
        assert z.tolist() == [spec_normed(token, 5, config) for token in x.tolist()]
        g, h, n = grid([-top, -3, 0, 1, top // 3], [-(1 << 30), -7, 0, 1 << 30], [0, 1, 13, 30])
        z = np.resize(z, (1, len(g)))
        each = list(zip(z[0].tolist(), g, h, n, strict=True))
        assert norm_codes(z, g, h, n, 4) == [[norm_requantizer(*a, 4) for a in each]]
        assert stream_norms(z, g, h, n, config) == [[stream_norm(*a, config) for a in each]]
        terms = mean_terms(z, g, h, n, config.mean_bits)
        assert terms.tolist() == [[mean_term(*a, config) for a in each]]
        total, high = mean_sum(terms[0].tolist()), config.stream_max
        assert means(terms.T, 40001, 17, 0, 15) == ([total], [mean_code(total, 40001, 17, 4)])
        mean = stream_mean(total, 40001, 17, config)
        assert means(terms.T, 40001, 17, -high - 1, high) == ([total], [mean])
        for variance in corners(1, config.registers["variance"].bound):
            assert roots(variance, config) == [reciprocal_root(variance, config)]
        acc, m, n = ([*column[:150], *column[-150:]] for column in acc_cases(config, 3))
        each = list(zip(acc, m, n, strict=True))
        assert linear_codes(acc, m, n, 3, 4) == [linear_requantizer(*a, 3, 4) for a in each]
        added = [residual_adder(*a, 9, config) for a in each]
        count = sum(residual_sum(*a, 9) != b for a, b in zip(each, added, strict=True))
        assert residuals(acc, m, n, 9, config) == (added, count)
        table = [place % 251 for place in range(1 << config.u_bits)]
        u = [activation_input(*a, config) for a in each]
        assert activations(acc, m, n, table) == (u, [activation(value, table) for value in u])
        g, x = grid(corners(-4 * config.u_max, 4 * config.u_max), [config.stream_min, -3, 0, 7])
        found = [gate_code(*a, 40001, 17, 3, 4) for a in zip(g, x, strict=True)]
        assert gate_codes(g, x, 40001, 17, 3, 4) == [found]
        fits = [a for a in each if abs(head(*a)) < 1 << 31]
        assert logits(*zip(*fits, strict=True)) == [head(*a) for a in fits]
        pixels = [0, 1, 77, 255]
        codes = [image_requantizer(p, 40001, -(1 << 20), 15, config) for p in pixels]
        assert image_codes(pixels, 40001, -(1 << 20), 15, 8) == codes
    codes, weights = np.arange(24).reshape(4, 6), np.arange(-9, 9).reshape(3, 6)
    each = [[linear_accumulator(a, 7, b, 2) for b in weights.tolist()] for a in codes.tolist()]
    for kernel in (accumulators, words, bytewise):
        assert kernel(codes, 7, weights, 2).tolist() == each


def test_network_kernels_equal_the_specification_on_small_inputs():
    small_inputs()


def test_network_kernels_without_the_compiler_give_the_same_bits():
    """Small inputs, as plain Python; any warning, an overflow say, is an error."""
    script = JIT_OFF.format(tests=__file__.rpartition("/")[0])
    assert run_script(script, None, "-W", "error", NUMBA_DISABLE_JIT="1")[-1] == "same"
