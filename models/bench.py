"""Speed as a ratio against a named peer, both sides alternating in the same run."""

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bitlog2.sim import AttentionConfig, LayerParams, attention
from bitlog2.sim.kernel.constants import layer_constants, scheme_constants
from bitlog2.sim.kernel.rows import RowRegisters, code_rows
from bitlog2.sim.kernel.threshold_quantizer import count_thresholds, row_thresholds

__all__ = ["BenchRow", "run_bench"]

_PARAMS = LayerParams(m=40000, n=20, m2=40000, n2=24, zq=7, zk=8, zv=7, zo=8)


@dataclass(frozen=True)
class BenchRow:
    """One comparison.

    Attributes:
        name: what was timed.
        peer: against what.
        ours, peers: seconds of each repetition, alternating.
        target: the ratio ours / peer that is to be reached, at most.
    """

    name: str
    peer: str
    ours: list[float]
    peers: list[float]
    target: float

    @property
    def ratio(self) -> float:
        """Median of our time over median of the peer's."""
        return statistics.median(self.ours) / statistics.median(self.peers)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= self.target

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, raw samples too."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def run_bench(repetitions: int) -> Iterator[BenchRow]:
    """Yield the rows, each timed `repetitions` times a side, on 1 thread unless the name says 2."""
    before = torch.get_num_threads()
    try:
        for case in (_codes, _attention_1, _attention_2, _quantizer):
            name, peer, ours, theirs, target = case()
            yield BenchRow(name, peer, *_alternate(ours, theirs, repetitions), target)
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, str]:
    """Return what the timings depend on."""
    return {"machine": platform.machine(), "processor": torch.backends.cpu.get_cpu_capability()}


def _alternate(
    ours: Callable[[], Any], theirs: Callable[[], Any], repetitions: int
) -> tuple[list[float], list[float]]:
    ours(), theirs()
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        for side, run in zip(samples, (ours, theirs), strict=True):
            start = time.perf_counter()
            run()
            side.append(time.perf_counter() - start)
    return samples


_Case = tuple[str, str, Callable[[], Any], Callable[[], Any], float]


def _codes() -> _Case:
    torch.set_num_threads(1)
    config = AttentionConfig()
    layer, scheme = layer_constants(config, _PARAMS), scheme_constants(config.code)
    grid = (96, 197, 197)
    score = np.random.default_rng(0).integers(-6000, 6000, grid).astype(np.int32)
    real = torch.from_numpy(score.astype(np.float32) / 1000)
    out = torch.empty_like(real)  # as ours: no new pages in the timed part
    none = np.zeros((1, 1, 0), np.uint8), np.zeros((1, 1, 197), np.int32)
    weight = np.empty(grid, np.float32)
    row = (1, 1, 197)
    regs = RowRegisters(
        *(np.empty(row, np.int32), np.empty(row[:2], np.int32), np.empty(row, np.int32)),
        *(np.empty(row, np.int32), np.empty(row[:2], np.int64)),
        *(np.empty(row, np.uint8) for _ in range(3)),
    )
    return (
        "units 2 to 6, scores to levels and values, 1 thread",
        "torch.softmax float32",
        lambda: code_rows(score, *none, layer, scheme, False, regs, weight),
        lambda: torch.softmax(real, dim=-1, out=out),
        1.5,
    )


def _attention(threads: int) -> _Case:
    torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    q, k, v = (rng.integers(0, 16, (96, 197, 64)).astype(np.int32) for _ in range(3))
    real: list[Any] = [torch.from_numpy(x.astype(np.float32))[None] for x in (q, k, v)]
    config = AttentionConfig()
    return (
        f"whole attention, 16 x 6 heads x 197 x 64, {threads} thread{'s' * (threads > 1)}",
        "torch scaled_dot_product_attention float32",
        lambda: attention(q, k, v, _PARAMS, config, threads=threads),
        lambda: F.scaled_dot_product_attention(*real),
        1.5,
    )


def _attention_1() -> _Case:
    return _attention(1)


def _attention_2() -> _Case:
    return _attention(2)


def _quantizer() -> _Case:
    torch.set_num_threads(1)
    config = AttentionConfig()
    scheme = scheme_constants(config.code)
    e = np.random.default_rng(2).integers(0, 1 << 16, 1 << 20).astype(np.int32)
    level = np.empty(e.size, np.uint8)
    count, edge = np.empty(e.size, np.int32), np.empty(16, np.int32)
    total = 1 << 22
    x = torch.from_numpy(e.astype(np.float32) / total)

    def ours() -> None:
        row_thresholds(total, scheme, edge)
        count_thresholds(e, scheme, edge, count, level)

    def peer() -> torch.Tensor:
        mantissa, exponent = torch.frexp((x * 384).floor_().clamp_(max=383))
        return (2 * exponent - 2 + (mantissa >= 0.75)).clamp_(min=0)

    return (
        "log2 quantizer alone, 2^20 values, 1 thread",
        "torch float32 floor, frexp",
        ours,
        peer,
        0.2,
    )
