"""Rows of levels for the code register: every level and pair, every length, every flag bit."""

from collections.abc import Iterable

import numpy as np

from bitlog2.sim import AttentionConfig

from ..framing import row_group
from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup
from .row_max_cases import random_length

__all__ = ["code_register_cases"]

_RANDOM_ROWS = 128


def code_register_cases(
    target: Target, source: str, seed: int, cases: int | None
) -> list[CaseGroup]:
    """Return every level, the corner rows, or the random rows of a seed."""
    config = target.config
    if source == "random":
        count = _RANDOM_ROWS if cases is None else cases
        reason = "N and levels drawn, half of them 0"
        return [_group(source, reason, _random(config, seed, count))]
    levels = range(config.code.levels)
    groups = [
        _group("exhaustive", "every level, alone in its row", ([level] for level in levels)),
    ]
    pairs: Iterable[list[int]] = ([low, high] for low in levels for high in levels)
    if config.max_tokens >= 2:
        groups.append(_group("exhaustive", "every pair of levels in a byte", pairs))
    sampler = Sampler(seed, "code_register.corners")
    return [
        *groups,
        _group("corners", "every N from 1 to 33, and the largest", _lengths(config, sampler)),
        _group("corners", "one level 0 in every place of 17 keys, and one other", _hot(config)),
    ]


def _group(source: str, reason: str, rows: Iterable[np.ndarray | list[int]]) -> CaseGroup:
    return row_group(source, reason, [{"level": row} for row in rows])


def _lengths(config: AttentionConfig, sampler: Sampler) -> Iterable[np.ndarray]:
    for keys in sorted({*range(1, min(33, config.max_tokens) + 1), config.max_tokens}):
        yield np.zeros(keys, np.int64)
        yield np.full(keys, config.code.top_level)
        yield sampler.integers(0, config.code.top_level, keys)


def _hot(config: AttentionConfig) -> Iterable[np.ndarray]:
    keys = min(17, config.max_tokens)
    for place in range(keys):
        for one, others in ((0, config.code.top_level), (config.code.top_level, 0)):
            row = np.full(keys, others)
            row[place] = one
            yield row


def _random(config: AttentionConfig, seed: int, count: int) -> Iterable[np.ndarray]:
    sampler = Sampler(seed, "code_register.random")
    for _ in range(count):
        keys = random_length(config, sampler)
        row = sampler.integers(0, config.code.top_level, keys)
        row[sampler.integers(0, 1, keys) == 1] = 0
        yield row
