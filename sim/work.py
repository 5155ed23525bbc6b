"""What fills the result of some heads of a batch: in int16 lanes where sums fit, else by BLAS."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, check_bits, check_range
from .config import AttentionConfig
from .kernel.heads import HeadScratch, attention_heads, borrowed_scratch, heads_from_scores
from .kernel.rows import code_rows, output_rows, row_block
from .matmul import exact_matmul
from .threads import Work
from .units.shift_add import level_value

#: Returns the scores of some heads.
Scores = Callable[[slice], NDArray[np.int32]]


def fits_lanes(config: AttentionConfig, *registers: str) -> bool:
    """Whether these registers, and their partial sums, stay within int16 lanes."""
    return all(config.registers[name].bound < 1 << 15 for name in registers)


def _lane_arguments(batch: Batch, part: slice, scratch: HeadScratch) -> tuple[Any, ...]:
    """Return what both kernels in lanes take after codes or scores."""
    masks, scheme = batch.masked_and_bias(part), batch.scheme
    out = batch.registers(part), batch.o[part]
    return (*masks, batch.layer, scheme, batch.trace, scratch, *out)


@contextmanager
def work_from_codes(batch: Batch, q: NDArray[Any], k: NDArray[Any]) -> Iterator[Work]:
    """Yield what fills the result of some heads: units 1 to 9 in int16 lanes."""
    codes = {"q": q, "k": k, "v": batch.v}

    def work(part: slice) -> None:
        bits_seen = attention_heads(
            *(np.ascontiguousarray(x[part], np.int32) for x in codes.values()),
            *_lane_arguments(batch, part, scratch),
        )
        for (name, values), seen in zip(codes.items(), bits_seen, strict=True):
            check_bits(name, values, seen, batch.config)

    with borrowed_scratch(k.shape[1], k.shape[2], batch.v.shape[2]) as scratch:
        yield work


def work_from_scores(batch: Batch, scores: Scores) -> AbstractContextManager[Work]:
    """Return what fills the result of some heads from their scores: units 2 to 9."""
    in_lanes = fits_lanes(batch.config, "acc")
    return (_work_in_lanes if in_lanes else _work_by_blas)(batch, scores)


@contextmanager
def _work_in_lanes(batch: Batch, scores: Scores) -> Iterator[Work]:
    """Yield what fills the result of some heads from their scores, in int16 lanes."""

    def work(part: slice) -> None:
        seen = heads_from_scores(
            np.ascontiguousarray(scores(part), np.int32),
            np.ascontiguousarray(batch.v[part], np.int32),
            *_lane_arguments(batch, part, scratch),
        )
        check_bits("v", batch.v, seen, batch.config)

    with borrowed_scratch(batch.v.shape[1], 1, batch.v.shape[2]) as scratch:
        yield work


@contextmanager
def _work_by_blas(batch: Batch, scores: Scores) -> Iterator[Work]:
    """Yield what fills the result of some heads from their scores, the last sums by BLAS."""
    layer, scheme = batch.layer, batch.scheme
    block, bound = row_block(batch.v.shape[1]), batch.config.registers["acc"].bound

    def work(part: slice) -> None:
        v, score = check_range("v", batch.v[part], batch.config), scores(part)
        level = np.empty(score.shape, np.uint8)
        weight = np.empty(score.shape, np.float32)
        masks, regs = batch.masked_and_bias(part), batch.registers(part)
        m2, n2 = np.empty((2, *score.shape[:2]), np.int64)
        code_rows(score, *masks, layer, scheme, batch.trace, block, regs, level, m2, n2)
        level_value(level.reshape(-1), scheme, weight.reshape(-1))
        acc = exact_matmul(weight, v - layer.zv, bound)
        output_rows(acc, m2, n2, layer, batch.o[part])
        if batch.trace:
            regs.score[:], regs.acc[:] = score, acc

    yield work
