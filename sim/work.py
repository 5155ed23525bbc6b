"""What fills the result of some heads of a batch, from codes or from scores."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, check_bits
from .checks import KERNEL_ARRAY
from .kernel.heads import HeadScratch, attention_heads, borrowed_scratch, heads_from_scores
from .threads import Work


def _arguments(batch: Batch, part: slice, scratch: HeadScratch) -> tuple[Any, ...]:
    """Return what both kernels take after codes or scores."""
    masks, scheme = batch.masked_and_bias(part), batch.scheme
    out = batch.registers(part), batch.o[part]
    return (*masks, batch.layer, scheme, batch.trace, scratch, *out)


@contextmanager
def work_from_codes(batch: Batch, q: NDArray[Any], k: NDArray[Any]) -> Iterator[Work]:
    """Yield what fills the result of some heads: units 1 to 9."""
    codes = {"q": q, "k": k, "v": batch.v}

    def work(part: slice) -> None:
        bits_seen = attention_heads(
            *(np.require(x[part], np.int32, KERNEL_ARRAY) for x in codes.values()),
            *_arguments(batch, part, scratch),
        )
        for (name, values), seen in zip(codes.items(), bits_seen, strict=True):
            check_bits(name, values, seen, batch.config)

    with borrowed_scratch(k.shape[1], k.shape[2], batch.v.shape[2]) as scratch:
        yield work


@contextmanager
def work_from_scores(batch: Batch, score: NDArray[np.int32]) -> Iterator[Work]:
    """Yield what fills the result of some heads from their scores: units 2 to 9."""

    def work(part: slice) -> None:
        seen = heads_from_scores(
            np.require(score[part], np.int32, KERNEL_ARRAY),
            np.require(batch.v[part], np.int32, KERNEL_ARRAY),
            *_arguments(batch, part, scratch),
        )
        check_bits("v", batch.v, seen, batch.config)

    with borrowed_scratch(batch.v.shape[1], 1, batch.v.shape[2]) as scratch:
        yield work
