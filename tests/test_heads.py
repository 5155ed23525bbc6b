"""Units 1 to 9 in int16 lanes, against the form that multiplies by BLAS."""

import sys

import numpy as np
import pytest

from bitlog2.sim import REGISTERS, SCHEMES, AttentionConfig, LayerParams, work
from bitlog2.sim.attention import attention
from bitlog2.sim.kernel.heads import borrowed_scratch
from bitlog2.sim.work import fits_lanes

#: The module; the package shows its function under the same name.
attention_module = sys.modules[attention.__module__]
PARAMS = LayerParams(40000, 18, 40000, 22, 7, 8, 7, 8)
#: Heads, rows, keys, channels, output channels: below, at and above blocks and lanes.
SHAPES = [(1, 1, 1, 1, 1), (2, 33, 127, 7, 63), (3, 32, 128, 8, 64), (2, 70, 300, 65, 130)]
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


def every_form(monkeypatch, config, codes, given, threads=1):
    """The traces in lanes, with scores by BLAS, and with both sums by BLAS."""
    traces = []
    for fitting in ({"score", "acc"}, {"acc"}, set()):
        for module in (attention_module, work):
            monkeypatch.setattr(
                module, "fits_lanes", lambda _, *names, fitting=fitting: set(names) <= fitting
            )
        traces.append(attention(*codes, PARAMS, config, **given, trace=True, threads=threads))
    return traces


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scheme", HALF)
def test_heads_every_register_is_that_of_the_blas_form(monkeypatch, scheme, shape, masks, bias):
    codes, given = inputs(shape, 5, masks=masks, bias=bias)
    lanes, mixed, blas = every_form(monkeypatch, AttentionConfig(scheme), codes, given)
    for name in REGISTERS:
        assert np.array_equal(getattr(lanes, name), getattr(blas, name)), name
        assert np.array_equal(getattr(mixed, name), getattr(blas, name)), name


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_heads_any_number_of_threads_gives_the_same(monkeypatch, threads):
    codes, given = inputs((5, 40, 50, 16, 16), 6, masks=True, bias=True)
    lanes, mixed, blas = every_form(monkeypatch, AttentionConfig(), codes, given, threads)
    assert np.array_equal(lanes.o, blas.o)
    assert np.array_equal(mixed.o, blas.o)


def test_heads_trace_and_plain_call_give_the_same_codes():
    codes, given = inputs((2, 70, 300, 65, 130), 7, masks=True, bias=False)
    trace = attention(*codes, PARAMS, AttentionConfig(), **given, trace=True)
    assert np.array_equal(attention(*codes, PARAMS, AttentionConfig(), **given), trace.o)


def test_heads_scratch_of_another_head_does_not_show():
    """A head after one of full codes gives what it gives alone."""
    (q, k, v), _ = inputs((1, 9, 130, 5, 70), 8, masks=False, bias=False)
    full = [np.full_like(x, 15) for x in (q, k, v)]
    after = [np.concatenate(pair) for pair in zip(full, (q, k, v), strict=True)]
    alone = attention(q, k, v, PARAMS, AttentionConfig(), threads=1)
    assert np.array_equal(attention(*after, PARAMS, AttentionConfig(), threads=1)[1:], alone)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"scheme": "BitLog2_Half_16"}, True),
        ({"scheme": "BitLog2_Single_16"}, False),
        ({"scheme": "BitLog2_Single_17"}, False),
        ({"max_head_dim": 145}, True),
        ({"max_head_dim": 146}, False),
        ({"q_bits": 8}, False),
        ({"v_bits": 7}, False),
    ],
)
def test_heads_lanes_are_taken_where_the_bounds_fit_them(fields, fits):
    config = AttentionConfig(**fields)
    bounds = [config.registers[name].bound for name in ("score", "acc")]
    assert fits_lanes(config, "score", "acc") == fits == (max(bounds) <= 32767)
    for name, bound in zip(("score", "acc"), bounds, strict=True):
        assert fits_lanes(config, name) == (bound <= 32767)


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("value", [16, -1, 1 << 20])
@pytest.mark.parametrize("place", [0, -1])
def test_heads_code_out_of_range_is_refused_by_name(name, value, place):
    """Found while the codes are laid out, wherever it lies."""
    (q, k, v), _ = inputs((3, 40, 130, 8, 70), 9, masks=False, bias=False)
    codes = {"q": q, "k": k, "v": v}
    codes[name].reshape(-1)[place] = value
    with pytest.raises(ValueError, match=rf"{name} must be .*0 to 15.*{value}"):
        attention(*codes.values(), PARAMS, AttentionConfig(), threads=2)


def test_heads_borrowed_scratch_is_lent_to_one_at_a_time_and_again():
    with borrowed_scratch(21, 8, 8) as first, borrowed_scratch(21, 8, 8) as second:
        assert first.k is not second.k
    with borrowed_scratch(21, 8, 8) as again:
        assert any(again.k is lent.k for lent in (first, second))


def test_heads_used_scratch_changes_no_bit():
    """A short last block after other values of the same shape: nothing of them stays."""
    rng = np.random.default_rng(6)
    config, params = AttentionConfig(), LayerParams(47274, 18, 40000, 24, 7, 8, 7, 8)
    batches = [[rng.integers(0, 16, (2, 37, 13)) for _ in range(3)] for _ in range(3)]
    first = attention(*batches[0], params, config, threads=1)
    for batch in batches[1:]:
        attention(*batch, params, config, threads=1)
    assert np.array_equal(attention(*batches[0], params, config, threads=1), first)
