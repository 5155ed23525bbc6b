"""`attention`: a batch of heads through the nine units, in parallel."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_codes, check_int
from .config import AttentionConfig
from .kernel.constants import layer_constants, scheme_constants
from .kernel.rows import RowRegisters, code_rows, output_rows
from .matmul import exact_matmul, one_blas_thread
from .params import LayerParams

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
    q = check_codes("q", q, 0, (1 << config.q_bits) - 1, 3)
    k = check_codes("k", k, 0, (1 << config.k_bits) - 1, 3)
    if q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"q and k must agree in heads and channels, got {q.shape} and {k.shape}")
    check_int("head dimension D", q.shape[2], 1, config.max_head_dim)
    config.check_params(params)
    bound = config.registers["score"].bound

    def scores(heads: slice) -> NDArray[np.int32]:
        return exact_matmul(q[heads] - params.zq, (k[heads] - params.zk).swapaxes(1, 2), bound)

    shape = (q.shape[0], q.shape[1], k.shape[1])
    return _run(scores, shape, v, params, config, masked, bias, trace, threads)


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
    config.check_params(params)
    shape = (score.shape[0], score.shape[1], score.shape[2])
    return _run(lambda heads: score[heads], shape, v, params, config, masked, bias, trace, threads)


def _run(
    scores: Callable[[slice], NDArray[np.int32]],
    shape: tuple[int, int, int],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    masked: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    trace: bool,
    threads: int | None,
) -> NDArray[np.uint8] | AttentionTrace:
    heads, rows, keys = shape
    check_int("number of keys N", keys, 1, config.max_tokens)
    v = check_codes("v", v, 0, (1 << config.v_bits) - 1, 3)
    if v.shape[:2] != (heads, keys):
        raise ValueError(f"v must have {heads} heads and {keys} keys, got shape {v.shape}")
    mask = _check_mask(masked, shape)
    offsets = _check_bias(bias, shape, config)
    workers = _usable_processors() if threads is None else check_int("threads", threads, 1, 256)

    result = _allocate(shape, v.shape[2], trace)
    layer, scheme = layer_constants(config, params), scheme_constants(config.code)
    bound = config.registers["acc"].bound

    def work(part: slice) -> None:
        score = scores(part)
        size = score.shape[0]
        weight = np.empty(score.shape, np.float32)
        regs = _part_of(result, part) if trace else _row_registers(1, 1, keys)
        code_rows(
            score,
            _heads_of(mask, part),
            _heads_of(offsets, part),
            layer,
            scheme,
            trace,
            regs,
            weight,
        )
        acc = exact_matmul(weight, v[part] - params.zv, bound)
        codes = np.empty((size, rows, v.shape[2]), np.uint8)
        output_rows(acc, layer, codes)
        result["o"][part] = codes
        if trace:
            result["score"][part], result["acc"][part] = score, acc

    parts = _split(heads, workers)
    with one_blas_thread():
        if workers == 1 or len(parts) == 1:
            for part in parts:
                work(part)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(work, parts))
    return AttentionTrace(**result) if trace else result["o"]


def _row_registers(heads: int, rows: int, keys: int) -> RowRegisters:
    grid = (heads, rows, keys)
    return RowRegisters(
        t=np.empty(grid, np.int32),
        row_max=np.empty(grid[:2], np.int32),
        d=np.empty(grid, np.int32),
        e=np.empty(grid, np.int32),
        row_sum=np.empty(grid[:2], np.int64),
        level=np.empty(grid, np.uint8),
        nibble=np.empty(grid, np.uint8),
        flag=np.empty(grid, np.uint8),
    )


def _allocate(shape: tuple[int, int, int], channels: int, trace: bool) -> dict[str, NDArray[Any]]:
    output = (shape[0], shape[1], channels)
    result: dict[str, NDArray[Any]] = {"o": np.empty(output, np.uint8)}
    if trace:
        result |= _row_registers(*shape)._asdict()
        result |= {"score": np.empty(shape, np.int32), "acc": np.empty(output, np.int32)}
    return result


def _part_of(result: dict[str, NDArray[Any]], part: slice) -> RowRegisters:
    return RowRegisters(**{name: result[name][part] for name in RowRegisters._fields})


def _heads_of(values: NDArray[Any], part: slice) -> NDArray[Any]:
    return values if values.shape[0] == 1 else values[part]


def _split(heads: int, workers: int) -> list[slice]:
    step = max(1, -(-heads // (4 * workers)))
    return [slice(start, min(start + step, heads)) for start in range(0, heads, step)]


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


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
