"""Stimulus of `attention_row`: limits of the registers, corners and random rows."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.units.distance_quantizer import thresholds_of

from .row_bins import output_tie_shift
from .row_decisions import bit_rows, decision_rows, waiting_bit_rows, waiting_rows
from .row_shapes import RowMaker, carries, cut, farthest, level_rows, lone_bits, vanishing_distance
from .row_trials import fault_rows
from .rows import RowCase


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
    """Two equal keys have p = A / 2 each, a level's value: acc is at its bound; or it is 0.

    With RowMax it takes as many keys as fit.
    """
    config, lanes = maker.config, maker.target.head_dim
    v_max = (1 << config.v_bits) - 1
    corners = ((0, v_max), (v_max, 0), (v_max, v_max))
    lengths = (1, 2, config.max_tokens) if config.code.row_max else (1, 2, 16)
    for keys, (v, zv), m2 in product(lengths, corners, (1, (1 << config.m2_bits) - 1)):
        if keys > config.max_tokens:
            continue
        for n2 in (0, min(config.max_layer_n2, config.code.int_max.bit_length())):
            reason = "accumulators at their bounds and at 0, outputs clamped or not"
            params = maker.params(m2=m2, n2=n2, zv=zv)
            codes = np.full((keys, lanes), v, np.int64)
            yield maker.row_of_distances(reason, [0] * keys, v=codes, params=params)


def _output_parameters(maker: RowMaker) -> Iterable[RowCase]:
    config = maker.config
    keys = min(3, config.max_tokens)
    o_max, m2_max = (1 << config.o_bits) - 1, (1 << config.m2_bits) - 1
    for m2, n2, zo in product((1, m2_max), (0, config.max_layer_n2), (0, o_max)):
        reason = "output requantizer: M2, n2 and the zero point at their limits"
        params = maker.params(m2=m2, n2=n2, zo=zo)
        yield maker.row(reason, maker.scores(keys, 16), params=params)


def _output_ties(maker: RowMaker) -> Iterable[RowCase]:
    """One key, |v - zv| = M2 = 1: acc is the top level's value and RND meets half an LSB."""
    config = maker.config
    n2 = output_tie_shift(config)
    if n2 < 0:
        return
    zv = 1 << (config.v_bits - 1)
    for step in (1, -1):
        codes = np.full((1, maker.target.head_dim), zv + step, np.int64)
        reason = "output requantizer: ties of both signs"
        yield maker.row(reason, [0], v=codes, params=maker.params(m2=1, n2=n2, zv=zv))


def next_to_tie(maker: RowMaker) -> Iterable[RowCase]:
    """Yield a row whose acc * m2_row is an LSB below half an LSB of o: a larger constant shows.

    The product is (2^b + 1) * (2^b - 1) with b bits of M2. The row sum of the weights is a power of
    two, so that m2_row is M2: keys of the top level, and one of each power of two below it.
    """
    config = maker.config
    bits, top = config.m2_bits, config.code.int_max
    weight = 1 << max(2 * bits + 1 - config.max_layer_n2, 0)
    distances = {
        int(config.code.values[level]): found[-1] for level, found in level_rows(config).items()
    }
    below = [1 << bit for bit in reversed(range(top.bit_length() - 1))]
    keys = [*[top] * (weight // top - 1), *below, 1]
    ones, rest = divmod((1 << bits) + 1, top)
    if top & (top - 1) or len(keys) > config.max_tokens or rest != 1 or ones > weight // top - 1:
        return
    if not distances.keys() >= set(keys):
        return
    codes = np.full((len(keys), maker.target.head_dim), 1 << (config.v_bits - 1), np.int64)
    codes[:ones] += 1
    codes[-1] += 1
    reason = "output requantizer: an LSB of the product below a tie"
    params = maker.params(m2=(1 << bits) - 1, n2=config.max_layer_n2)
    gaps = [distances[key] for key in keys]
    yield maker.row_of_distances(reason, gaps, v=codes, params=params)


def corner_rows(maker: RowMaker) -> list[RowCase]:
    """Return the corner rows; what a corner leaves open (v, an offset) is drawn."""
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
        *(() if maker.config.code.row_max else (decision_rows,)),
        fault_rows,
        *((next_to_tie,) if maker.config.code.row_max else (bit_rows, waiting_rows)),
        _close_maxima,
        _lone_bits,
        *(() if maker.config.code.row_max else (waiting_bit_rows,)),
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
        alone = "one key" if maker.config.code.row_max else "one key: the clamp of p"
        yield maker.row(alone, [score])
    for keys in range(2, min(17, most) + 1):
        yield maker.row_of_distances("every N from 2 to 17", _gaps(maker, keys, 4))
    yield maker.row_of_distances("the largest N, a flat row", _gaps(maker, most, 1))
    yield maker.row_of_distances("the largest N, a peaky row", _gaps(maker, most, 20))


def _uniform(maker: RowMaker) -> Iterable[RowCase]:
    most, a = maker.config.max_tokens, maker.config.code.int_max
    for keys in (2, 3, 4, 5, 8, 16):
        if keys <= most:
            yield maker.row_of_distances("uniform row: all scores equal", [0] * keys)
    if a <= most and not maker.config.code.row_max:
        yield maker.row_of_distances("uniform row of A keys: the last that is not zero", [0] * a)
    if a < most and not maker.config.code.row_max:
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
            nothing = "level" if maker.config.code.row_max else "e"
            yield maker.row_of_distances(f"one-hot row: every other {nothing} is 0", gaps)


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


#: Places in which neighbours are compared at every bit: at each node of a tree over 4 lanes, and in
#: two beats; and those in which at one bit: at each node of a tree over 16 lanes.
_NODES, _MORE_NODES = range(4), range(4, 15)


def _close_maxima(maker: RowMaker) -> Iterable[RowCase]:
    """The two largest t are neighbours that differ by one, up to each bit, in both orders."""
    config, all_bits = maker.config, carries(maker.config)
    places = [(place, low) for low in all_bits.values() for place in _NODES]
    places += [(place, all_bits.get(1, -1)) for place in _MORE_NODES]
    for place, low in places:
        if place + 2 > config.max_tokens:
            continue
        for pair in ((low, low + 1), (low + 1, low)):
            below = low - 1 - maker.sampler.integers(0, 3 << config.fraction_bits, place)
            t = np.concatenate([np.maximum(below, config.t_min), pair])
            yield maker.row_of_t("the two largest t differ by one, in every bit up to one", t)


def _lone_bits(maker: RowMaker) -> Iterable[RowCase]:
    """One key whose output saturates by one bit alone, each in turn."""
    for x, m2, n2 in lone_bits(maker.config).values():
        codes = np.full((1, maker.target.head_dim), x, np.int64)
        reason = "output requantizer: saturation by one bit alone"
        yield maker.row(reason, [0], v=codes, params=maker.params(m2=m2, n2=n2, zv=0, zo=0))


def _distances(maker: RowMaker) -> Iterable[RowCase]:
    config = maker.config
    octave, reach = 1 << config.fraction_bits, config.t_max - config.t_min
    borders = {gap + step for gap in range(0, config.d_max + 2, octave) for step in (-1, 0, 1)}
    saturated = {config.d_max + step for step in (-1, 0, 1, octave)} | {reach}
    saturating = ("distances at and past the largest", saturated)
    of_exp2 = (
        ("every entry of the exp2 table", set(range(1, octave))),
        ("every shift of the exp2 unit and its neighbours", borders),
    )
    of_levels = (("every threshold of a distance and its neighbours", _edges(config)),)
    for reason, gaps in (*(of_levels if config.code.row_max else of_exp2), saturating):
        legal = sorted(gap for gap in gaps if 0 < gap <= reach)
        for part in cut(legal, min(96, config.max_tokens - 1)):
            yield maker.row_of_distances(reason, [0, *part])


def _edges(config: AttentionConfig) -> set[int]:
    thresholds = thresholds_of(config.code, config.fraction_bits)
    return {edge + step for edge in thresholds for step in (-1, 0, 1)}


def _levels(maker: RowMaker) -> Iterable[RowCase]:
    for level, gaps in level_rows(maker.config).items():
        yield maker.row_of_distances(f"a key of level {level}", gaps)


def _widest_sum(maker: RowMaker) -> Iterable[RowCase]:
    most = maker.config.max_tokens
    total = "weight sum" if maker.config.code.row_max else "row sum"
    yield maker.row_of_distances(f"uniform row of the largest N: the largest {total}", [0] * most)


_LONGEST = 200


def random_rows(maker: RowMaker, rows: int) -> list[RowCase]:
    """Return random rows."""
    return [_random_row(maker, index) for index in range(rows)]


def _random_row(maker: RowMaker, index: int) -> RowCase:
    config, sampler = maker.config, maker.sampler
    keys = _random_length(maker)
    params = _any_params(maker) if index % 4 == 3 else _usual_params(maker)
    spread = sampler.integer(0, 1 << sampler.integer(0, maker.score_bound.bit_length() - 1))
    scores = maker.scores(keys, spread)
    bias = None
    if index % 3 == 1:
        reach = 1 << sampler.integer(0, config.t_bits - 2)
        bias = sampler.integers(-reach, reach, keys)
    masked: list[int] = []
    if index % 4 == 1:
        drawn = sampler.integers(0, 3, keys) == 0
        drawn[sampler.integer(0, keys - 1)] = False
        masked = [key for key in range(keys) if drawn[key]]
    reason = "random scores about a centre, N and parameters drawn"
    return maker.row(reason, scores, masked=masked, bias=bias, params=params)


def _random_length(maker: RowMaker) -> int:
    """Return N: half of the rows short, half anywhere up to 200."""
    longest = min(_LONGEST, maker.config.max_tokens)
    if maker.sampler.integer(0, 1):
        return maker.sampler.integer(1, min(17, longest))
    return maker.sampler.integer(1, longest)


def _zero_points(maker: RowMaker) -> dict[str, int]:
    config, sampler = maker.config, maker.sampler
    return {
        "zv": sampler.integer(0, (1 << config.v_bits) - 1),
        "zo": sampler.integer(0, (1 << config.o_bits) - 1),
    }


def _usual_params(maker: RowMaker) -> LayerParams:
    """Return parameters under which the scores span some octaves and o its range."""
    config, sampler = maker.config, maker.sampler
    m = sampler.integer(1 << (config.m_bits - 1), (1 << config.m_bits) - 1)
    octaves = maker.score_bound.bit_length() - config.fraction_bits - 3
    n = min(max(config.m_bits + octaves - sampler.integer(0, 4), 0), config.max_n)
    plain = maker.params()
    m2 = min(max(plain.m2 * sampler.integer(16, 64) // 32, 1), (1 << config.m2_bits) - 1)
    return maker.params(m=m, n=n, m2=m2, **_zero_points(maker))


def _any_params(maker: RowMaker) -> LayerParams:
    """Return parameters anywhere in their legal ranges, octaves of M and M2 drawn first."""
    config, sampler = maker.config, maker.sampler
    m_octave = sampler.integer(1, config.m_bits)
    m2_octave = sampler.integer(1, config.m2_bits)
    return maker.params(
        m=sampler.integer(1, (1 << m_octave) - 1),
        n=sampler.integer(0, config.max_n),
        m2=sampler.integer(1, (1 << m2_octave) - 1),
        n2=sampler.integer(0, config.max_layer_n2),
        **_zero_points(maker),
    )
