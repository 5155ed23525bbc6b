"""Rows with a wanted shape: which distances give which levels, and scores that give them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.rounding import rnd
from bitlog2.sim.spec import distance_quantizer, exp2, log2_quantizer, row_multiplier

from .rows import RowCase
from .sampler import Sampler
from .unit import Target


def cut(values: Sequence[int], longest: int) -> list[Sequence[int]]:
    """Return `values` in parts of at most `longest`; none where nothing fits."""
    if longest < 1:
        return []
    return [values[start : start + longest] for start in range(0, len(values), longest)]


def carries(config: AttentionConfig) -> dict[int, int]:
    """Return by bit of t the number below a step by one that changes every bit up to it.

    The highest is the sign: -1 is below 0.
    """
    bits = range(min(config.t_max.bit_length(), config.t_bits - 1))
    return {bit: (1 << bit) - 1 for bit in bits} | {config.t_bits - 1: -1}


@lru_cache(maxsize=8)
def lone_bits(config: AttentionConfig) -> dict[int, tuple[int, int, int]]:
    """Return by bit above those of o what gives one key an output with that bit alone up there.

    Found are v - zv, M2 and n2, of an output before its saturation.
    """
    top, o_end = config.code.values[-1], 1 << config.o_bits
    m2_max = (1 << config.m2_bits) - 1
    found: dict[int, tuple[int, int, int]] = {}
    steps = 1, 1 << (config.v_bits - 1), (1 << config.v_bits) - 1
    for bit in range(config.o_bits, config.width("out_product")):
        for x, n2 in product(steps, range(config.max_layer_n2 + 1)):
            weight = 1 if config.code.row_max else top
            m2 = min(-(-(1 << bit + n2) // (x * weight)), m2_max)
            scale = row_multiplier(top, m2, n2) if config.code.row_max else (m2, n2)
            if 0 <= rnd(x * top * scale[0], scale[1]) - (1 << bit) < o_end:
                found.setdefault(bit, (x, m2, n2))
    return found


def farthest(config: AttentionConfig) -> int:
    """Return the largest distance that the range of t reaches."""
    return min(config.d_max, config.t_max - config.t_min)


def vanishing_distance(config: AttentionConfig) -> int | None:
    """Return the smallest distance that leaves a key no weight, or None where none is reached.

    Quotients: e is 0; RowMax: the level is.
    """
    weight = distance_quantizer if config.code.row_max else exp2
    return next((d for d in range(farthest(config) + 1) if weight(d, False, config) == 0), None)


@lru_cache(maxsize=8)
def level_rows(config: AttentionConfig) -> dict[int, tuple[int, ...]]:
    """Return for each level that it finds the distances of a row in which a key has it.

    Tried are rows of equal keys beside one farther key, the shortest first: enough for every level
    of the usual configurations. A level that none of them has is not declared. With RowMax a
    level is its distance's alone.
    """
    if config.code.row_max:
        return _distance_of_level(config)
    full = 1 << config.table_bits
    shapes = {(1, 0, 0)}
    seen: set[int] = set()
    for d in range(farthest(config) + 1 if config.max_tokens > 1 else 0):
        e = exp2(d, False, config)
        if e not in seen:
            shapes |= {(count, 1, d) for count in _equal_keys(config, e, full)}
        seen.add(e)
    found: dict[int, tuple[int, ...]] = {}
    for near, far, d in sorted(shapes, key=lambda shape: (shape[0] + shape[1], shape[2])):
        total = near * full + far * exp2(d, False, config)
        for distance in (0, d)[: 1 + far]:
            level = log2_quantizer(exp2(distance, False, config), total, config.code)
            found.setdefault(level, (0,) * near + (d,) * far)
    return dict(sorted(found.items()))


def _distance_of_level(config: AttentionConfig) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {config.code.top_level: (0,)}
    for d in range(farthest(config) + 1 if config.max_tokens > 1 else 0):
        found.setdefault(distance_quantizer(d, False, config), (0, d))
    return dict(sorted(found.items()))


def _equal_keys(config: AttentionConfig, e: int, full: int) -> set[int]:
    """Return for each level the most equal keys beside which a key with this e reaches it.

    e * A >= p * (count * 2**P + e), solved for the count; one key more falls to the level below.
    """
    counts = {1}
    for p in config.code.values[1:]:
        most = (e * config.code.int_max // p - e) // full
        counts |= {most, most + 1}
    return {count for count in counts if 1 <= count < config.max_tokens}


@dataclass(frozen=True)
class RowMaker:
    """Makes rows for a target, what is left open drawn from a sampler."""

    target: Target
    sampler: Sampler

    @property
    def config(self) -> AttentionConfig:
        """What the hardware is built with."""
        return self.target.config

    @property
    def score_bound(self) -> int:
        """The largest |score|."""
        return self.config.registers["score"].bound

    def params(self, **fields: int) -> LayerParams:
        """Return plain parameters: t = score + bias, and o spans its range; `fields` replace.

        o is v's mean: acc / A with a quotient, acc / w with RowMax, whose rows divide by w.
        """
        config = self.config
        one, shift = (
            (1, 0) if config.code.row_max else (config.code.int_max, config.code.base_shift)
        )
        n2 = min(config.max_layer_n2, shift + config.m2_bits - 1)
        m2 = min(max((1 << n2) // one, 1), (1 << config.m2_bits) - 1)
        plain = {
            "m": 1,
            "n": 0,
            "m2": m2,
            "n2": n2,
            "zv": 1 << (config.v_bits - 1),
            "zo": 1 << (config.o_bits - 1),
        }
        return LayerParams(**(plain | fields))

    def v(self, keys: int) -> NDArray[np.int64]:
        """Return random codes (keys, D): every lane differs, so that swapped lanes show."""
        lanes = self.target.head_dim
        codes = self.sampler.integers(0, (1 << self.config.v_bits) - 1, keys * lanes)
        return codes.reshape(keys, lanes)

    def scores(self, keys: int, spread: int) -> NDArray[np.int64]:
        """Return random scores, at most `spread` from a common centre, within the bound."""
        bound = self.score_bound
        centre = self.sampler.integer(-bound, bound)
        drawn = centre + self.sampler.integers(-spread, spread, keys)
        return np.clip(drawn, -bound, bound)

    def row(
        self,
        reason: str,
        scores: Sequence[int] | NDArray[np.int64],
        *,
        masked: Sequence[int] = (),
        bias: Sequence[int] | NDArray[np.int64] | None = None,
        v: NDArray[np.int64] | None = None,
        params: LayerParams | None = None,
    ) -> RowCase:
        """Return a row of these scores; `masked` lists positions."""
        array = np.asarray(scores, np.int64)
        mask = np.zeros(len(array), np.bool_)
        mask[list(masked)] = True
        return RowCase(
            scores=array,
            v=self.v(len(array)) if v is None else v,
            params=params or self.params(),
            masked=mask,
            bias=np.zeros(len(array), np.int64) if bias is None else np.asarray(bias, np.int64),
            reason=reason,
        )

    def row_of_distances(
        self,
        reason: str,
        distances: Sequence[int] | NDArray[np.int64],
        *,
        masked: Sequence[int] = (),
        v: NDArray[np.int64] | None = None,
        params: LayerParams | None = None,
    ) -> RowCase:
        """Return a row with these distances from its maximum: t = score + bias, both at work.

        Distances below zero belong to masked keys that would pass the maximum.
        """
        config, gaps = self.config, np.asarray(distances, np.int64)
        top = self.sampler.integer(
            config.t_min + max(int(gaps.max()), 0), config.t_max + min(int(gaps.min()), 0)
        )
        return self.row_of_t(reason, top - gaps, masked=masked, v=v, params=params)

    def row_of_t(
        self,
        reason: str,
        t: NDArray[np.int64],
        *,
        masked: Sequence[int] = (),
        v: NDArray[np.int64] | None = None,
        params: LayerParams | None = None,
    ) -> RowCase:
        """Return a row with these t, each score + bias, both at work."""
        config = self.config
        nudge = self.sampler.integers(-7, 7, len(t))
        scores = np.clip(t + nudge, -self.score_bound, self.score_bound)
        bias = np.clip(t - scores, config.t_min, config.t_max)
        return self.row(reason, t - bias, masked=masked, bias=bias, v=v, params=params)
