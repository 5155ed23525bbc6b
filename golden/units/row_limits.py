"""Corner cases of attention rows: both requantizers, the bias and the accumulators at limits."""

from collections.abc import Iterable
from itertools import product

import numpy as np

from ..rows import RowCase
from .row_bins import output_tie_shift
from .row_shapes import RowMaker, cut

__all__ = ["limit_rows"]


def limit_rows(maker: RowMaker) -> Iterable[RowCase]:
    """Yield the rows with a register or a parameter at a limit."""
    for make in (
        _score_ties,
        _score_parameters,
        _saturated,
        _accumulators,
        _output_parameters,
        _output_ties,
    ):
        yield from make(maker)


def _score_ties(maker: RowMaker) -> Iterable[RowCase]:
    """Products half an LSB off: score * M = odd * 2**(n - 1), both signs, for every n."""
    config, bound = maker.config, maker.score_bound
    for n in range(1, config.max_n + 1):
        power = min(n - 1, config.m_bits - 1)
        unit = 1 << (n - 1 - power)
        ties = [score for score in (unit, -unit, 3 * unit, -3 * unit) if abs(score) <= bound]
        for scores in cut(ties, config.max_tokens):
            params = maker.params(m=1 << power, n=n)
            yield maker.row("score requantizer: ties of both signs", scores, params=params)


def _score_parameters(maker: RowMaker) -> Iterable[RowCase]:
    config, bound = maker.config, maker.score_bound
    for m, n in product((1, (1 << config.m_bits) - 1), (0, config.max_n)):
        for scores in cut([bound, -bound, 0, 1, -1, bound - 1, 1 - bound], config.max_tokens):
            reason = "score requantizer: M and n at their limits, scores at both bounds"
            yield maker.row(reason, scores, params=maker.params(m=m, n=n))


def _saturated(maker: RowMaker) -> Iterable[RowCase]:
    config, bound = maker.config, maker.score_bound
    largest = (1 << config.m_bits) - 1
    for bias, sign in ((config.t_max, 1), (config.t_min, -1)):
        for scores in cut([sign, 0, -sign, bound, -bound], config.max_tokens):
            reason = "t saturates by a bias at its limit"
            yield maker.row(reason, scores, bias=[bias] * len(scores))
        for scores in cut([sign * (bound - step) for step in range(4)], config.max_tokens):
            reason = "t saturates by the product: a flattened top or bottom"
            yield maker.row(reason, scores, params=maker.params(m=largest, n=0))


def _accumulators(maker: RowMaker) -> Iterable[RowCase]:
    """Two equal keys have p = A / 2 each, a level's value: acc is at its bound; or it is 0."""
    config, lanes = maker.config, maker.target.head_dim
    v_max = (1 << config.v_bits) - 1
    corners = ((0, v_max), (v_max, 0), (v_max, v_max))
    for keys, (v, zv), m2 in product((1, 2, 16), corners, (1, (1 << config.m2_bits) - 1)):
        if keys > config.max_tokens:
            continue
        for n2 in (0, min(config.max_n2, config.code.int_max.bit_length())):
            reason = "accumulators at their bounds and at 0, outputs clamped or not"
            params = maker.params(m2=m2, n2=n2, zv=zv)
            codes = np.full((keys, lanes), v, np.int64)
            yield maker.row_of_distances(reason, [0] * keys, v=codes, params=params)


def _output_parameters(maker: RowMaker) -> Iterable[RowCase]:
    config = maker.config
    keys = min(3, config.max_tokens)
    o_max, m2_max = (1 << config.o_bits) - 1, (1 << config.m2_bits) - 1
    for m2, n2, zo in product((1, m2_max), (0, config.max_n2), (0, o_max)):
        reason = "output requantizer: M2, n2 and the zero point at their limits"
        params = maker.params(m2=m2, n2=n2, zo=zo)
        yield maker.row(reason, maker.scores(keys, 16), params=params)


def _output_ties(maker: RowMaker) -> Iterable[RowCase]:
    """One key, |v - zv| = M2 = 1: acc is the top level's value and RND meets half an LSB."""
    config = maker.config
    n2 = output_tie_shift(config)
    if n2 > config.max_n2:
        return
    zv = 1 << (config.v_bits - 1)
    for step in (1, -1):
        codes = np.full((1, maker.target.head_dim), zv + step, np.int64)
        reason = "output requantizer: ties of both signs"
        yield maker.row(reason, [0], v=codes, params=maker.params(m2=1, n2=n2, zv=zv))
