"""The C model of `golden/c`, unit by unit: BL2-NUM-01, -02, -05, -06 and what each test names."""

import ctypes
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from c_model import (
    COMPILERS,
    OK,
    SOURCE,
    STATUS,
    CModel,
    Widths,
    build_library,
    c_config,
    library,
)
from c_rows import MUTANTS, random_config

from bitlog2.sim import SCHEMES, AttentionConfig, LayerParams
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.kernel.log2_quantizer import log2_quantizer as kernel
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import (
    code_register,
    distance,
    exp2,
    log2_quantizer,
    output_requantizer,
    pack_row,
    row_max,
    row_sum,
    score_accumulator,
    score_requantizer,
    shift_add,
)

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler: none of gcc, clang, cc")

WIDE = AttentionConfig(
    **{f"{name}_bits": 8 for name in "qkvo"},
    **{"scheme": "BitLog2_Single_17", "m_bits": 24, "max_n": 48, "m2_bits": 24, "max_n2": 48},
    **{"t_bits": 24, "table_bits": 20, "max_tokens": 65536, "max_head_dim": 1024},
)
NARROW = AttentionConfig(
    "BitLog2_Half_16", q_bits=2, k_bits=3, v_bits=2, o_bits=2, t_bits=8, table_bits=4, m_bits=4
)
CONFIGS = {"default": AttentionConfig(), "wide": WIDE, "narrow": NARROW}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> AttentionConfig:
    return CONFIGS[request.param]


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def corners(low: int, high: int) -> list[int]:
    """Powers of two and their neighbours, of both signs, and the ends."""
    powers = {sign * (1 << bit) for sign in (-1, 1) for bit in range(high.bit_length() + 1)}
    near = {x + step for x in powers | {0, low, high} for step in (-2, -1, 0, 1, 2)}
    return sorted(x for x in near if low <= x <= high)


def multipliers(bits: int, most: int) -> Iterator[tuple[int, int]]:
    """(M, n) at their ends, and pairs that make ties."""
    shifts = sorted({0, 1, 2, most // 2, most} & set(range(most + 1)))
    return ((m, n) for m in (1, 3, 1 << (bits - 1), (1 << bits) - 1) for n in shifts)


@pytest.mark.requirement("BL2-EXP2-01")
@pytest.mark.parametrize("fraction_bits", range(1, 9))
def test_c_model_exp2_table_is_exact(fraction_bits: int):
    """Every F and P that a configuration may have."""
    made = np.zeros(1 << fraction_bits, np.uint32)
    for table_bits in range(4, 21):
        status = library().bl2_exp2_table(
            fraction_bits, table_bits, ctypes.c_void_p(made.ctypes.data)
        )
        assert status == OK
        config = AttentionConfig(fraction_bits=fraction_bits, table_bits=table_bits)
        assert tuple(made.tolist()) == config.table


@pytest.mark.requirement("BL2-CONF-02", "BL2-CONF-03")
def test_c_model_register_widths():
    rng = np.random.default_rng(711)
    pinned = AttentionConfig(score_bits=20, product_bits=62, exp_bits=17, acc_bits=40)
    for config in [*CONFIGS.values(), pinned, *(random_config(rng) for _ in range(500))]:
        widths = Widths()
        made = c_config(config.as_dict())
        assert library().bl2_register_widths(ctypes.byref(made), ctypes.byref(widths)) == OK
        for name, register in config.registers.items():
            assert getattr(widths, name) == register.bits, (name, config)


@pytest.mark.requirement("BL2-SCORE-01", "BL2-SCORE-02")
def test_c_model_score_accumulator(config: AttentionConfig):
    rng = np.random.default_rng(712)
    q_end, k_end = (1 << config.q_bits) - 1, (1 << config.k_bits) - 1
    for dim in [1, 2, config.max_head_dim, *rng.integers(1, config.max_head_dim, 200).tolist()]:
        zq, zk = int(rng.choice([0, q_end])), int(rng.choice([0, k_end, rng.integers(k_end)]))
        model = CModel(config, LayerParams(1, 0, 1, 0, zq=zq, zk=zk))
        ends = [np.full(dim, x, np.uint8) for x in (0, q_end, k_end)]
        q, k = (rng.integers(0, x + 1, dim).astype(np.uint8) for x in (q_end, k_end))
        for a, b in ((q, k), (ends[0], ends[2]), (ends[1], ends[0]), (ends[1], ends[2])):
            expected = score_accumulator(a.tolist(), b.tolist(), zq, zk)
            assert model.values("score_accumulator", dim, a, b) == (expected,)


@pytest.mark.requirement("BL2-REQ-01", "BL2-REQ-02", "BL2-REQ-03")
def test_c_model_score_requantizer(config: AttentionConfig):
    """Ties, both saturations, the largest biases."""
    bound = config.registers["score"].bound
    model, rng = CModel(config), random.Random(713)
    biases = [0, 0, 1, -1, config.t_min, config.t_max]
    for m, n in multipliers(config.m_bits, config.max_n):
        model.load(LayerParams(m, n, 1, 0))
        for score in corners(-bound, bound) + [rng.randint(-bound, bound) for _ in range(200)]:
            bias = rng.choice(biases)
            expected = score_requantizer(score, m, n, bias, config)
            assert model.values("score_requantizer", score, bias) == (expected,)


@pytest.mark.requirement("BL2-MAX-01", "BL2-MAX-02", "BL2-MAX-03", "BL2-MAX-04")
def test_c_model_row_max_and_distance(config: AttentionConfig):
    rng, model = np.random.default_rng(714), CModel(config)
    for keys in [1, 2, 3, *rng.integers(4, 60, 300).tolist()]:
        spread = min(int(2.0 ** rng.uniform(0, 24)), config.t_max)
        t = rng.integers(-spread - 1, spread + 1, keys).astype(np.int32)
        masked = (rng.random(keys) < 0.4).astype(np.uint8)
        masked[rng.integers(keys)] = 0
        hidden = masked.astype(bool).tolist()
        largest = row_max(t.tolist(), hidden)
        assert model.values("row_max", keys, t, masked) == (largest,)
        assert model.values("row_max", keys, t, None) == (max(t.tolist()),)
        for value, mask in zip(t.tolist(), hidden, strict=True):
            expected = distance(value, largest, mask, config)
            assert model.values("distance", largest, value, int(mask)) == (expected,)


@pytest.mark.requirement("BL2-EXP2-02", "BL2-EXP2-03", "BL2-EXP2-04")
@pytest.mark.parametrize("table_bits", [4, 7, 16, 20])
@pytest.mark.parametrize(("fraction_bits", "int_bits"), [(1, 6), (2, 2), (5, 5), (8, 6)])
def test_c_model_exp2_of_every_distance(fraction_bits: int, int_bits: int, table_bits: int):
    config = AttentionConfig(
        fraction_bits=fraction_bits, distance_int_bits=int_bits, table_bits=table_bits
    )
    model = CModel(config)
    for d in range(config.d_max + 1):
        assert model.values("exp2", d, 0) == (exp2(d, False, config),)
    assert model.values("exp2", 0, 1) == (0,)


@pytest.mark.requirement("BL2-SUM-01")
def test_c_model_row_sum(config: AttentionConfig):
    """Up to the largest row, all at 2**P."""
    rng, model = np.random.default_rng(715), CModel(config)
    for keys in (1, 2, 1000, config.max_tokens):
        e = rng.integers(0, (1 << config.table_bits) + 1, keys).astype(np.uint32)
        assert model.values("row_sum", keys, e) == (row_sum(e.tolist()),)
        e[:] = 1 << config.table_bits
        assert model.values("row_sum", keys, e) == (keys << config.table_bits,)


def compare_log2(model: CModel, scheme: Scheme, e: np.ndarray, s: int) -> bool:
    """Whether the kernel and both forms in C give the same levels of e / s."""
    words = e.astype(np.uint32)
    made = [np.full(e.size, 255, np.uint8) for _ in range(3)]
    kernel(e.astype(np.int32), np.int64(s), scheme_constants(scheme), made[0])
    given = (model.model, words.size, words.ctypes.data, s, made[1].ctypes.data)
    refused = model.lib.loop_log2(ctypes.byref(given[0]), *given[1:], made[2].ctypes.data)
    return refused == 0 and all(np.array_equal(made[0], other) for other in made[1:])


def random_shares(seed: int, count: int, block: int) -> Iterator[tuple[np.ndarray, int]]:
    """`count` pairs in blocks of one s: of every magnitude, and beside the thresholds.

    Every other s is a multiple of 1536, so that e * A / s meets thresholds exactly; the first is
    2**P, so that e = s occurs.
    """
    rng = np.random.default_rng(seed)
    for number in range(count // block):
        s = int(2.0 ** rng.uniform(16, 26))
        s = (1 << 16) if number == 0 else s - s % 1536 + 1536 if number % 2 else s
        e = np.exp2(rng.uniform(0, 16, block)).astype(np.int64)
        near = rng.integers(0, 385, block // 2) * s // 384 + rng.integers(-1, 2, block // 2)
        e[: block // 2] = near
        yield np.clip(e, 0, 1 << 16), s


@pytest.mark.requirement(
    "BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-06"
)
def test_c_model_log2_quantizer_on_a_million_shares(scheme: Scheme):
    """C comparing, C dividing, the simulator's kernel."""
    model = CModel(AttentionConfig(scheme.name))
    for e, s in random_shares(716, 1_000_000, 10_000):
        assert compare_log2(model, scheme, e, s), s


@pytest.mark.requirement(
    "BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05", "BL2-LOG2-06"
)
@pytest.mark.long
def test_c_model_log2_quantizer_on_a_hundred_million_shares(scheme: Scheme):
    """10**8 for each scheme, in blocks."""
    model = CModel(AttentionConfig(scheme.name))
    for e, s in random_shares(717, 100_000_000, 50_000):
        assert compare_log2(model, scheme, e, s), s


@pytest.mark.parametrize(
    "mutant",
    [
        "the test for zero is missing",
        "a threshold is not its own level",
        "the half bit is compared at the wrong shift",
        "the leading one is not corrected",
        "the clamp to the top level is missing",
    ],
)
def test_c_model_log2_quantizer_shares_report_a_mutant(mutant: str, tmp_path: Path):
    """The shares of the two tests above meet ties, e = s and shares below 1 / A."""
    text = (SOURCE / "bitlog2.c").read_text().replace(*MUTANTS[mutant])
    model = CModel(AttentionConfig("BitLog2_Half_17"), lib=build_library(tmp_path, text))
    scheme = SCHEMES["BitLog2_Half_17"]
    agree = [compare_log2(model, scheme, e, s) for e, s in random_shares(716, 100_000, 10_000)]
    assert not all(agree)


@pytest.mark.requirement("BL2-LOG2-04", "BL2-LOG2-05")
def test_c_model_log2_quantizer_exhaustively_at_p_7(scheme: Scheme):
    """P = 7, N <= 64, every sum of a row and every e."""
    model = CModel(AttentionConfig(scheme.name, table_bits=7, max_tokens=64))
    e = np.arange((1 << 7) + 1)
    for s in range(1 << 7, (64 << 7) + 1):
        assert compare_log2(model, scheme, e, s), s


@pytest.mark.requirement("BL2-LOG2-01", "BL2-LOG2-02", "BL2-LOG2-03", "BL2-LOG2-04", "BL2-LOG2-05")
def test_c_model_log2_quantizer_equals_the_specification(scheme: Scheme):
    """Thresholds and their neighbours, corners of e and s, P = 20."""
    config = AttentionConfig(scheme.name, table_bits=20, max_tokens=65536)
    model, cases = CModel(config), set()
    for value in [*scheme.values[1:], scheme.int_max - 1, scheme.int_max]:
        for e in (1, 2, 3, 255, 40503, (1 << 20) - 1, 1 << 20):
            at = e * scheme.int_max // value
            cases |= {(e, s) for s in range(at - 2, at + 3)}
    sums = [s for s in corners(0, 1 << 36) if s > 0]
    cases |= {(e, s) for s in sums for e in (0, 1, 2, 3, s - 1, s, 1 << 20)}
    for e, s in sorted(cases):
        if 0 <= e <= min(s, 1 << 20) and 0 < s <= 1 << 36:
            expected = log2_quantizer(e, s, scheme)
            assert model.values("log2_quantizer", e, s) == (expected,), (e, s)
            assert model.values("log2_quantizer_dividing", e, s) == (expected,), (e, s)


@pytest.mark.requirement("BL2-CODE-01", "BL2-CODE-02")
def test_c_model_code_register(scheme: Scheme):
    """Every level, and back."""
    model = CModel(AttentionConfig(scheme.name))
    for level in range(scheme.levels):
        nibble, flag = model.values("code_register", level)
        assert (nibble, flag) == code_register(level, scheme)
        assert model.values("code_level", nibble, flag) == (level,)


@pytest.mark.requirement("BL2-CODE-03", "BL2-CODE-04")
def test_c_model_packs_a_row(scheme: Scheme):
    """Lengths around whole bytes, into memory that was not zero."""
    rng = np.random.default_rng(718)
    for keys in range(1, 40):
        levels = rng.integers(0, scheme.levels, keys).tolist()
        codes = np.array([code_register(level, scheme) for level in levels], np.uint8)
        planes = [np.full(-(-keys // n), 255, np.uint8) for n in (2, 8)]
        for name, column, plane in zip(("nibbles", "flags"), codes.T, planes, strict=True):
            words = np.ascontiguousarray(column)
            function = getattr(library(), f"bl2_pack_{name}")
            assert function(keys, words.ctypes.data, plane.ctypes.data) == OK
        nibbles, flags = pack_row(levels, scheme)
        assert planes[0].tobytes() == nibbles
        assert planes[1].tobytes() == flags or not scheme.zero_flag


@pytest.mark.requirement("BL2-ACC-01", "BL2-SCHEME-01")
def test_c_model_shift_add(scheme: Scheme):
    """Every level with every code, then columns of a wider v."""
    rng = np.random.default_rng(719)
    config = AttentionConfig(scheme.name, v_bits=6, max_tokens=65536)
    for zv in (0, 31, 63):
        model = CModel(config, LayerParams(1, 0, 1, 0, zv=zv))
        for levels in [[x] for x in range(scheme.levels)] + rng.integers(0, 4, (60, 9)).tolist():
            codes = np.array([code_register(x, scheme) for x in levels], np.uint8)
            nibble, flag = (np.ascontiguousarray(column) for column in codes.T)
            v = rng.integers(0, 64, (len(levels), 3)).astype(np.uint8)
            v[0, 0] = rng.choice([0, 63])
            expected = shift_add(levels, v[:, 0].tolist(), zv, scheme)
            assert model.values("shift_add", len(levels), nibble, flag, v, 3) == (expected,)


@pytest.mark.requirement("BL2-OUT-01", "BL2-OUT-02")
def test_c_model_output_requantizer(config: AttentionConfig):
    """Ties of both signs, both saturations."""
    bound, top = config.registers["acc"].bound, (1 << config.o_bits) - 1
    model, rng = CModel(config), random.Random(720)
    for m2, n2 in multipliers(config.m2_bits, config.max_n2):
        zo = rng.choice([0, top, top // 2])
        model.load(LayerParams(1, 0, m2, n2, zo=zo))
        for acc in corners(-bound, bound) + [rng.randint(-bound, bound) for _ in range(200)]:
            expected = output_requantizer(acc, m2, n2, zo, config)
            assert model.values("output_requantizer", acc) == (expected,)


def test_c_model_statuses_have_texts():
    """Each its own sentence; what is no status has one too."""
    count = STATUS["STATUS_COUNT"]
    texts = [library().bl2_status_text(status).decode() for status in range(count)]
    assert len(set(texts)) == count == 38
    assert library().bl2_status_text(count).decode() == "not a status of this library"
