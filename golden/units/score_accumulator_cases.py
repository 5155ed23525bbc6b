"""Queries and keys for the score accumulator: every code and zero point, bounds, lengths."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from bitlog2.sim import AttentionConfig

from ..framing import row_group
from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup
from .corners import EXHAUSTIVE

__all__ = ["score_accumulator_cases"]

_RANDOM_CASES = 256


@dataclass(frozen=True)
class _Pair:
    """Codes of a query and a key (D,) and their zero points."""

    q: np.ndarray
    k: np.ndarray
    zq: int
    zk: int


def score_accumulator_cases(
    target: Target, source: str, seed: int, cases: int | None
) -> list[CaseGroup]:
    """Return every code with every zero point, the corner pairs, or the random pairs of a seed."""
    config = target.config
    sampler = Sampler(seed, f"score_accumulator.{source}")
    if source == "random":
        count = _RANDOM_CASES if cases is None else cases
        reason = "D, codes and zero points drawn"
        return [_group(source, reason, (_drawn(config, sampler) for _ in range(count)))]
    groups = [
        _group(source, "scores at both bounds, of either sign of q and k", _bounds(config)),
        _group(source, "one channel at a bound, in every place", _one_channel(config)),
        _group(source, "every D from 1 to 33, and the largest", _lengths(config, sampler)),
    ]
    if config.max_head_dim >= 2:
        groups.append(_group(source, "channels that cancel", _cancelling(config)))
    if 1 << 2 * (config.q_bits + config.k_bits) <= EXHAUSTIVE:
        reason = "every q, zq and zk, with every k in the channels"
        groups.append(_group("exhaustive", reason, _every_code(config)))
    return groups


def _group(source: str, reason: str, pairs: Iterable[_Pair]) -> CaseGroup:
    listed = list(pairs)
    beats = [{"q": pair.q, "k": pair.k} for pair in listed]
    zeros = {"zq": [pair.zq for pair in listed], "zk": [pair.zk for pair in listed]}
    return row_group(source, reason, beats, zeros)


def _tops(config: AttentionConfig) -> tuple[int, int]:
    return (1 << config.q_bits) - 1, (1 << config.k_bits) - 1


def _corner(config: AttentionConfig, channels: int, q_side: int, k_side: int) -> _Pair:
    """Return codes at their zero point (side 0), or as far above (1) or below (-1) as they go."""
    q_top, k_top = _tops(config)
    return _Pair(
        q=np.full(channels, q_top if q_side >= 0 else 0),
        k=np.full(channels, k_top if k_side >= 0 else 0),
        zq=0 if q_side == 1 else q_top,
        zk=0 if k_side == 1 else k_top,
    )


def _bounds(config: AttentionConfig) -> Iterable[_Pair]:
    most = config.max_head_dim
    for channels in sorted({each for each in (1, 2, 3, 64, most) if each <= most}):
        for q_side, k_side in product((-1, 0, 1), repeat=2):
            yield _corner(config, channels, q_side, k_side)


def _one_channel(config: AttentionConfig) -> Iterable[_Pair]:
    channels = min(17, config.max_head_dim)
    for place in range(channels):
        for q_side, k_side in product((-1, 1), repeat=2):
            pair = _corner(config, channels, q_side, k_side)
            others = np.arange(channels) != place
            yield _Pair(np.where(others, pair.zq, pair.q), pair.k, pair.zq, pair.zk)
            yield _Pair(pair.q, np.where(others, pair.zk, pair.k), pair.zq, pair.zk)


def _drawn(config: AttentionConfig, sampler: Sampler, channels: int | None = None) -> _Pair:
    q_top, k_top = _tops(config)
    if channels is None:
        short = sampler.integer(0, 1) == 1
        most = config.max_head_dim
        channels = sampler.integer(1, min(17, most) if short else most)
    q, k = sampler.integers(0, q_top, channels), sampler.integers(0, k_top, channels)
    return _Pair(q, k, sampler.integer(0, q_top), sampler.integer(0, k_top))


def _lengths(config: AttentionConfig, sampler: Sampler) -> Iterable[_Pair]:
    for channels in sorted({*range(1, min(33, config.max_head_dim) + 1), config.max_head_dim}):
        yield _drawn(config, sampler, channels)


def _cancelling(config: AttentionConfig) -> Iterable[_Pair]:
    """Neighbouring channels with opposite signs: partial sums go up and down."""
    for channels in sorted({2, 2 * (config.max_head_dim // 2)}):
        for step in (0, 1):
            k = 2 * ((np.arange(channels) + step) % 2)
            yield _Pair(np.full(channels, (1 << config.q_bits) - 1), k, 0, 1)


def _every_code(config: AttentionConfig) -> Iterable[_Pair]:
    q_top, k_top = _tops(config)
    codes = np.arange(k_top + 1)
    parts = np.split(codes, range(config.max_head_dim, k_top + 1, config.max_head_dim))
    zeros = product(range(q_top + 1), range(k_top + 1))
    for (zq, zk), q in product(zeros, range(q_top + 1)):
        for part in parts:
            yield _Pair(np.full(len(part), q), part, zq, zk)
