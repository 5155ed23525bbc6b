"""Rows for row max and distance: lengths, equal rows, every gap that matters, masks, random."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from bitlog2.sim import AttentionConfig

from ..framing import row_group
from ..sampler import Sampler
from ..target import Target
from ..unit import CaseGroup
from .corners import near_powers

__all__ = ["random_length", "row_max_cases"]

_RANDOM_ROWS = 128
_LONGEST = 200
_Row = Mapping[str, ArrayLike]


def row_max_cases(target: Target, source: str, seed: int, cases: int | None) -> list[CaseGroup]:
    """Return the corner rows or the random rows of a seed."""
    config = target.config
    if source == "random":
        return [_random_rows(config, seed, _RANDOM_ROWS if cases is None else cases)]
    sampler = Sampler(seed, "row_max.corners")
    reasons: dict[str, Iterable[_Row]] = {
        "one key: t at powers of two and their neighbours": (
            _row([t]) for t in near_powers(config.t_min, config.t_max)
        ),
        "every gap at powers of two, at the largest distance and their neighbours": _gaps(config),
        "all t equal, at the limits, at 0 and next to it": _equal(config),
        "the maximum in every place": _places(config, sampler),
        "masked keys: first, last, all but one, though above the maximum": _masked(config),
        "the largest N: maximum first, maximum last, every second key masked": _long(
            config, sampler
        ),
    }
    listed = ((reason, list(rows)) for reason, rows in reasons.items())
    return [row_group("corners", reason, rows) for reason, rows in listed if rows]


def _row(t: Sequence[int] | np.ndarray, masked: Sequence[int] = ()) -> _Row:
    mask = np.zeros(len(t), np.int64)
    mask[list(masked)] = 1
    return {"mask": mask, "t": np.asarray(t, np.int64)}


def _gaps(config: AttentionConfig) -> Iterable[_Row]:
    reach = config.t_max - config.t_min
    gaps = {*near_powers(0, reach), *(config.d_max + step for step in (-1, 0, 1, 2))}
    for gap in sorted(gap for gap in gaps if gap <= reach) if config.max_tokens > 1 else ():
        for top in sorted({config.t_max, config.t_min + gap}):
            yield _row([top, top - gap])
            yield _row([top - gap, top])


def _equal(config: AttentionConfig) -> Iterable[_Row]:
    for keys in (2, 3, 8, 17):
        if keys <= config.max_tokens:
            for t in (config.t_min, -1, 0, 1, config.t_max):
                yield _row([t] * keys)


def _places(config: AttentionConfig, sampler: Sampler) -> Iterable[_Row]:
    keys = min(9, config.max_tokens)
    for place in range(keys):
        for top in (config.t_max, config.t_min + 5, 0):
            gaps = sampler.integers(1, 5, keys)
            gaps[place] = 0
            yield _row(top - gaps)


def _masked(config: AttentionConfig) -> Iterable[_Row]:
    for keys in (2, 3, 6):
        if keys > config.max_tokens:
            continue
        for seen in sorted({0, keys // 2, keys - 1}):
            others = [key for key in range(keys) if key != seen]
            for low, high in ((config.t_min, config.t_max), (-3, 4), (config.t_max, config.t_min)):
                t = [low if key == seen else high for key in range(keys)]
                yield _row(t, others)
        for hidden in (0, keys - 1):
            t = [key - keys for key in range(keys)]
            t[hidden] = config.t_max
            yield _row(t, [hidden])


def _long(config: AttentionConfig, sampler: Sampler) -> Iterable[_Row]:
    keys = config.max_tokens
    for place in sorted({0, keys - 1}):
        t = config.t_max - sampler.integers(1, 2 * config.d_max, keys)
        t[place] = config.t_max
        yield _row(np.maximum(t, config.t_min))
    yield _row(_spread_t(config, sampler, keys), range(1, keys, 2))


def _spread_t(config: AttentionConfig, sampler: Sampler, keys: int) -> np.ndarray:
    centre = sampler.integer(config.t_min, config.t_max)
    reach = 1 << sampler.integer(0, config.t_bits - 1)
    return np.clip(centre + sampler.integers(-reach, reach, keys), config.t_min, config.t_max)


def random_length(config: AttentionConfig, sampler: Sampler) -> int:
    """Return N: half of the rows short, half anywhere up to 200."""
    longest = min(_LONGEST, config.max_tokens)
    short = sampler.integer(0, 1) == 1
    return sampler.integer(1, min(17, longest) if short else longest)


def _random_rows(config: AttentionConfig, seed: int, count: int) -> CaseGroup:
    sampler = Sampler(seed, "row_max.random")
    rows = []
    for _ in range(count):
        keys = random_length(config, sampler)
        drawn = sampler.integers(0, 3, keys) < sampler.integer(0, 3)
        drawn[sampler.integer(0, keys - 1)] = False
        rows.append(_row(_spread_t(config, sampler, keys), np.flatnonzero(drawn).tolist()))
    return row_group("random", "N, t about a centre, and masks drawn", rows)
