"""Unit 6: BL2-LOG2-01 to -06."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import SCHEMES, AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer as comparing_kernel
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer_dividing as dividing_kernel
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import log2_quantizer, log2_quantizer_comparing
from bitlog2.sim.spec.rounding import leading_one

FULL, MOST = 1 << 16, 1 << 26


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def run_kernel(kernel, e, s: int, scheme: Scheme) -> np.ndarray:
    e = np.asarray(e, np.int32)
    level = np.empty(e.shape, np.uint8)
    kernel(e, np.int64(s), scheme_constants(scheme), level)
    return level


def threshold_cases(scheme: Scheme) -> list[tuple[int, int]]:
    """(e, s) with e * A / s at each integer threshold T of the code, and just beside it."""
    cases = set()
    for value in [*scheme.values[1:], scheme.int_max - 1, scheme.int_max]:
        for e in (1, 2, 3, 255, 4097, 40503, FULL - 1, FULL):
            s = e * scheme.int_max // value
            near = range(s - 2, s + 3)
            cases |= {(e, x) for x in near if max(e, 1) <= x <= MOST}
    for bit in range(27):
        for s in ((1 << bit) + step for step in (-2, -1, 0, 1, 2)):
            cases |= {(e, s) for e in (0, 1, 2, 3, s - 1, s) if 0 <= e <= s and s > 0}
    return sorted(cases)


def random_rows(seed: int, rows: int, keys: int):
    """Rows (e, s) of the datapath's domain: e of every magnitude and next to the thresholds."""
    rng = np.random.default_rng(seed)
    for _ in range(rows):
        s = int(2.0 ** rng.uniform(16, 26))
        e = (2.0 ** rng.uniform(0, 16, keys)).astype(np.int64)
        values = rng.choice(384, keys // 2)
        e[: keys // 2] = values * s // 384 + rng.integers(-1, 2, keys // 2)
        yield np.clip(e, 0, FULL), s


@pytest.mark.requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
@pytest.mark.parametrize(
    ("name", "e", "s", "level"),
    [
        ("BitLog2_Half_17", 2093, 88809, 6),
        ("BitLog2_Half_17", 14702, 88809, 11),
        ("BitLog2_Half_17", 14, 88809, 0),
        ("BitLog2_Half_16", 65536, 131072, 14),
        ("BitLog2_Half_16", 98304, 131072, 15),
        ("BitLog2_Single_16", 65536, 131072, 15),
        ("BitLog2_Single_16", 65536, 65537, 15),
        ("BitLog2_Single_17", 65536, 131072, 16),
        ("BitLog2_Single_17", 1, 65536, 1),
        ("BitLog2_Single_17", 1, 65537, 0),
    ],
)
def test_log2_quantizer_worked_by_hand(name: str, e: int, s: int, level: int):
    """2093 * 384 / 88809 = 9.05: 0b1001; 14702: 63.6, 0b111111; 14: 0.06."""
    assert log2_quantizer(e, s, SCHEMES[name]) == level
    assert log2_quantizer_comparing(e, s, SCHEMES[name]) == level


@pytest.mark.requirement("BL2-LOG2-01", "BL2-LOG2-05")
@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("BitLog2_Single_16", 15),
        ("BitLog2_Single_17", 16),
        ("BitLog2_Half_16", 15),
        ("BitLog2_Half_17", 16),
    ],
)
def test_log2_quantizer_of_a_one_hot_row_is_the_top_level(name: str, level: int):
    """P = A clamped to A - 1."""
    scheme = SCHEMES[name]
    for s in (FULL, FULL + 1, 3 * FULL // 2, MOST):
        assert log2_quantizer(s, s, scheme) == level
        assert log2_quantizer_comparing(s, s, scheme) == level
        assert run_kernel(comparing_kernel, [s], s, scheme).item() == level


@pytest.mark.requirement("BL2-LOG2-02", "BL2-LOG2-03")
def test_log2_quantizer_level_is_the_largest_value_not_above_p(scheme: Scheme):
    """For every p, by the list of values."""
    for p in range(scheme.int_max):
        level = log2_quantizer(p, scheme.int_max, scheme)
        assert scheme.values[level] <= p
        assert level == scheme.top_level or p < scheme.values[level + 1]


@pytest.mark.requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_log2_quantizer_forms_agree_exhaustively_at_p_7(scheme: Scheme):
    """P = 7, N <= 64, every s of the datapath and every e."""
    e = np.arange((1 << 7) + 1, dtype=np.int32)
    for s in range(1 << 7, (64 << 7) + 1):
        comparing = run_kernel(comparing_kernel, e, s, scheme)
        dividing = run_kernel(dividing_kernel, e, s, scheme)
        assert np.array_equal(comparing, dividing), s


def test_log2_quantizer_forms_agree_exhaustively_on_small_sums(scheme: Scheme):
    """Below the datapath's smallest sum, too: every 0 <= e <= s <= 256, all four voices."""
    for s in range(1, 257):
        e = list(range(s + 1))
        expected = [log2_quantizer(x, s, scheme) for x in e]
        assert [log2_quantizer_comparing(x, s, scheme) for x in e] == expected
        assert run_kernel(comparing_kernel, e, s, scheme).tolist() == expected
        assert run_kernel(dividing_kernel, e, s, scheme).tolist() == expected


def test_log2_quantizer_voices_agree_at_thresholds(scheme: Scheme):
    for e, s in threshold_cases(scheme):
        expected = log2_quantizer(e, s, scheme)
        assert log2_quantizer_comparing(e, s, scheme) == expected, (e, s)
        assert run_kernel(comparing_kernel, [e], s, scheme).item() == expected, (e, s)
        assert run_kernel(dividing_kernel, [e], s, scheme).item() == expected, (e, s)


@pytest.mark.requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_log2_quantizer_forms_agree_on_ten_million_random_cases(scheme: Scheme):
    """2.5 million for each scheme, kernel against kernel."""
    for e, s in random_rows(61, 500, 5000):
        comparing = run_kernel(comparing_kernel, e, s, scheme)
        dividing = run_kernel(dividing_kernel, e, s, scheme)
        assert np.array_equal(comparing, dividing), s


def test_log2_quantizer_kernel_equals_spec_on_a_million_random_cases(scheme: Scheme):
    for e, s in random_rows(62, 250, 1000):
        expected = [log2_quantizer(x, s, scheme) for x in e.tolist()]
        assert run_kernel(comparing_kernel, e, s, scheme).tolist() == expected


@pytest.mark.requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_log2_quantizer_spec_forms_agree_on_random_cases(scheme: Scheme):
    """10**5 for each scheme."""
    for e, s in random_rows(63, 1000, 100):
        for x in e.tolist():
            assert log2_quantizer_comparing(x, s, scheme) == log2_quantizer(x, s, scheme)


def test_log2_quantizer_kernel_holds_the_widest_configuration(scheme: Scheme):
    """P = 20 and N = 65536: sums up to 2**36."""
    rng = np.random.default_rng(64)
    for s in [(1 << 36), (1 << 36) - 1, *(int(2.0**x) for x in rng.uniform(20, 36, 200))]:
        e = np.append((2.0 ** rng.uniform(0, 20, 200)).astype(np.int64), [0, 1, 1 << 20])
        expected = [log2_quantizer(x, s, scheme) for x in e.tolist()]
        assert run_kernel(comparing_kernel, e, s, scheme).tolist() == expected


def widest_comparison(e: int, s: int, scheme: Scheme) -> int:
    """Largest number that the narrow comparing form of BL2-LOG2-06 puts on a comparator."""
    x, a = scheme.odd_factor * e, scheme.base_shift
    if e == 0 or leading_one(x) + a < leading_one(s):
        return 0
    k = leading_one(x) + a - leading_one(s)
    sides = [x << max(a - k, 0), s << max(k - a, 0)]
    k -= sides[0] < sides[1]
    if scheme.half and k >= 1:
        up = a + 1 - k
        sides += [x << max(up, 0), (3 * s) << max(-up, 0)]
    return max(sides)


@pytest.mark.requirement("BL2-LOG2-06")
def test_log2_quantizer_comparisons_fit_28_bits(scheme: Scheme):
    """On random rows and at the thresholds of the datapath's domain."""
    bound = AttentionConfig(scheme=scheme.name).registers["compare"].bound
    assert bound < 1 << 28
    cases = [(e, s) for e, s in threshold_cases(scheme) if e <= FULL <= s]
    cases += [(x, s) for e, s in random_rows(65, 100, 200) for x in e.tolist()]
    assert max(widest_comparison(e, s, scheme) for e, s in cases) <= bound


@pytest.mark.requirement("BL2-LOG2-06")
def test_log2_quantizer_comparisons_fit_exhaustively_at_p_4(scheme: Scheme):
    """P = 4, N = 32 and each N on the way, where s is at most N * 2**P."""
    for s in range(16, 32 * 16 + 1):
        keys = -(-s // 16)
        assert max(widest_comparison(e, s, scheme) for e in range(17)) <= 4 * keys * 16 - 2


@given(st.integers(1, MOST), st.integers(0, FULL), st.sampled_from(sorted(SCHEMES)))
@settings(deadline=None, derandomize=True)
def test_log2_quantizer_never_falls_with_e(s: int, e: int, name: str):
    e = min(e, s - 1)
    assert log2_quantizer(e, s, SCHEMES[name]) <= log2_quantizer(e + 1, s, SCHEMES[name])


@given(st.lists(st.integers(0, FULL), min_size=1, max_size=60), st.sampled_from(sorted(SCHEMES)))
@settings(deadline=None, derandomize=True)
def test_log2_quantizer_values_of_a_row_sum_to_at_most_int_max(e: list[int], name: str):
    scheme = SCHEMES[name]
    e = [*e, FULL]
    total = sum(e)
    assert sum(scheme.values[log2_quantizer(x, total, scheme)] for x in e) <= scheme.int_max


@pytest.mark.parametrize(("name", "largest"), [("BitLog2_Half_16", 256), ("BitLog2_Half_17", 384)])
def test_log2_quantizer_half_loses_a_uniform_row_beyond_int_max_keys(name: str, largest: int):
    """SPEC.md, section 8."""
    assert log2_quantizer(FULL, largest * FULL, SCHEMES[name]) == 1
    assert log2_quantizer(FULL, (largest + 1) * FULL, SCHEMES[name]) == 0
