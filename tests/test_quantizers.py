"""Quantizers, their ranges and scales, and the exact products of their codes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.published import PUBLISHED
from support.schemes import QUOTIENTS

from bitlog2.models.ptq import layers as exact
from bitlog2.models.ptq.layers import (
    IntegerConv2d,
    IntegerLinear,
    exact_linear,
    exact_matmul,
    int8_product_is_safe,
)
from bitlog2.models.ptq.levels import level_of, value_of
from bitlog2.models.ptq.quantizers import (
    PERCENTILES,
    CodeUniform,
    FloatMap,
    Log2Map,
    PublishedUniform,
    RowMaxMap,
    Sqrt2Map,
    best_delta,
    normalized_map,
    percentiles,
    search_range,
)
from bitlog2.models.zoo import architectures
from bitlog2.names import (
    CONTROLS,
    FLOAT_ONLY,
    MODEL_SCHEMES,
    NORMALIZED,
    USUAL_SCHEMES,
    map_bits,
)
from bitlog2.sim import SCHEMES

SHARED = Path(__file__).resolve().parents[2] / "shared"
HALF_17 = SCHEMES["BitLog2_Half_17"]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def input_of(name):
    return torch.from_numpy(PUBLISHED[f"input/{name}"])


def sqrt2_map(scheme, bits=4):
    return Sqrt2Map(bits, seventeen=scheme == "Sqrt2_17")


def is_published(found, key, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(found.numpy(), PUBLISHED[key], rtol=rtol, atol=atol, err_msg=key)


# Against the published outputs

PUBLISHED_SCHEMES = (
    "BitLog2_Single_16",
    "BitLog2_Single_17",
    "BitLog2_Half_16",
    "BitLog2_Half_17",
)
MAPS = ("attn_flat", "attn_peaky")


@pytest.mark.parametrize("channel", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", ["w2d", "a3d"])
def test_uniform_is_the_published_one(name, bits, channel):
    x = torch.from_numpy(PUBLISHED[f"uniform/{name}/x"])
    axis = {"per_tensor": None, "per_channel": 0 if name == "w2d" else -1}[channel]
    quantizer, key = PublishedUniform(bits, axis), f"uniform/{name}/b{bits}/{channel}"
    quantizer.observe(x)
    is_published(quantizer.delta, f"{key}/delta", rtol=1e-6)
    is_published(quantizer.zero_point, f"{key}/zero_point")
    is_published(quantizer(x), f"{key}/out", rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("scheme", PUBLISHED_SCHEMES)
def test_float_map_is_the_published_one(scheme, name):
    """The published search over Single's 50,000 candidates lands on float32 noise of 1e-4."""
    quantizer, x, key = Log2Map(SCHEMES[scheme]), input_of(name), f"{scheme}/{name}"
    quantizer.observe(x)
    single = "Single" in scheme
    is_published(value_of(quantizer.codes(x), SCHEMES[scheme]), f"{key}/dequantized")
    is_published(quantizer.codes(x), f"{key}/p")
    is_published(quantizer.delta, f"{key}/delta", rtol=1e-4 if single else 0)
    is_published(quantizer(x), f"{key}/output", rtol=1e-4 if single else 1e-6)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("scheme", FLOAT_ONLY)
def test_sqrt2_map_is_the_published_one(scheme, name):
    quantizer, x = sqrt2_map(scheme), input_of(name)
    quantizer.observe(x)
    is_published(quantizer.delta, f"{scheme}/{name}/delta", rtol=1e-6)
    is_published(quantizer(x), f"{scheme}/{name}/output", rtol=1e-6)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of published data is not there")
def test_published_data_are_those_of_the_source():
    with np.load(SHARED / "reference.npz") as source:
        assert set(source.files) == set(PUBLISHED.files)
        assert all(np.array_equal(source[key], PUBLISHED[key]) for key in source.files)
    kept = Path(architectures.__file__).parent / "published_accuracy.csv"
    assert kept.read_text().split() == (SHARED / "published_accuracy.csv").read_text().split()


# Uniform codes


def test_uniform_published_zero_point_may_leave_the_codes():
    quantizer = PublishedUniform(4)
    quantizer.observe(torch.linspace(5.0, 6.0, 1000))
    assert quantizer.zero_point.item() < 0


@pytest.mark.parametrize(("low", "high"), [(5.0, 6.0), (-6.0, -5.0), (-1.0, 3.0)])
def test_uniform_integer_zero_point_is_a_code(low, high):
    quantizer = CodeUniform(4)
    quantizer.observe(torch.linspace(low, high, 1000))
    assert quantizer.zero_point.item() in range(16)


def test_uniform_integer_codes_are_integers_of_four_bits():
    quantizer, x = CodeUniform(4), drawn(1000) * 3
    quantizer.observe(x)
    assert set(quantizer(4 * x).tolist()) == set(map(float, range(16)))


@pytest.mark.parametrize(
    ("kind", "expected"), [(CodeUniform, [1, 2, 3, 0]), (PublishedUniform, [0, 2, 2, 0])]
)
def test_uniform_integer_rounds_ties_up_and_published_to_even(kind, expected):
    quantizer = kind(4)
    quantizer.freeze(torch.tensor(1.0), torch.tensor(0.0))
    assert quantizer(torch.tensor([0.5, 1.5, 2.5, -0.5])).tolist() == expected


@pytest.mark.parametrize(
    "quantizer", [CodeUniform(4), PublishedUniform(4), Log2Map(HALF_17), sqrt2_map("Sqrt2_16")]
)
def test_quantizers_uncalibrated_are_refused(quantizer):
    with pytest.raises(RuntimeError, match="not calibrated"):
        quantizer(torch.rand(3, 4))


CONSTANT_CHANNEL = torch.stack([drawn(50), torch.full((50,), 2.0), drawn(50)])


@pytest.mark.parametrize(
    ("quantizer", "values", "text"),
    [
        (CodeUniform(4), torch.tensor([1.0, float("nan")]), "finite"),
        (CodeUniform(4), torch.tensor([1.0, float("inf")]), "finite"),
        (PublishedUniform(4, 0), CONSTANT_CHANNEL, "channel 1 of 3"),
        (sqrt2_map("Sqrt2_16"), torch.full((4, 9), float("nan")), "must be finite and hold values"),
        (sqrt2_map("Sqrt2_16"), torch.zeros(4, 9), "must be finite and hold values above zero"),
        (Log2Map(SCHEMES["BitLog2_Half_16"]), torch.full((9,), 0.001), "vanish under BitLog2_Half"),
    ],
    ids=["nan", "inf", "constant channel", "map of nan", "map of zeros", "vanished map"],
)
def test_quantizers_refuse_values_that_give_no_scale(quantizer, values, text):
    with pytest.raises(ValueError, match=text):
        quantizer.observe(values)


# The base-sqrt(2) code


def frozen(scheme, bits=4):
    quantizer = sqrt2_map(scheme, bits)
    quantizer.delta = torch.tensor(1.0)
    return quantizer


@pytest.mark.parametrize(
    ("scheme", "bits", "levels"),
    [("Sqrt2_16", 4, 16), ("Sqrt2_17", 4, 17), ("Sqrt2_16", 6, 64), ("Sqrt2_17", 6, 65)],
)
def test_sqrt2_map_number_of_levels(scheme, bits, levels):
    x = torch.cat([torch.zeros(1), torch.logspace(-12, 0, 200_000)])
    assert len(frozen(scheme, bits)(x).unique()) == levels


def test_sqrt2_map_values_are_powers_of_root_two():
    x = torch.tensor([2.0 ** -(code / 2) for code in range(15)])
    expected = [
        2.0 ** -(c // 2) if c % 2 == 0 else math.sqrt(2) / 2 ** ((c + 1) // 2) for c in range(15)
    ]
    torch.testing.assert_close(frozen("Sqrt2_16")(x), torch.tensor(expected), rtol=1e-6, atol=0)


def test_sqrt2_map_sixteen_moves_the_last_code_up():
    """The published quirk: the zero mask comes before the clamp, so code 15 becomes 14."""
    x = torch.tensor([2.0**-7.5])
    assert frozen("Sqrt2_16")(x).item() == 2.0**-7
    assert frozen("Sqrt2_17")(x).item() == pytest.approx(2.0**-7.5)


@pytest.mark.parametrize("scheme", FLOAT_ONLY)
def test_sqrt2_map_code_sixteen_is_zero(scheme):
    assert frozen(scheme)(torch.tensor([2.0**-8, 0.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("real", "value"), [(8.5, 2.0**-4), (9.5, 2.0**-5), (10.5, 2.0**-5), (11.5, 2.0**-6)]
)
def test_sqrt2_map_codes_round_ties_to_even(real, value):
    """Neighbours of 2**-(real / 2) for some of which -2 log2(x), as computed, is the tie itself."""
    start = torch.tensor(2.0 ** -(real / 2)).view(torch.int32)
    near = (start + torch.arange(-8, 9, dtype=torch.int32)).view(torch.float32)
    tie = near.log2() * -2 == real
    assert set(frozen("Sqrt2_16")(near)[tie].tolist()) == {value}


# Levels, and the scale of a map


@pytest.mark.parametrize("scheme", QUOTIENTS.values(), ids=QUOTIENTS)
def test_levels_are_those_of_the_largest_value_not_above(scheme):
    """For every p there is."""
    p = torch.arange(scheme.int_max, dtype=torch.float32)
    values = torch.tensor(scheme.values, dtype=torch.float32)
    expected = torch.bucketize(p, values, right=True) - 1
    assert torch.equal(level_of(p, scheme).long(), expected)
    assert torch.equal(value_of(p, scheme), values[expected])


def test_levels_by_hand():
    """Half: 1 2 3 4 6 8 12; Single: powers of two."""
    p = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12])
    half, single = SCHEMES["BitLog2_Half_16"], SCHEMES["BitLog2_Single_16"]
    assert level_of(p, half).tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7]
    assert value_of(p, half).tolist() == [0, 1, 2, 3, 4, 4, 6, 6, 8, 8, 12]
    assert level_of(p, single).tolist() == [0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4]


def test_float_map_none_leaves_the_map():
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(FloatMap()(x), x)


def weights_of(name, row):
    return normalized_map(name).weights(torch.tensor([row])).tolist()[0]


def test_normalized_three_bits_by_hand():
    """Edges: 0.8690 above 3/4, 0.6166 above 1/2, then 0.7213 of a power; zero below 0.01065."""
    row = [0.4, 0.4 * 0.8, 0.4 * 0.6, 0.4 * 0.3, 0.4 * 0.1, 0.4 * 0.011, 0.4 * 0.010]
    assert weights_of("RowMax_8", row) == [1, 0.75, 0.5, 0.25, 0.125, 1 / 32, 0]


@pytest.mark.parametrize(
    ("name", "row", "coded"),
    [
        ("BitLog2_Half_17_normalized", [0.6, 0.4], [192 / 320, 128 / 320]),
        ("BitLog2_Single_16_normalized", [0.6, 0.4], [16384 / 24576, 8192 / 24576]),
        ("BitLog2_Half_16_normalized", [1 / 300] * 300, [0.0] * 300),
    ],
)
def test_normalized_published_codes_by_hand(name, row, coded):
    """Values over their sum; a row flatter than the code is zero, and no NaN."""
    torch.testing.assert_close(normalized_map(name)(torch.tensor(row)), torch.tensor(coded))


@pytest.mark.parametrize("name", NORMALIZED)
def test_normalized_rows_sum_to_one(name):
    coded = normalized_map(name)((4 * drawn(20, 30)).softmax(-1))
    torch.testing.assert_close(coded.sum(-1), torch.ones(20))


def test_normalized_online_codes_each_key_beside_the_largest_until_it():
    two_pass, rows = RowMaxMap(SCHEMES["RowMax_16"]), (3 * drawn(50, 40)).softmax(-1)
    found = normalized_map("RowMax_16_online").weights(rows)
    for row, weights in zip(rows, found, strict=True):
        for j in range(len(row)):
            reference = 2.0 ** math.ceil(math.log2(row[: j + 1].max()))
            pair = torch.tensor([reference, row[j]])
            assert weights[j] == two_pass.weights(pair)[1] * reference


def test_normalized_online_is_two_passes_where_the_largest_is_first_and_a_power():
    row = torch.tensor([0.5, 0.21, 0.2, 0.05, 0.03, 0.009, 0.001])
    online, two_pass = normalized_map("RowMax_16_online"), normalized_map("RowMax_16")
    assert torch.equal(online.weights(row), two_pass.weights(row) / 2)
    assert torch.equal(online(row), two_pass(row))


def a_map(scheme, seed, sharpness):
    x = (drawn(40, 50, seed=seed).double() * sharpness).softmax(-1)
    p = (x * scheme.int_max).floor().clamp(max=scheme.int_max - 1)
    values = torch.tensor(scheme.values, dtype=torch.float64)
    level = torch.bucketize(p, values, right=True) - 1
    return level, x, lambda delta: float(((x - values[level] / delta) ** 2).sum())


@pytest.mark.parametrize("sharpness", [1.0, 3.0, 9.0])
@pytest.mark.parametrize("name", ["BitLog2_Half_16", "BitLog2_Half_17"])
def test_map_scale_equals_the_search_over_every_integer(name, sharpness):
    scheme = SCHEMES[name]
    level, x, error = a_map(scheme, 0, sharpness)
    seen = scheme.values[int(level.max())]
    search = min(range(seen, scheme.int_max + 1), key=error)
    assert best_delta(level, x, scheme, largest=scheme.int_max) == search


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_map_scale_beats_both_neighbours(scheme):
    level, x, error = a_map(scheme, 1, 4.0)
    best = best_delta(level, x, scheme, largest=scheme.int_max)
    assert min((best - 1, best, best + 1), key=lambda delta: (error(delta), delta)) == best


@pytest.mark.parametrize(("value", "largest", "delta"), [(0.1, 383, 383), (1.0, 384, 256)])
def test_map_scale_is_from_the_largest_value_to_its_limit(value, largest, delta):
    level, x = torch.full((10,), 16), torch.full((10,), value)
    assert best_delta(level, x, HALF_17, largest=largest) == delta


@pytest.mark.parametrize(
    ("scheme", "at_4", "at_6"),
    [
        ("Sqrt2_16", 4, 6),
        ("Sqrt2_17", 5, 7),
        ("BitLog2_Single_16", 4, 4),
        ("BitLog2_Single_17", 5, 5),
        ("BitLog2_Half_16", 4, 4),
        ("BitLog2_Half_17", 5, 5),
        ("uniform_4", 4, 4),
        ("none", None, None),
        ("RowMax_16", 4, 4),
        ("RowMax_8", 3, 3),
        ("RowMax_16_online", 4, 4),
        ("BitLog2_Half_17_normalized", 5, 5),
    ],
)
def test_map_schemes_bits_count_the_zero_flag(scheme, at_4, at_6):
    assert (map_bits(scheme, 4), map_bits(scheme, 6)) == (at_4, at_6)


def test_map_schemes_are_the_published_ones_and_two_controls():
    assert (*FLOAT_ONLY, *SCHEMES, *CONTROLS) == USUAL_SCHEMES
    assert (*USUAL_SCHEMES, *NORMALIZED) == MODEL_SCHEMES
    assert set(PUBLISHED_SCHEMES) <= SCHEMES.keys()
    assert len(CONTROLS) == 2


# Percentiles and the range search


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1001, 1002, 3001, 5001])
def test_ranges_percentile_of_any_size_is_that_of_torch(size):
    x = drawn(3, size, seed=size)
    lower, upper = (0.5, 0.001, 1.0 - 0.999, 1.0 - 0.99999, 0.0), (*PERCENTILES, 1.0)
    for fractions in (lower, upper, upper[::-1], (*lower, *upper), (*upper, *lower), upper[-1:]):
        for fraction, found in zip(fractions, percentiles(x, fractions), strict=True):
            assert torch.equal(found, torch.quantile(x, fraction, dim=1)), fraction


def test_ranges_percentile_of_many_values_has_the_exact_rank():
    """More values than the 2**24 that torch.quantile of older releases takes: ranks are known."""
    n = 17 << 20
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    x = (order - n // 2).float().unsqueeze(0)  # consecutive integers, all exact in float32
    rank = float(np.float32(0.99999)) * (n - 1)
    assert percentiles(x, [0.99999])[0].item() == np.float32(rank - n // 2)


def test_ranges_outliers_are_cut_when_that_lowers_the_error():
    x = drawn(1, 100_000)
    x[0, :3] = 60.0
    _, high = search_range(x, 4, contain_zero=False)
    assert high.item() < 10


def test_ranges_channels_are_searched_apart():
    x = drawn(5, 4000) * torch.arange(1, 6).unsqueeze(1)
    low, high = search_range(x, 4, contain_zero=False)
    alone = [search_range(row.unsqueeze(0), 4, contain_zero=False) for row in x]
    assert low.tolist() == [pair[0].item() for pair in alone]
    assert high.tolist() == [pair[1].item() for pair in alone]


def test_ranges_are_widened_to_contain_zero_when_asked():
    low, high = search_range(torch.linspace(5, 6, 1000).unsqueeze(0), 4, contain_zero=True)
    assert (low.item(), high.item() > 5.9) == (0.0, True)


# Exact products


def integers(reach, *shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-reach, reach + 1, shape, generator=generator)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("reach", "keys"), [(15, 250), (255, 250), (15, 3000)])
def test_exact_product_equals_the_integer_one(reach, keys, autocast):
    a, b = integers(reach, 3, 40, keys), integers(reach, 3, keys, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        product = exact_matmul(a.float(), b.float(), reach * reach * keys)
    assert torch.equal(product.long(), a @ b)


def test_exact_product_is_exact_beyond_float32():
    """257 * 257 * 1025 passes 2**24, where float32 begins to lose units."""
    a, b = torch.full((1, 1025), 257), torch.full((1025, 1), 257)
    product = exact_matmul(a.float(), b.float(), 257 * 257 * 1025)
    assert (product.item(), product.dtype) == (257 * 257 * 1025, torch.float64)


def test_exact_product_refuses_what_no_float_holds():
    with pytest.raises(ValueError, match="bound must be below 2"):
        exact_matmul(torch.ones(1, 1), torch.ones(1, 1), 1 << 53)


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize(("a_bits", "w_bits"), [(4, 4), (6, 6), (7, 7), (8, 4), (8, 8)])
def test_exact_linear_equals_the_integer_product(monkeypatch, a_bits, w_bits, works):
    """Extremes and random codes, by int8 where that is safe, else by floats; odd shapes."""
    monkeypatch.setattr(exact, "_int8_product_works", lambda: works)
    x_max, w_max = 2**a_bits - 1, 2**w_bits - 1
    for tokens, inputs, outputs in ((1, 1, 1), (3, 65, 5), (50, 384, 96)):
        x, weight = integers(x_max, 2, tokens, inputs), integers(w_max, outputs, inputs)
        x[0], weight[0] = x_max, w_max
        product = exact_linear(x.float(), weight.to(torch.int16), x_max, w_max)
        assert torch.equal(product.double(), (x @ weight.t()).double())


def test_exact_linear_rounds_large_accumulators_to_the_nearest_float32():
    x, weight = torch.full((1, 3073), 255.0), torch.full((1, 3073), 255, dtype=torch.int16)
    product = exact_linear(x, weight, 255, 255)
    assert product.item() == torch.tensor(255 * 255 * 3073).float().item()


def test_exact_int8_is_taken_where_pairs_fit_16_bits():
    """Bytes made unsigned by adding 128, times signed bytes, two of them summed in int16."""
    safe = {bits for bits in range(2, 9) if int8_product_is_safe(2**bits - 1, 2**bits - 1)}
    assert safe == {2, 3, 4, 5, 6}
    assert 2 * (128 + 63) * 63 <= 32767 < 2 * (128 + 127) * 127


def test_exact_int8_that_saturates_or_is_missing_is_not_used(monkeypatch):
    """A product with 16-bit saturation in it is found out before it is used."""

    def saturating(a, b):
        pairs = (a.int().unsqueeze(2) * b.int().unsqueeze(0))[:, ::2].clamp(-3000, 3000)
        return pairs.sum(1)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not exact._int8_product_works.__wrapped__()
    monkeypatch.delattr(torch, "_int_mm")
    assert not exact._int8_product_works.__wrapped__()


@pytest.mark.parametrize(("a_bits", "w_bits"), [(4, 4), (6, 6), (2, 6), (8, 7)])
def test_packed_linear_equals_the_integer_product(a_bits, w_bits):
    x_max, w_max = 2**a_bits - 1, 2**w_bits - 1
    for tokens, inputs, outputs in ((1, 1, 1), (3, 65, 5), (50, 384, 96)):
        x, weight = integers(x_max, 2, tokens, inputs).abs(), integers(w_max, outputs, inputs)
        x[0], weight[0] = x_max, w_max
        bound = x_max * w_max * inputs
        constant = integers((1 << 24) - 1 - bound, outputs)
        if not exact.PackedLinear.is_exact(x_max, w_max, (1 << 24) - 1):
            assert not exact.int8_product_is_safe(x_max, w_max)  # this processor saturates
            return
        packed = exact.PackedLinear(weight.to(torch.int8), constant)
        assert torch.equal(packed(x.to(torch.uint8)).long(), x @ weight.t() + constant)


def test_packed_linear_is_refused_beyond_its_types():
    assert not exact.PackedLinear.is_exact(15, 15, 1 << 24)
    assert not exact.PackedLinear.is_exact(256, 15, 1)
    assert not exact.PackedLinear.is_exact(15, 128, 1)


def test_packed_linear_that_rounds_or_is_missing_is_not_used(monkeypatch):
    """An odd sum between 2**23 and 2**24 is rounded by what keeps 23 bits."""
    whole = exact.PackedLinear.__call__
    monkeypatch.setattr(
        exact.PackedLinear, "__call__", lambda self, x: (whole(self, x) / 2).floor_().mul_(2)
    )
    assert not exact._packed_linear_works.__wrapped__()

    def saturating(self, x):
        weight, constant = self._made_of
        pairs = (x.int().unsqueeze(2) * weight.t().int().unsqueeze(0)).split(2, 1)
        return sum(pair.sum(1).clamp(-32768, 32767) for pair in pairs) + constant

    monkeypatch.setattr(exact.PackedLinear, "__call__", saturating)
    assert exact._packed_linear_works.__wrapped__()
    assert not exact._packed_linear_works.__wrapped__(255, 127)

    def missing(*given):
        raise AttributeError("no operator qlinear_prepack")

    monkeypatch.setattr(exact.PackedLinear, "__init__", missing)
    assert not exact._packed_linear_works.__wrapped__()


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("bits", [(4, 4), (6, 6), (8, 4), (8, 8)])
def test_exact_scores_equal_the_integer_product(monkeypatch, bits, works):
    """Of small heads and of large ones, by int8 where that is safe."""
    monkeypatch.setattr(exact, "_int8_product_works", lambda: works)
    largest = tuple(2**each - 1 for each in bits)
    for rows, keys, channels in ((3, 5, 2), (128, 129, 64)):
        q = integers(largest[0], 2, 2, rows, channels).abs()
        k = integers(largest[1], 2, 2, keys, channels).abs()
        zeros = largest[0] // 2, largest[1]
        expected = (q - zeros[0]) @ (k - zeros[1]).transpose(-2, -1)
        bound = largest[0] * largest[1] * channels
        for kind in (torch.uint8, torch.float32):
            score = exact.exact_scores(q.to(kind), k.to(kind), zeros, largest, bound)
            assert torch.equal(score.long(), expected)


# Layers on integer codes


def calibrated_linear(a_bits=4):
    layer, x = IntegerLinear(drawn(24, 40), drawn(24, seed=1), 4, a_bits), drawn(7, 11, 40, seed=2)
    layer.calibrate(x)
    return layer, x


def test_integer_layers_linear_is_the_scaled_integer_product():
    layer, x = calibrated_linear()
    codes, weight = layer.input_quantizer(x), layer.weight_quantizer(layer.weight)
    assert set(weight.unique().tolist()) <= set(map(float, range(16)))
    zero, zeros = layer.input_quantizer.zero_point, layer.weight_quantizer.zero_point
    acc = (codes.long() - zero.long()) @ (weight.long() - zeros.long()).t()
    scale = layer.input_quantizer.delta * layer.weight_quantizer.delta.flatten()
    assert torch.equal(layer(x), acc.float() * scale + layer.bias)
    assert torch.equal(layer.from_codes(codes.long()), layer(x))


def test_integer_layers_output_is_near_the_real_layer():
    layer, x = calibrated_linear(a_bits=8)
    real = F.linear(x, layer.weight, layer.bias)
    assert (layer(x) - real).norm() / real.norm() < 0.15


@pytest.mark.parametrize("stride", [(4, 4), (2, 2)])
def test_integer_layers_convolution_is_that_of_dequantized_values(stride):
    layer, x = IntegerConv2d(drawn(6, 3, 4, 4), drawn(6, seed=1), stride, 4, 8), drawn(2, 3, 16, 16)
    layer.calibrate(x)
    values = layer.input_quantizer.centred(x).double() * layer.input_quantizer.delta
    weight = layer.weight_quantizer.centred(layer.weight).double() * layer.weight_quantizer.delta
    expected = F.conv2d(values, weight, layer.bias.double(), stride)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-5)
