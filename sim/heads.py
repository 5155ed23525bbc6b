"""`attention`: a batch of heads through the units, in parallel."""

from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, check_batch, int32_codes
from .checks import check_codes, check_int, check_type
from .config import AttentionConfig, LayerParams
from .threads import Prepare, each_part
from .work import work_from_codes, work_from_scores


@dataclass(frozen=True)
class AttentionTrace:
    """Every register of a batch of G heads with R query rows, N keys and D output channels.

    score, t, d, e: (G, R, N) int32. level, nibble, flag: (G, R, N) uint8. row_max: (G, R) int32;
    row_sum: (G, R) int64. weight_sum, m2_row: (G, R) int32; n2_row: (G, R) uint8.
    acc: (G, R, D) int32; o: (G, R, D) uint8. A masked key has e = 0, level 0, and shows d = d_max.
    Registers that the scheme's datapath lacks are None: `e` and `row_sum` for RowMax, `weight_sum`,
    `m2_row` and `n2_row` for the others.
    """

    score: NDArray[np.int32]
    t: NDArray[np.int32]
    row_max: NDArray[np.int32]
    d: NDArray[np.int32]
    e: NDArray[np.int32] | None
    row_sum: NDArray[np.int64] | None
    level: NDArray[np.uint8]
    nibble: NDArray[np.uint8]
    flag: NDArray[np.uint8]
    weight_sum: NDArray[np.int32] | None
    m2_row: NDArray[np.int32] | None
    n2_row: NDArray[np.uint8] | None
    acc: NDArray[np.int32]
    o: NDArray[np.uint8]


@overload
def attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: Literal[False] = ...,
    threads: int | None = ...,
) -> NDArray[np.uint8]: ...
@overload
def attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: Literal[True],
    threads: int | None = ...,
) -> AttentionTrace: ...
@overload
def attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: bool,
    threads: int | None = ...,
) -> NDArray[np.uint8] | AttentionTrace: ...
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
    _check_kinds(params, config)
    q, k, v = (int32_codes(name, x, config) for name, x in (("q", q), ("k", k), ("v", v)))
    if q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"q and k must agree in heads and channels, got {q.shape} and {k.shape}")
    check_int("head dimension D", q.shape[2], 1, config.max_head_dim)
    shape = (q.shape[0], q.shape[1], k.shape[1])
    batch = check_batch(shape, v, params, config, masked, bias, trace, threads)
    return _run(batch, lambda: work_from_codes(batch, q, k))


@overload
def attention_from_scores(
    score: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: Literal[False] = ...,
    threads: int | None = ...,
) -> NDArray[np.uint8]: ...
@overload
def attention_from_scores(
    score: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: Literal[True],
    threads: int | None = ...,
) -> AttentionTrace: ...
@overload
def attention_from_scores(
    score: NDArray[Any],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    *,
    masked: NDArray[Any] | None = ...,
    bias: NDArray[Any] | None = ...,
    trace: bool,
    threads: int | None = ...,
) -> NDArray[np.uint8] | AttentionTrace: ...
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
    _check_kinds(params, config)
    bound = config.registers["score"].bound
    score = check_codes("score", score, -bound, bound, 3)
    shape = (score.shape[0], score.shape[1], score.shape[2])
    batch = check_batch(
        shape, int32_codes("v", v, config), params, config, masked, bias, trace, threads
    )
    return _run(batch, lambda: work_from_scores(batch, score))


def _check_kinds(params: LayerParams, config: AttentionConfig) -> None:
    """Refuse swapped arguments."""
    check_type("params", params, LayerParams)
    check_type("config", config, AttentionConfig)


def _run(batch: Batch, prepare: Prepare) -> NDArray[np.uint8] | AttentionTrace:
    """Fill the result part by part, and return it."""
    each_part(len(batch.v), batch.workers, prepare)
    if not batch.trace:
        return batch.o
    ports = batch.config.ports
    held: dict[str, Any] = batch.regs._asdict()
    kept: dict[str, Any] = {name: x if name in ports else None for name, x in held.items()}
    return AttentionTrace(**kept, o=batch.o)
