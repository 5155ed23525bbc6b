"""`bitlog2.models.attention`: shaped like torch's, with the registers of the simulator inside."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from bitlog2 import sim
from bitlog2.models import DotProductAttention, attention
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.watching import watch
from bitlog2.sim import SCHEMES, AttentionConfig


def drawn(*shapes, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def qkv(leading=(2, 3), rows=7, keys=9, channels=8, values=5, **more):
    shapes = ((rows, channels), (keys, channels), (keys, values))
    return drawn(*((*leading, *shape) for shape in shapes), **more)


def calibrated(*tensors, scheme="RowMax_16", bits=4, **more):
    widths = {f"{name}_bits": bits for name in "qkvo"}
    state = DotProductAttention(AttentionConfig(scheme, **widths))
    state.calibrate(*tensors, **more)
    return state


def simulated(state, tensors, masked=None, bias=None):
    """The output as the simulator computes it from codes that are made here, in numpy."""
    params, codes = state.params(), []
    quantizers = (state.q_quantizer, state.k_quantizer, state.v_quantizer)
    for x, each in zip(tensors, quantizers, strict=True):
        rounded = np.floor(x.numpy() / each.delta.numpy() + np.float32(0.5))
        code = np.clip(rounded + each.zero_point.numpy(), 0, each.max_code).astype(np.int32)
        codes.append(code.reshape(-1, *code.shape[-2:]))
    o = sim.attention(*codes, params, state.config, masked=masked, bias=bias)
    real = (o.astype(np.float32) - np.float32(params.zo)) * state.o_quantizer.delta.numpy()
    return torch.from_numpy(real).reshape(*tensors[0].shape[:-1], -1)


def random_mask(*shape, seed=3):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bits", [4, 7])
def test_dot_product_is_the_simulators(scheme, bits):
    tensors = qkv()
    found = attention(*tensors, scheme=scheme, bits=bits)
    state = calibrated(*tensors, scheme=scheme, bits=bits)
    assert torch.equal(found, simulated(state, tensors))
    assert torch.equal(found, attention(*tensors, state=state))


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 2, 2)])
def test_dot_product_takes_any_leading_axes(leading):
    tensors = qkv(leading)
    found = attention(*tensors)
    assert found.shape == (*leading, 7, 5)
    assert torch.equal(found, simulated(calibrated(*tensors), tensors))


def test_dot_product_broadcasts_leading_axes():
    q, k, v = drawn((2, 3, 7, 8), (1, 3, 9, 8), (3, 9, 5))
    state = calibrated(q, k, v)
    whole = (q, k.expand(2, 3, 9, 8), v.expand(2, 3, 9, 5))
    assert torch.equal(attention(q, k, v, state=state), simulated(state, whole))


@pytest.mark.parametrize("shape", [(7, 9), (1, 9), (9,), (1, 1, 7, 9), (2, 1, 1, 9), (3, 7, 9)])
def test_dot_product_excludes_keys_by_a_mask(shape):
    tensors, mask = qkv(), random_mask(*shape)
    masked = ~mask.expand(2, 3, 7, 9).reshape(6, 7, 9).numpy()
    state = calibrated(*tensors, attn_mask=mask)
    expected = simulated(state, tensors, masked)
    added = torch.zeros(shape).masked_fill(~mask, float("-inf"))
    lowest = torch.zeros(shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    for each in (mask, added, lowest):
        assert torch.equal(attention(*tensors, each), expected)
        assert torch.equal(attention(*tensors, each, state=state), expected)
    assert not torch.equal(attention(*tensors, state=state), expected)


def test_dot_product_adds_the_rest_of_a_mask_as_score_bias():
    tensors = qkv()
    (real,) = drawn((3, 7, 9), seed=5)
    mask = (2 * real).masked_fill(~random_mask(7, 9), float("-inf"))
    state = calibrated(*tensors, attn_mask=mask)
    finite = mask.masked_fill(mask.isinf(), 0).double().numpy()
    bias = np.floor(finite * np.log2(np.e) * 2**5 + 0.5).astype(np.int32)
    expected = simulated(
        state, tensors, np.tile(mask.isinf().numpy(), (2, 1, 1)), np.tile(bias, (2, 1, 1))
    )
    assert torch.equal(attention(*tensors, mask), expected)


def test_dot_product_is_causal_as_torchs_is():
    tensors = qkv()
    rows = torch.ones(7, 9, dtype=torch.bool).tril()
    assert torch.equal(attention(*tensors, is_causal=True), attention(*tensors, rows))


def test_dot_product_shares_heads_of_k_and_v():
    q, (k, v) = drawn((2, 6, 7, 8))[0], drawn((2, 2, 9, 8), (2, 2, 9, 5), seed=1)
    repeated = [each.repeat_interleave(3, dim=1) for each in (k, v)]
    assert torch.equal(attention(q, k, v, enable_gqa=True), attention(q, *repeated))


def test_dot_product_is_near_torchs_where_codes_are_wide():
    """At 8 bits; what is left is the code of the map: 6 to 9 % for random values."""
    tensors = qkv((2, 3), 64, 64, 32, 32)
    for scale in (None, 0.3):
        real = scaled_dot_product_attention(*tensors, scale=scale)
        error = (attention(*tensors, scale=scale, bits=8) - real).norm() / real.norm()
        assert 0.01 < error < 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dot_product_keeps_the_type_of_q(dtype):
    tensors = [each.to(dtype) for each in qkv()]
    found = attention(*tensors)
    assert found.dtype == dtype
    if dtype != torch.float64:
        assert torch.equal(found, attention(*(each.float() for each in tensors)).to(dtype))


def test_dot_product_is_on_the_grid_of_its_codes():
    tensors = qkv()
    state = calibrated(*tensors)
    quantizer = state.o_quantizer
    o = attention(*tensors, state=state)
    codes = o / quantizer.delta + quantizer.zero_point
    assert torch.equal(codes.round().clamp(0, 15), codes.round())
    assert (codes - codes.round()).abs().max() < 1e-4


def test_dot_product_state_is_left_as_it_is_and_holds_for_other_tensors():
    tensors = qkv()
    state = calibrated(*tensors)
    before = copy.deepcopy(state.state_dict())
    other = qkv(rows=3, keys=4, seed=9)
    assert torch.equal(attention(*other, state=state), simulated(state, other))
    assert all(torch.equal(value, before[name]) for name, value in state.state_dict().items())


def test_dot_product_state_is_saved_and_loaded():
    tensors = qkv()
    state = calibrated(*tensors, scale=0.3)
    other = DotProductAttention(state.config)
    other.load_state_dict(state.state_dict())
    assert other.params() == state.params()
    assert torch.equal(attention(*tensors, state=other), attention(*tensors, scale=0.3))
    with pytest.raises(ValueError, match=r"scale must be 0\.3, that of the state, got 0\.5"):
        attention(*tensors, scale=0.5, state=other)


def test_dot_product_is_checked_as_any_layer_and_a_planted_error_is_found():
    tensors, mask = qkv(), random_mask(2, 1, 7, 9)
    state = calibrated(*tensors, attn_mask=mask)
    for planted in (0, 1):
        state.datapath.level_of[0] -= planted
        checker = Checker("all", threads=0)
        with watch(state, checker) as watched:
            watched.begin(range(2))
            state(*tensors, mask)
        assert checker.passed != planted
        assert checker.compared["o"] == 2 * 3 * 7 * 5


def test_dot_product_has_room_for_long_rows_and_wide_heads():
    q, k, v = drawn((1, 2, 160), (1, 1500, 160), (1, 1500, 8))
    assert torch.equal(attention(q, k, v), simulated_of_long(q, k, v))


def simulated_of_long(*tensors):
    state = DotProductAttention(AttentionConfig("RowMax_16", max_tokens=1500, max_head_dim=160))
    state.calibrate(*tensors)
    return simulated(state, tensors)


A, B, C = qkv()


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda: attention(A, B, C, dropout_p=0.1), "dropout_p must be 0, which the datapath has "),
        (lambda: attention(A, B, C, random_mask(7, 9), is_causal=True), "attn_mask must be None w"),
        (lambda: attention(A, B, C, random_mask(9, 7)), r"attn_mask must broadcast to \(2, 3, 7, "),
        (lambda: attention(A, B, C, torch.zeros(7, 9, dtype=torch.int32)), "attn_mask must be a t"),
        (lambda: attention(A, B, C, torch.zeros(7, 9, dtype=torch.bool)), "must leave a key in ev"),
        (lambda: attention(A, B, C, torch.full((7, 9), 1e9)), "else fit the score bias: score bia"),
        (lambda: attention(A, B, C, torch.full((7, 9), torch.nan)), "attn_mask must exclude keys "),
        (lambda: attention(A, B[..., :4], C), "q and k must have as many channels, k and v as man"),
        (lambda: attention(A, B, C[..., :4, :]), "q and k must have as many channels, k and v as "),
        (lambda: attention(A, B[:, :2], C), "q, k and v must broadcast but for two axes, got"),
        (lambda: attention(A, B[:, :2], C, enable_gqa=True), "k must have heads that divide those"),
        (lambda: attention(A, B, C.double()), "v must be torch.float32 on cpu as q, got torch.flo"),
        (lambda: attention(A.long(), B, C), "q must be a tensor of floats, got torch.int64"),
        (lambda: attention(A, B, "v"), "v must be a tensor of floats, got 'v'"),
        (lambda: attention(A[0, 0, 0], B, C), r"q must be \(..., tokens, channels\), got \(8,\)"),
        (lambda: attention(A, B.clone().requires_grad_(), C), "k must need no gradient"),
        (lambda: attention(A, torch.ones_like(B) * torch.nan, C), "k: values must be finite"),
        (lambda: attention(A, B, torch.zeros_like(C)), "v: values must span a range"),
        (lambda: attention(A, B, C, scale=0.0), "scale must be a number above 0, got 0.0"),
        (lambda: attention(A, B, C, scheme="none"), "scheme must be one of BitLog2_Single_16,"),
        (lambda: attention(A, B, C, bits=9), "bits must be from 2 to 8, got 9"),
        (lambda: attention(A, B, C, bits=8, state=calibrated(A, B, C)), "bits must be 4, that of "),
        (
            lambda: attention(A, B, C, scheme="BitLog2_Half_17", state=calibrated(A, B, C)),
            "scheme must be RowMax_16, that of the state, got BitLog2_Half_17",
        ),
        (
            lambda: attention(*qkv(keys=1025), state=calibrated(A, B, C)),
            "datapath max_tokens must be at least 1025",
        ),
    ],
)  # fmt: skip
def test_dot_product_refuses_in_one_line(call, wrong):
    with pytest.raises((ValueError, TypeError), match=f"^[^\n]*{wrong}[^\n]*$"):
        call()


def test_dot_product_that_is_not_calibrated_says_so():
    with pytest.raises(RuntimeError, match="quantizer is not calibrated"):
        DotProductAttention(AttentionConfig())(*qkv())
