"""`attention`: a batch of heads through the nine units, in parallel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_codes, check_int
from .config import AttentionConfig
from .kernel.constants import (
    LayerConstants,
    SchemeConstants,
    layer_constants,
    scheme_constants,
)
from .kernel.heads import attention_heads, borrowed_scratch
from .kernel.rows import Registers, code_rows, new_registers, output_rows, row_block
from .kernel.shift_add import level_value
from .matmul import exact_matmul, one_blas_thread
from .params import LayerParams
from .threads import Prepare, Work, each_part, usable_processors

__all__ = ["AttentionTrace", "attention", "attention_from_scores"]


@dataclass(frozen=True)
class AttentionTrace:
    """Every register of a batch of G heads with R query rows, N keys and D output channels.

    score, t, d, e: (G, R, N) int32. level, nibble, flag: (G, R, N) uint8. row_max: (G, R) int32;
    row_sum: (G, R) int64. acc: (G, R, D) int32; o: (G, R, D) uint8. A masked key has e = 0,
    level 0, and shows d = d_max.
    """

    score: NDArray[np.int32]
    t: NDArray[np.int32]
    row_max: NDArray[np.int32]
    d: NDArray[np.int32]
    e: NDArray[np.int32]
    row_sum: NDArray[np.int64]
    level: NDArray[np.uint8]
    nibble: NDArray[np.uint8]
    flag: NDArray[np.uint8]
    acc: NDArray[np.int32]
    o: NDArray[np.uint8]


def attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    trace: bool = False,
    threads: int | None = None,
) -> NDArray[np.uint8] | AttentionTrace:
    """Return the output codes of a batch of heads, or with `trace` every register.

    Args:
        q: (G, R, D) integer codes, 0 to 2**q_bits - 1.
        k: (G, N, D) integer codes, 0 to 2**k_bits - 1; N at most `max_tokens`, D `max_head_dim`.
        v: (G, N, D') integer codes, 0 to 2**v_bits - 1.
        params: what the layer loads.
        config: what the hardware is built with.
        masked: (G or 1, R or 1, N) bool, True for a key that takes no part; None for none.
        bias: (G or 1, R or 1, N) integer score biases in the range of t; None for none.
        trace: return an `AttentionTrace`.
        threads: worker threads, 1 to 256; None for one a usable processor.

    Returns:
        (G, R, D') uint8 codes, or the trace.

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range, or a row is fully
            masked.

    Bits: equal to `bitlog2.sim.spec.attention_row`, for any number of threads
    (tests/test_attention.py). Source: SPEC.md, "The datapath".
    """
    q, k, v = _codes("q", q, config), _codes("k", k, config), _codes("v", v, config)
    if q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"q and k must agree in heads and channels, got {q.shape} and {k.shape}")
    check_int("head dimension D", q.shape[2], 1, config.max_head_dim)
    shape = (q.shape[0], q.shape[1], k.shape[1])
    batch = _check(shape, v, params, config, masked, bias, trace, threads)
    if _fits_lanes(config):
        return batch.run(lambda: _work_in_lanes(batch, q, k))
    bound = config.registers["score"].bound

    def scores(part: slice) -> NDArray[np.int32]:
        queries, keys = _in_range("q", q[part], config), _in_range("k", k[part], config)
        return exact_matmul(queries - params.zq, (keys - params.zk).swapaxes(1, 2), bound)

    with one_blas_thread():
        return batch.run(lambda: _work_from_scores(batch, scores))


def attention_from_scores(
    score: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    trace: bool = False,
    threads: int | None = None,
) -> NDArray[np.uint8] | AttentionTrace:
    """Return what `attention` returns, from scores that are known: units 2 to 9.

    Args:
        score: (G, R, N) integers within the score register's bound; the rest as `attention`.
    """
    bound = config.registers["score"].bound
    score = check_codes("score", score, -bound, bound, 3)
    shape = (score.shape[0], score.shape[1], score.shape[2])
    batch = _check(shape, _codes("v", v, config), params, config, masked, bias, trace, threads)
    with one_blas_thread():
        return batch.run(lambda: _work_from_scores(batch, lambda part: score[part]))


@dataclass(frozen=True)
class _Batch:
    """Arguments that are checked, but for the range of codes, and the result's arrays by name."""

    v: NDArray[Any]
    masked: NDArray[np.uint8]
    bias: NDArray[np.int32]
    config: AttentionConfig
    layer: LayerConstants
    scheme: SchemeConstants
    trace: bool
    workers: int
    regs: Registers
    o: NDArray[np.uint8]

    def run(self, prepare: Prepare) -> Any:
        """Fill the result part by part, and return it."""
        each_part(len(self.v), self.workers, prepare)
        return AttentionTrace(**self.regs._asdict(), o=self.o) if self.trace else self.o

    def registers(self, part: slice) -> Registers:
        """Return the registers of some heads."""
        return Registers._make(values[part] for values in self.regs)

    def masked_and_bias(self, part: slice) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return mask and bias of some heads, or those of all."""
        masked = self.masked if len(self.masked) == 1 else self.masked[part]
        return masked, self.bias if len(self.bias) == 1 else self.bias[part]


@contextmanager
def _work_in_lanes(batch: _Batch, q: NDArray[Any], k: NDArray[Any]) -> Iterator[Work]:
    """Yield what fills the result of some heads: units 1 to 9 in int16 lanes."""
    codes = {"q": q, "k": k, "v": batch.v}

    def work(part: slice) -> None:
        bits_seen = attention_heads(
            *(np.ascontiguousarray(x[part], np.int32) for x in codes.values()),
            *batch.masked_and_bias(part),
            batch.layer,
            batch.scheme,
            batch.trace,
            scratch,
            batch.registers(part),
            batch.o[part],
        )
        for (name, values), seen in zip(codes.items(), bits_seen, strict=True):
            if seen & ~_largest_code(name, batch.config):
                _in_range(name, values, batch.config)

    with borrowed_scratch(k.shape[1], k.shape[2], batch.v.shape[2]) as scratch:
        yield work


@contextmanager
def _work_from_scores(
    batch: _Batch, scores: Callable[[slice], NDArray[np.int32]]
) -> Iterator[Work]:
    """Yield what fills the result of some heads from their scores, the last sums by BLAS."""
    layer, scheme = batch.layer, batch.scheme
    block, bound = row_block(batch.v.shape[1]), batch.config.registers["acc"].bound

    def work(part: slice) -> None:
        v, score = _in_range("v", batch.v[part], batch.config), scores(part)
        level = np.empty(score.shape, np.uint8)
        weight = np.empty(score.shape, np.float32)
        masks, regs = batch.masked_and_bias(part), batch.registers(part)
        code_rows(score, *masks, layer, scheme, batch.trace, block, regs, level)
        level_value(level.reshape(-1), scheme, weight.reshape(-1))
        acc = exact_matmul(weight, v - layer.zv, bound)
        output_rows(acc, layer, batch.o[part])
        if batch.trace:
            regs.score[:], regs.acc[:] = score, acc

    yield work


def _fits_lanes(config: AttentionConfig) -> bool:
    """Whether scores and accumulators, and their partial sums, stay within int16 lanes."""
    return all(config.registers[name].bound < 1 << 15 for name in ("score", "acc"))


def _largest_code(name: str, config: AttentionConfig) -> int:
    bits: int = getattr(config, f"{name}_bits")
    return (1 << bits) - 1


def _in_range(name: str, array: NDArray[Any], config: AttentionConfig) -> NDArray[np.int32]:
    return check_codes(name, array, 0, _largest_code(name, config), 3)


def _codes(name: str, array: NDArray[Any], config: AttentionConfig) -> NDArray[Any]:
    """Return codes in three axes that int32 holds; their range is checked part by part."""
    values = np.asarray(array)
    fits = values.dtype.kind in "iu" and np.can_cast(values.dtype, np.int32)
    if fits and values.ndim == 3 and values.size > 0:
        return values
    return _in_range(name, values, config)


def _check(
    shape: tuple[int, int, int],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    masked: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    trace: bool,
    threads: int | None,
) -> _Batch:
    heads, _, keys = shape
    config.check_params(params)
    check_int("number of keys N", keys, 1, config.max_tokens)
    if v.shape[:2] != (heads, keys):
        raise ValueError(f"v must have {heads} heads and {keys} keys, got shape {v.shape}")
    return _Batch(
        v,
        _check_mask(masked, shape),
        _check_bias(bias, shape, config),
        config,
        layer_constants(config, params),
        scheme_constants(config.code),
        trace,
        usable_processors() if threads is None else check_int("threads", threads, 1, 256),
        new_registers(*(shape if trace else (heads, 0, 0)), v.shape[2] if trace else 0),
        np.empty((*shape[:2], v.shape[2]), np.uint8),
    )


def _check_shape(name: str, got: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    heads, rows, keys = shape
    if len(got) != 3 or got[0] not in (1, heads) or got[1] not in (1, rows) or got[2] != keys:
        raise ValueError(f"{name} must have shape ({heads} or 1, {rows} or 1, {keys}), got {got}")


def _check_mask(masked: NDArray[Any] | None, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    if masked is None:
        return np.zeros((1, 1, 0), np.uint8)
    mask = np.asarray(masked)
    if mask.dtype != np.bool_:
        raise TypeError(f"masked must have dtype bool, got {mask.dtype}")
    _check_shape("masked", mask.shape, shape)
    if mask.all(axis=2).any():
        head, row = (int(index[0]) for index in np.nonzero(mask.all(axis=2)))
        raise ValueError(
            f"masked must leave at least one key in every row, got head {head} row {row} all masked"
        )
    return np.ascontiguousarray(mask).view(np.uint8)


def _check_bias(
    bias: NDArray[Any] | None, shape: tuple[int, int, int], config: AttentionConfig
) -> NDArray[np.int32]:
    if bias is None:
        return np.zeros((1, 1, shape[2]), np.int32)
    values = check_codes("bias", bias, config.t_min, config.t_max, 3)
    _check_shape("bias", values.shape, shape)
    return values
