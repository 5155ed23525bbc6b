"""`attention` against the specification, row by row; its forms; its parts side by side."""

import os
import signal
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.golden import threads as golden_threads
from bitlog2.sim import (
    REGISTERS,
    SCHEMES,
    AttentionConfig,
    AttentionTrace,
    LayerParams,
    attention,
    attention_from_scores,
)
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.heads import attention_heads, borrowed_scratch
from bitlog2.sim.spec import RowTrace, attention_row, attention_row_from_scores
from bitlog2.sim.threads import each_part, usable_processors
from bitlog2.sim.units.code_register import code_register_kernel
from bitlog2.sim.units.distance_quantizer import distance_quantizer_kernel
from bitlog2.sim.units.exp2 import exp2_kernel
from bitlog2.sim.units.log2_quantizer import log2_quantizer_kernel
from bitlog2.sim.units.output_requantizer import output_requantizer_kernel
from bitlog2.sim.units.row_max import distance_kernel, keep_distance, row_max_kernel
from bitlog2.sim.units.row_multiplier import row_multiplier_kernel
from bitlog2.sim.units.row_sum import row_sum_kernel
from bitlog2.sim.units.score_accumulator import score_accumulator_kernel
from bitlog2.sim.units.score_requantizer import score_requantizer_kernel
from bitlog2.sim.units.shift_add import shift_add_kernel
from bitlog2.sim.units.weight_sum import weight_sum_kernel

PARAMS = LayerParams(47274, 16, 43691, 27, zq=7, zk=8, zv=6, zo=7)
SMALL_ZEROS = LayerParams(60000, 13, 40000, 24, zq=1, zk=8, zv=3, zo=7)
CONFIGS = {
    "narrow": AttentionConfig(t_bits=8, table_bits=7, fraction_bits=4, distance_int_bits=2),
    "wide": AttentionConfig(
        "BitLog2_Single_17", q_bits=6, k_bits=6, v_bits=8, o_bits=8, table_bits=20, t_bits=24
    ),
    "uneven": AttentionConfig("BitLog2_Half_16", q_bits=2, k_bits=8, v_bits=3, o_bits=5),
}


def make_case(
    seed: int, config: AttentionConfig, shape: tuple[int, int, int, int, int], masks: bool = True
) -> dict[str, Any]:
    """Random heads (G, R, N, D, D') with a mask and a bias, as arguments of `attention`."""
    rng = np.random.default_rng(seed)
    heads, rows, keys, channels, out = shape
    case = {
        "q": rng.integers(0, 1 << config.q_bits, (heads, rows, channels), dtype=np.uint8),
        "k": rng.integers(0, 1 << config.k_bits, (heads, keys, channels), dtype=np.uint8),
        "v": rng.integers(0, 1 << config.v_bits, (heads, keys, out), dtype=np.uint8),
        "masked": None,
        "bias": None,
    }
    if masks:
        case["masked"] = rng.random((heads, rows, keys)) < 0.3
        case["masked"][:, :, int(rng.integers(keys))] = False
        case["bias"] = rng.integers(-100, 101, (heads, rows, keys))
    return case


def registers_of(trace: Any, head: int, row: int) -> dict[str, Any]:
    """The registers of a row, without those that the scheme's datapath lacks."""
    held = {name: getattr(trace, name) for name in REGISTERS}
    return {name: x[head, row].tolist() for name, x in held.items() if x is not None}


def of_spec(row: RowTrace) -> dict[str, Any]:
    """The registers of the specification's row, likewise."""
    return {name: x for name in REGISTERS if (x := getattr(row, name)) is not None}


def fitted(params: LayerParams, config: AttentionConfig) -> LayerParams:
    """The parameters, with an n2 that a layer of this hardware may have."""
    return replace(params, n2=min(params.n2, config.max_layer_n2))


def assert_rows_equal_spec(
    case: dict[str, Any], params: LayerParams, config: AttentionConfig, trace: AttentionTrace
) -> None:
    for head in range(case["q"].shape[0]):
        k, v = case["k"][head].tolist(), case["v"][head].tolist()
        for row in range(case["q"].shape[1]):
            masked = None if case["masked"] is None else case["masked"][head, row].tolist()
            bias = None if case["bias"] is None else case["bias"][head, row].tolist()
            q = case["q"][head, row].tolist()
            expected = attention_row(q, k, v, params, config, masked, bias)
            got = registers_of(trace, head, row)
            assert got == of_spec(expected), (head, row)


def run(case: dict[str, Any], config: AttentionConfig, **options: Any) -> Any:
    arrays = {name: case[name] for name in ("masked", "bias")}
    params = fitted(PARAMS, config)
    return attention(case["q"], case["k"], case["v"], params, config, **arrays, **options)


def test_attention_of_two_equal_keys_worked_by_hand():
    """Scores 0 0; e = 65536 twice; p = 192, level 15; acc = 192 * (1 + 2); 576 / 384 = 1.5."""
    config = AttentionConfig()
    zeros = np.zeros((1, 1, 1), np.uint8)
    keys = np.zeros((1, 2, 1), np.uint8)
    v = np.array([[[1], [2]]], np.uint8)
    trace = attention(zeros, keys, v, LayerParams(1, 0, 43691, 24), config, trace=True)
    assert registers_of(trace, 0, 0) == {
        "score": [0, 0],
        "t": [0, 0],
        "row_max": 0,
        "d": [0, 0],
        "e": [65536, 65536],
        "row_sum": 131072,
        "level": [15, 15],
        "nibble": [14, 14],
        "flag": [0, 0],
        "acc": [576],
        "o": [2],
    }


@pytest.mark.requirement("BL2-ROW-01")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_attention_equals_spec_for_every_length_to_300(scheme: str):
    """N from 1 to 300, mask and bias, every register."""
    config = AttentionConfig(scheme)
    for keys in range(1, 301):
        case = make_case(1000 + keys, config, (1, 1, keys, 4, 2))
        trace = run(case, config, trace=True, threads=1)
        assert_rows_equal_spec(case, fitted(PARAMS, config), config, trace)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_attention_equals_spec_on_heads_of_a_vision_transformer(scheme: str):
    config = AttentionConfig(scheme)
    case = make_case(5, config, (2, 3, 197, 64, 64))
    assert_rows_equal_spec(case, fitted(PARAMS, config), config, run(case, config, trace=True))


def registers_by_units_alone(
    case: dict[str, Any], config: AttentionConfig, head: int, row: int
) -> dict[str, Any]:
    """A row by the kernel of each unit alone, as vectors are made: one after another."""
    params = fitted(SMALL_ZEROS, config)
    layer, scheme = layer_constants(config, params), scheme_constants(config.code)
    v, masked = case["v"][head].astype(np.int32), case["masked"][head, row].view(np.uint8)
    keys, out = v.shape
    score, t, kept, e = np.empty((4, keys), np.int32)
    d, level, nibble, flag = np.empty(keys, np.int16), *np.empty((3, keys), np.uint8)
    acc, o = np.empty(out, np.int32), np.empty(out, np.uint8)
    q, k = case["q"][head, row], case["k"][head]
    score_accumulator_kernel(q[None], k, params.zq, params.zk, score[None])
    score_requantizer_kernel(score, case["bias"][head, row].astype(np.int32), layer, t)
    largest = row_max_kernel(t, masked, layer)
    distance_kernel(t, np.int32(largest), masked, layer, d)
    keep_distance(d, layer, kept)
    made = {"score": score, "t": t, "row_max": largest, "d": kept}
    m2, n2 = params.m2, params.n2
    if config.code.row_max:
        distance_quantizer_kernel(d, layer.steps, scheme, level)
        weight_sum = weight_sum_kernel(level, scheme)
        multiplier, shift = np.empty((2, 1), np.int64)
        row_multiplier_kernel(np.array([weight_sum]), layer, multiplier, shift)
        m2, n2 = int(multiplier[0]), int(shift[0])
        made |= {"weight_sum": weight_sum, "m2_row": m2, "n2_row": n2}
    else:
        exp2_kernel(d, masked, layer, e)
        total = row_sum_kernel(e)
        scratch = np.empty((3, keys), np.int32)
        log2_quantizer_kernel(e, np.full(keys, total), layer, scheme, scratch, level)
        made |= {"e": e, "row_sum": total}
    code_register_kernel(level, scheme, nibble, flag)
    shift_add_kernel(level, v, params.zv, scheme, acc)
    output_requantizer_kernel(acc, m2, n2, layer, o)
    made |= {"level": level, "nibble": nibble, "flag": flag, "acc": acc, "o": o}
    return {name: np.asarray(x).tolist() for name, x in made.items()}


@pytest.mark.parametrize("name", [*SCHEMES, *CONFIGS])
def test_attention_fused_equals_the_kernels_of_the_units_alone(name: str):
    """By matrix products, what runs; and what makes vectors."""
    config = CONFIGS.get(name) or AttentionConfig(name)
    case = make_case(9, config, (2, 11, 70, 16, 5))
    params = fitted(SMALL_ZEROS, config)
    trace = attention(params=params, config=config, trace=True, threads=1, **case)
    for head in range(2):
        for row in range(11):
            expected = registers_by_units_alone(case, config, head, row)
            assert registers_of(trace, head, row) == expected, (head, row)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
def test_attention_equals_spec_in_other_configurations(name: str, masks: bool):
    """Saturating t and d among them; two-bit q wants zero points of its own."""
    config = CONFIGS[name]
    params = SMALL_ZEROS
    case = make_case(8, config, (3, 4, 50, 16, 5), masks)
    trace = attention(
        case["q"],
        case["k"],
        case["v"],
        params,
        config,
        masked=case["masked"],
        bias=case["bias"],
        trace=True,
    )
    assert_rows_equal_spec(case, params, config, trace)


def test_attention_equals_spec_where_t_and_d_saturate():
    """Both ends of t and the largest d are reached, so the test before forces them."""
    config = CONFIGS["narrow"]
    params = SMALL_ZEROS
    case = make_case(8, config, (3, 4, 50, 16, 5), masks=False)
    trace = attention(case["q"], case["k"], case["v"], params, config, trace=True)
    assert (trace.t.min(), trace.t.max()) == (config.t_min, config.t_max)
    assert trace.d.max() == config.d_max


@pytest.mark.parametrize("scheme", SCHEMES)
def test_attention_gives_the_same_bits_for_any_number_of_threads(scheme: str):
    config = AttentionConfig(scheme)
    case = make_case(9, config, (11, 5, 65, 16, 16))
    traces = [run(case, config, trace=True, threads=threads) for threads in (1, 2, 7, None)]
    for trace in traces[1:]:
        for field in fields(AttentionTrace):
            assert np.array_equal(getattr(trace, field.name), getattr(traces[0], field.name))


@pytest.mark.parametrize("shape", [(6, 5, 65, 16, 16), (2, 70, 300, 65, 130)])
@pytest.mark.parametrize("threads", [1, 2])
def test_attention_without_a_trace_gives_the_same_codes(threads: int, shape: Any):
    config = AttentionConfig()
    case = make_case(10, config, shape)
    codes = run(case, config, threads=threads)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, run(case, config, trace=True).o)


def test_attention_of_arrays_that_cannot_be_written_compiles_nothing_anew():
    case = make_case(9, AttentionConfig(), (1, 2, 7, 4, 4))
    case |= {name: case[name].astype(np.int32) for name in ("q", "k", "v", "bias")}
    codes = run(case, AttentionConfig())
    before = len(attention_heads.compiled.signatures)
    for array in case.values():
        array.flags.writeable = False
    assert np.array_equal(run(case, AttentionConfig()), codes)
    assert len(attention_heads.compiled.signatures) == before


@pytest.mark.parametrize("scheme", SCHEMES)
def test_attention_from_scores_equals_attention_and_spec(scheme: str):
    config = AttentionConfig(scheme)
    case = make_case(12, config, (2, 3, 33, 8, 4))
    whole = run(case, config, trace=True)
    arrays = {name: case[name] for name in ("masked", "bias")}
    params = fitted(PARAMS, config)
    trace = attention_from_scores(whole.score, case["v"], params, config, trace=True, **arrays)
    expected = attention_row_from_scores(
        whole.score[1, 2].tolist(),
        case["v"][1].tolist(),
        params,
        config,
        case["masked"][1, 2].tolist(),
        case["bias"][1, 2].tolist(),
    )
    assert registers_of(trace, 1, 2) == of_spec(expected)
    for name in REGISTERS:
        assert np.array_equal(getattr(trace, name), getattr(whole, name))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("threads", [1, 2])
def test_attention_from_scores_equals_attention_over_many_rows(
    name: str, masks: bool, threads: int
):
    """Heads of 67 rows, so of more than two blocks of 32."""
    config = CONFIGS[name]
    params = SMALL_ZEROS
    case = make_case(14, config, (5, 67, 41, 16, 70), masks)
    arrays = {key: case[key] for key in ("masked", "bias")}
    codes = [case[key] for key in ("q", "k", "v")]
    whole = attention(*codes, params, config, trace=True, **arrays)
    given = (whole.score.astype(np.int64), case["v"], params, config)
    trace = attention_from_scores(*given, trace=True, threads=threads, **arrays)
    for register in REGISTERS:
        assert np.array_equal(getattr(trace, register), getattr(whole, register)), register
    assert np.array_equal(attention_from_scores(*given, threads=threads, **arrays), whole.o)


@pytest.mark.parametrize("scheme", ["BitLog2_Half_17", "RowMax_16"])
@pytest.mark.parametrize(("m", "short"), [(29126, 1), (29127, 0)])
def test_attention_where_t_just_fits_int16_and_where_it_does_not(m: int, short: int, scheme: str):
    """Scores of 9 give 9 * 29126 / 16 = 16383.4; of 9 * 29127 / 16 = 16383.9 twice is 2**15."""
    config = AttentionConfig(scheme, q_bits=2, k_bits=2, max_head_dim=1)
    params = LayerParams(m, 4, 40000, 16)
    assert layer_constants(config, params, False).short == short
    assert layer_constants(config, params).short == 0
    rng = np.random.default_rng(21)
    scores, v = rng.integers(-9, 10, (1, 9, 131)), rng.integers(0, 16, (1, 131, 3))
    scores[:, :, :2] = -9, 9
    masked = np.zeros((1, 9, 131), bool)
    masked[:, 1::2, 1:100] = True
    for mask in (None, masked):
        trace = attention_from_scores(scores, v, params, config, masked=mask, trace=True)
        for row in range(9):
            hidden = None if mask is None else mask[0, row].tolist()
            codes = scores[0, row].tolist(), v[0].tolist()
            expected = attention_row_from_scores(*codes, params, config, hidden)
            assert registers_of(trace, 0, row) == of_spec(expected), row


@pytest.mark.parametrize("mask", [(1, 1), (1, 3), (9, 1), (9, 3)])
@pytest.mark.parametrize("bias", [(1, 1), (1, 3), (9, 1), (9, 3)])
@pytest.mark.parametrize("threads", [1, 2])
def test_attention_broadcasts_mask_and_bias_over_heads_and_rows(
    mask: tuple[int, int], bias: tuple[int, int], threads: int
):
    """Nine heads, so that one call of the kernel is handed several."""
    config = AttentionConfig()
    case = make_case(13, config, (9, 3, 20, 8, 4))
    shape = case["masked"].shape
    small = case | {
        "masked": case["masked"][: mask[0], : mask[1]],
        "bias": case["bias"][: bias[0], : bias[1]],
    }
    large = case | {name: np.broadcast_to(small[name], shape) for name in ("masked", "bias")}
    trace = run(small, config, trace=True, threads=threads)
    assert_rows_equal_spec(large, PARAMS, config, trace)


def test_attention_holds_the_registers_of_its_configuration():
    """No register passes its bound, with codes at both ends of their range."""
    config = AttentionConfig("BitLog2_Single_17")
    rng = np.random.default_rng(14)
    q, k, v = (rng.choice([0, 15], (4, 30, 128)).astype(np.uint8) for _ in range(3))
    trace = attention(q, k, v, LayerParams(65535, 10, 65535, 20), config, trace=True)
    for name, register in config.registers.items():
        if name not in ("product", "compare", "out_product", "t", "row_max"):
            assert np.abs(getattr(trace, name).astype(np.int64)).max() <= register.bound, name


@given(st.integers(0, 1 << 30), st.sampled_from(sorted(SCHEMES)))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_attention_is_invariant_under_a_shift_of_the_scores(seed: int, scheme: str):
    """The same bias on every key changes t and row max, and nothing after them."""
    config = AttentionConfig(scheme)
    case = make_case(seed, config, (1, 2, 17, 4, 3), masks=False)
    plain = run(case, config, trace=True, threads=1)
    shifted = run(
        case | {"bias": np.full((1, 1, 17), seed % 5000 - 2500)}, config, trace=True, threads=1
    )
    for name in ("d", "e", "row_sum", "level", "nibble", "flag", "weight_sum", "acc", "o"):
        assert np.array_equal(getattr(plain, name), getattr(shifted, name)), name


@given(st.integers(0, 1 << 30), st.sampled_from(sorted(SCHEMES)))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_attention_does_not_depend_on_the_order_of_the_keys(seed: int, scheme: str):
    config = AttentionConfig(scheme)
    case = make_case(seed, config, (1, 2, 17, 4, 3))
    order = np.random.default_rng(seed).permutation(17)
    moved = case | {name: case[name][:, order] for name in ("k", "v")}
    moved |= {name: case[name][:, :, order] for name in ("masked", "bias")}
    plain, other = (run(x, config, trace=True, threads=1) for x in (case, moved))
    assert np.array_equal(plain.acc, other.acc)
    assert np.array_equal(plain.level[:, :, order], other.level)


@pytest.mark.requirement("BL2-EXP2-04", "BL2-MAX-01")
@given(st.integers(0, 1 << 30), st.sampled_from(sorted(SCHEMES)))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_attention_ignores_masked_keys_altogether(seed: int, scheme: str):
    """A row with masked keys is the row without them."""
    config = AttentionConfig(scheme)
    case = make_case(seed, config, (1, 1, 17, 4, 3))
    kept = ~case["masked"][0, 0]
    small = {"q": case["q"], "k": case["k"][:, kept], "v": case["v"][:, kept], "masked": None}
    small["bias"] = case["bias"][:, :, kept]
    whole, part = (run(x, config, trace=True, threads=1) for x in (case, small))
    for name in ("row_max", "row_sum", "weight_sum", "acc", "o"):
        assert np.array_equal(getattr(whole, name), getattr(part, name)), name
    assert np.array_equal(whole.level[:, :, kept], part.level)


@pytest.mark.requirement("BL2-EXP2-04", "BL2-MAX-04")
def test_attention_shows_d_max_and_level_zero_for_a_masked_key():
    config = AttentionConfig()
    case = make_case(15, config, (2, 3, 20, 8, 4))
    trace, hidden = run(case, config, trace=True), case["masked"]
    assert set(trace.d[hidden].tolist()) == {config.d_max}
    assert set(trace.e[hidden].tolist()) == set(trace.level[hidden].tolist()) == {0}
    assert set(trace.flag[hidden].tolist()) == {1}


@pytest.mark.parametrize(("scheme", "most"), [("BitLog2_Half_16", 256), ("BitLog2_Half_17", 384)])
def test_attention_of_a_long_uniform_row_is_the_zero_point_for_half(scheme: str, most: int):
    """SPEC.md, section 8: the scheme's limit, one key more than A."""
    keys = most + 1
    q, k = np.zeros((1, 1, 4), np.uint8), np.zeros((1, keys, 4), np.uint8)
    v = np.full((1, keys, 3), 15, np.uint8)
    trace = attention(q, k, v, PARAMS, AttentionConfig(scheme), trace=True)
    assert not trace.level.any()
    assert trace.o.tolist() == [[[PARAMS.zo] * 3]]
    fits = attention(q, k[:, 1:], v[:, 1:], PARAMS, AttentionConfig(scheme), trace=True)
    assert fits.level.all()


Q, K, V = (
    np.zeros((2, 3, 4), np.uint8),
    np.zeros((2, 5, 4), np.uint8),
    np.zeros((2, 5, 6), np.uint8),
)
ALL_MASKED = np.zeros((2, 3, 5), bool)
ALL_MASKED[1, 2] = True
REFUSED = [
    ({"q": Q + 16}, ValueError, "q must be from 0 to 15, got 16"),
    ({"k": K.astype(np.int8) - 1}, ValueError, "k must be from 0 to 15, got -1"),
    ({"v": V + 99}, ValueError, "v must be from 0 to 15, got 99"),
    ({"q": Q.astype(np.float32)}, TypeError, "q must hold integers, got dtype float32"),
    ({"v": V.astype(bool)}, TypeError, "v must hold integers, got dtype bool"),
    ({"q": Q[0]}, ValueError, r"q must have 3 axes, got shape \(3, 4\)"),
    ({"q": Q[:, :0]}, ValueError, r"q must not be empty, got shape \(2, 0, 4\)"),
    ({"q": Q[:1]}, ValueError, "q and k must agree in heads and channels"),
    ({"k": K[:, :, :3]}, ValueError, "q and k must agree in heads and channels"),
    ({"v": V[:, :4]}, ValueError, "v must have 2 heads and 5 keys"),
    ({"masked": np.zeros((2, 3, 5), np.uint8)}, TypeError, "masked must have dtype bool"),
    ({"masked": np.zeros((2, 2, 5), bool)}, ValueError, "masked must have shape"),
    ({"masked": np.zeros(5, bool)}, ValueError, "masked must have shape"),
    ({"masked": ALL_MASKED}, ValueError, "at least one key in every row, got head 1 row 2"),
    ({"bias": np.zeros((2, 3, 4), np.int32)}, ValueError, "bias must have shape"),
    ({"bias": np.full((1, 1, 5), 131072)}, ValueError, "bias must be from -131072 to 131071"),
    ({"bias": np.zeros((1, 1, 5))}, TypeError, "bias must hold integers"),
    ({"threads": 0}, ValueError, "threads must be from 1 to 256, got 0"),
    ({"threads": 257}, ValueError, "threads must be from 1 to 256, got 257"),
    ({"threads": -1}, ValueError, "threads must be from 1 to 256, got -1"),
    ({"threads": 2.0}, TypeError, "threads must be an integer"),
    ({"params": AttentionConfig()}, TypeError, "params must be of type LayerParams, got Attent"),
    ({"config": PARAMS}, TypeError, "config must be of type AttentionConfig, got LayerParams"),
    ({"params": LayerParams(65536, 0, 1, 0)}, ValueError, "m must be from 1 to 65535, got 65536"),
    ({"config": AttentionConfig(max_tokens=4)}, ValueError, "number of keys N must be from 1 to 4"),
    ({"config": AttentionConfig(max_head_dim=3)}, ValueError, "head dimension D must be from 1 to"),
]


@pytest.mark.requirement("BL2-MAX-02", "BL2-PARAM-04", "BL2-REQ-03")
@pytest.mark.parametrize(("change", "error", "text"), REFUSED, ids=[c[2][:40] for c in REFUSED])
def test_attention_refuses(change: dict[str, Any], error: type[Exception], text: str):
    """BL2-REQ-03 and BL2-PARAM-04 (a bias out of t's range) among them."""
    values = {"q": Q, "k": K, "v": V, "params": PARAMS, "config": AttentionConfig()} | change
    with pytest.raises(error, match=text) as caught:
        attention(**values)
    assert "\n" not in str(caught.value)


def test_attention_from_scores_refuses_a_score_beyond_the_register():
    score = np.full((2, 3, 5), 28801)
    with pytest.raises(ValueError, match="score must be from -28800 to 28800, got 28801"):
        attention_from_scores(score, V, PARAMS, AttentionConfig())


@pytest.mark.parametrize(("v_bits", "wrong"), [(4, 16), (4, -1), (8, 256)])
def test_attention_from_scores_refuses_a_value_code_out_of_range(v_bits: int, wrong: int):
    v = np.zeros((2, 5, 4), np.int64)
    v[1, 4, 3] = wrong
    config = AttentionConfig("BitLog2_Half_17", v_bits=v_bits)
    text = f"v must be from 0 to {(1 << v_bits) - 1}, got {wrong}"
    with pytest.raises(ValueError, match=text):
        attention_from_scores(np.zeros((2, 3, 5), np.int32), v, PARAMS, config)


# Products of matrices.

LANE_PARAMS = LayerParams(40000, 18, 40000, 22, 7, 8, 7, 8)
#: Heads, rows, keys, channels, output channels: below, at and above blocks and lanes.
SHAPES = [(1, 1, 1, 1, 1), (2, 33, 127, 7, 63), (3, 32, 128, 8, 64), (2, 70, 300, 65, 130)]
SHAPES += [(5, 40, 50, 16, 16)]
HALF = [name for name, scheme in SCHEMES.items() if scheme.half]


def inputs(shape, seed, *, masks, bias):
    heads, rows, keys, channels, out = shape
    rng = np.random.default_rng(seed)
    q = rng.integers(0, 16, (heads, rows, channels))
    k, v = (rng.integers(0, 16, (heads, keys, size)) for size in (channels, out))
    given = {}
    if masks:
        masked = rng.random((heads, rows, keys)) < 0.3
        masked[..., rng.integers(keys)] = False
        given["masked"] = masked
    if bias:
        given["bias"] = rng.integers(-200, 200, (1, rows, keys))
    return (q, k, v), given


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scheme", HALF)
def test_attention_sums_are_the_products_of_numpy(scheme, shape, masks, bias):
    """Scores and accumulators, by int64 matrices; and o again from these scores."""
    (q, k, v), given = inputs(shape, 5, masks=masks, bias=bias)
    config, threads = AttentionConfig(scheme), 1 + shape[0]
    params = fitted(LANE_PARAMS, config)
    trace = attention(q, k, v, params, config, **given, trace=True, threads=threads)
    assert np.array_equal(trace.score, (q - params.zq) @ (k - params.zk).swapaxes(1, 2))
    value = np.array(config.code.values)[trace.level]
    assert np.array_equal(trace.acc, value @ (v - params.zv))
    again = attention_from_scores(trace.score, v, params, config, **given, threads=threads)
    assert np.array_equal(trace.o, again)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("code", [0, 255])
def test_attention_holds_the_widest_codes(scheme, code):
    """Codes of 8 bits at both ends, and one key that is all of its row: |v - zv| * A."""
    config = AttentionConfig(scheme, q_bits=8, k_bits=8, v_bits=8)
    params = fitted(replace(LANE_PARAMS, zq=0, zk=255 - code, zv=255 - code), config)
    q, k = np.full((1, 3, 128), 255), np.full((1, 5, 128), code)
    v, masked = np.full((1, 5, 3), code), np.ones((1, 3, 5), bool)
    masked[..., 2] = False
    trace = attention(q, k, v, params, config, masked=masked, trace=True)
    sign = 1 if code else -1
    assert np.array_equal(trace.score, np.full((1, 3, 5), sign * 255 * 255 * 128))
    assert np.array_equal(trace.acc, np.full((1, 3, 3), sign * 255 * config.code.values[-1]))


def test_attention_scratch_of_another_head_does_not_show():
    """A head after one of full codes gives what it gives alone."""
    (q, k, v), _ = inputs((1, 9, 130, 5, 70), 8, masks=False, bias=False)
    full = [np.full_like(x, 15) for x in (q, k, v)]
    after = [np.concatenate(pair) for pair in zip(full, (q, k, v), strict=True)]
    alone = attention(q, k, v, LANE_PARAMS, AttentionConfig(), threads=1)
    assert np.array_equal(attention(*after, LANE_PARAMS, AttentionConfig(), threads=1)[1:], alone)


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("value", [16, -1, 1 << 20])
@pytest.mark.parametrize("place", [0, -1])
def test_attention_code_out_of_range_is_refused_by_name(name, value, place):
    """Found while the codes are laid out, wherever it lies."""
    (q, k, v), _ = inputs((3, 40, 130, 8, 70), 9, masks=False, bias=False)
    codes = {"q": q, "k": k, "v": v}
    codes[name].reshape(-1)[place] = value
    with pytest.raises(ValueError, match=rf"{name} must be .*0 to 15.*{value}"):
        attention(*codes.values(), LANE_PARAMS, AttentionConfig(), threads=2)


def test_attention_borrowed_scratch_is_lent_to_one_at_a_time_and_again():
    with borrowed_scratch(21, 8, 8) as first, borrowed_scratch(21, 8, 8) as second:
        assert first.k is not second.k
    with borrowed_scratch(21, 8, 8) as again:
        assert any(again.k is lent.k for lent in (first, second))


def test_attention_used_scratch_changes_no_bit():
    """A short last block after other values of the same shape: nothing of them stays."""
    rng = np.random.default_rng(6)
    config, params = AttentionConfig(), LayerParams(47274, 18, 40000, 24, 7, 8, 7, 8)
    batches = [[rng.integers(0, 16, (2, 37, 13)) for _ in range(3)] for _ in range(3)]
    first = attention(*batches[0], params, config, threads=1)
    for batch in batches[1:]:
        attention(*batch, params, config, threads=1)
    assert np.array_equal(attention(*batches[0], params, config, threads=1), first)


# Parts of a batch side by side.


def parts_of(size, workers, least=1):
    taken, lock = [], threading.Lock()

    def prepare():
        def work(part):
            with lock:
                taken.append(part)

        return nullcontext(work)

    each_part(size, workers, prepare, least)
    return taken


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 96, 1000])
def test_threads_every_item_is_taken_once(size, workers):
    items = sorted(i for part in parts_of(size, workers) for i in range(part.start, part.stop))
    assert items == list(range(size))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000])
def test_threads_no_part_but_the_last_has_fewer_items_than_least(size, workers):
    parts = sorted(parts_of(size, workers, least=64), key=lambda part: part.start)
    items = [i for part in parts for i in range(part.start, part.stop)]
    assert items == list(range(size))
    assert all(part.stop - part.start >= 64 for part in parts[:-1])


def test_threads_each_has_scratch_of_its_own():
    made = []

    def prepare():
        made.append(threading.get_ident())
        return nullcontext(lambda part: None)

    each_part(100, 3, prepare)
    assert 1 <= len(made) <= 3
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("fails", [False, True])
def test_threads_scratch_is_given_back(fails):
    lent, back = [], []

    @contextmanager
    def prepare():
        lent.append(threading.get_ident())
        try:
            yield lambda part: 1 // int(not (fails and part.start == 0))
        finally:
            back.append(threading.get_ident())

    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        each_part(100, 3, prepare)
    assert sorted(back) == sorted(lent)


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_an_error_reaches_the_caller(workers):
    def prepare():
        def work(part):
            if part.start <= 50 < part.stop:
                raise ValueError("item 50")

        return nullcontext(work)

    with pytest.raises(ValueError, match="item 50"):
        each_part(100, workers, prepare)


def test_threads_one_worker_stays_on_the_callers_thread():
    seen = set()

    def prepare():
        return nullcontext(lambda part: seen.add(threading.get_ident()))

    each_part(50, 1, prepare)
    assert seen == {threading.get_ident()}


def test_threads_work_in_a_forked_child():
    """A child has none of the threads that its parent has started."""
    parts_of(100, 3)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(parts_of(100, 3)) > 1 else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.WEXITSTATUS(status) == 0


def test_threads_several_callers_at_once_all_end():
    taken = []
    callers = [threading.Thread(target=lambda: taken.append(parts_of(50, 4))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert [sorted(i for p in parts for i in range(p.start, p.stop)) for parts in taken] == [
        list(range(50))
    ] * 8


def test_threads_there_is_a_processor():
    assert usable_processors() >= 1


# Parts of words side by side: the results in order, the first error raised.


@pytest.fixture(params=[1, 2, 8])
def _processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_threads, "usable_processors", lambda: request.param)


@pytest.mark.parametrize(
    ("words", "size", "parts"),
    [
        (0, 4, []),
        (3, 4, [slice(0, 3)]),
        (4, 4, [slice(0, 4)]),
        (9, 4, [slice(0, 4), slice(4, 8), slice(8, 9)]),
    ],
    ids=range(4),
)
def test_golden_threads_parts_make_up_the_words(words: int, size: int, parts: list) -> None:
    assert golden_threads.parts_of(words, size) == parts


@pytest.mark.usefixtures("_processors")
def test_golden_threads_give_the_results_in_order() -> None:
    assert list(golden_threads.each_part(lambda part: part * part, range(100))) == [
        i * i for i in range(100)
    ]


@pytest.mark.usefixtures("_processors")
def test_golden_threads_raise_the_error_of_the_first_part_that_fails() -> None:
    def work(part: int) -> int:
        if part >= 5:
            raise ValueError(f"part {part}")
        return part

    with pytest.raises(ValueError, match="part 5"):
        list(golden_threads.each_part(work, range(20)))


def test_golden_threads_leave_a_single_part_to_the_caller() -> None:
    found = list(golden_threads.each_part(lambda part: threading.current_thread(), [0]))
    assert found == [threading.current_thread()]
