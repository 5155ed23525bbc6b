"""Seeded random attention rows: peaky and flat, short and long, under drawn parameters."""

from bitlog2.sim import LayerParams

from ..rows import RowCase
from ..sampler import Sampler
from ..target import Target
from .row_shapes import RowMaker

__all__ = ["random_rows"]

_ROWS = 96
_LONGEST = 200


def random_rows(target: Target, seed: int, rows: int | None) -> list[RowCase]:
    """Return the random rows of a seed, 96 of them where `rows` is None."""
    maker = RowMaker(target, Sampler(seed, "attention_row.random"))
    return [_random_row(maker, index) for index in range(_ROWS if rows is None else rows)]


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
        n2=sampler.integer(0, config.max_n2),
        **_zero_points(maker),
    )
