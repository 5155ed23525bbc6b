"""Corner cases of attention rows: lengths, masks, flat and peaky rows, distances and levels."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..rows import RowCase
from ..sampler import Sampler
from ..target import Target
from .row_decisions import decision_rows
from .row_limits import limit_rows
from .row_shapes import RowMaker, cut, farthest, level_rows, vanishing_distance

__all__ = ["corner_rows"]


def corner_rows(target: Target, seed: int) -> list[RowCase]:
    """Return the corner rows; what a corner leaves open (v, an offset) is drawn by the seed."""
    maker = RowMaker(target, Sampler(seed, "attention_row.corners"))
    makers: tuple[Callable[[RowMaker], Iterable[RowCase]], ...] = (
        _lengths,
        _uniform,
        _one_hot,
        _masks,
        _maxima,
        _distances,
        _levels,
        limit_rows,
        _widest_sum,
        decision_rows,
    )
    return [case for make in makers for case in make(maker)]


def _gaps(maker: RowMaker, keys: int, octaves: int) -> NDArray[np.int64]:
    """Return random distances up to some octaves, one of them 0."""
    most = min(farthest(maker.config), octaves << maker.config.fraction_bits)
    gaps = maker.sampler.integers(0, most, keys)
    gaps[maker.sampler.integer(0, keys - 1)] = 0
    return gaps


def _lengths(maker: RowMaker) -> Iterable[RowCase]:
    bound, most = maker.score_bound, maker.config.max_tokens
    for score in (-bound, 0, bound):
        yield maker.row("one key: the clamp of p", [score])
    for keys in range(2, min(17, most) + 1):
        yield maker.row_of_distances("every N from 2 to 17", _gaps(maker, keys, 4))
    yield maker.row_of_distances("the largest N, a flat row", _gaps(maker, most, 1))
    yield maker.row_of_distances("the largest N, a peaky row", _gaps(maker, most, 20))


def _uniform(maker: RowMaker) -> Iterable[RowCase]:
    most, a = maker.config.max_tokens, maker.config.code.int_max
    for keys in (2, 3, 4, 5, 8, 16):
        if keys <= most:
            yield maker.row_of_distances("uniform row: all scores equal", [0] * keys)
    if a <= most:
        yield maker.row_of_distances("uniform row of A keys: the last that is not zero", [0] * a)
    if a < most:
        reason = "uniform row of more than A keys: codes as all zero"
        yield maker.row_of_distances(reason, [0] * (a + 1))


def _one_hot(maker: RowMaker) -> Iterable[RowCase]:
    vanishing = vanishing_distance(maker.config)
    if vanishing is None:
        return
    for keys in (2, 5, 17):
        for hot in sorted({0, keys // 2, keys - 1} if keys <= maker.config.max_tokens else ()):
            gaps = np.full(keys, vanishing)
            gaps[hot] = 0
            yield maker.row_of_distances("one-hot row: every other e is 0", gaps)


def _masks(maker: RowMaker) -> Iterable[RowCase]:
    keys = min(6, maker.config.max_tokens)
    if keys < 2:
        return
    patterns: list[tuple[str, Sequence[int]]] = [
        ("first key masked, though above the maximum", [0]),
        ("last key masked, though above the maximum", [keys - 1]),
        ("every second key masked", range(1, keys, 2)),
        *(
            ("only one key not masked", [key for key in range(keys) if key != seen])
            for seen in sorted({0, keys // 2, keys - 1})
        ),
    ]
    for reason, masked in patterns:
        gaps = _gaps(maker, keys, 2) // 2
        seen = [key for key in range(keys) if key not in masked]
        gaps[seen[0]] = 0
        gaps[list(masked)] = -1 - gaps[list(masked)]
        yield maker.row_of_distances(reason, gaps, masked=list(masked))


def _maxima(maker: RowMaker) -> Iterable[RowCase]:
    keys = min(9, maker.config.max_tokens)
    if keys < 2 or farthest(maker.config) == 0:
        return
    for reason, place in (("maximum in the first key", 0), ("maximum in the last key", keys - 1)):
        gaps = np.maximum(_gaps(maker, keys, 2), 1)
        gaps[place] = 0
        yield maker.row_of_distances(reason, gaps)


def _distances(maker: RowMaker) -> Iterable[RowCase]:
    config = maker.config
    octave, reach = 1 << config.fraction_bits, config.t_max - config.t_min
    borders = {gap + step for gap in range(0, config.d_max + 2, octave) for step in (-1, 0, 1)}
    saturated = {config.d_max + step for step in (-1, 0, 1, octave)} | {reach}
    for reason, gaps in (
        ("every entry of the exp2 table", set(range(1, octave))),
        ("every shift of the exp2 unit and its neighbours", borders),
        ("distances at and past the largest", saturated),
    ):
        legal = sorted(gap for gap in gaps if 0 < gap <= reach)
        for part in cut(legal, min(96, config.max_tokens - 1)):
            yield maker.row_of_distances(reason, [0, *part])


def _levels(maker: RowMaker) -> Iterable[RowCase]:
    for level, gaps in level_rows(maker.config).items():
        yield maker.row_of_distances(f"a key of level {level}", gaps)


def _widest_sum(maker: RowMaker) -> Iterable[RowCase]:
    most = maker.config.max_tokens
    yield maker.row_of_distances("uniform row of the largest N: the largest row sum", [0] * most)
