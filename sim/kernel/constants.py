"""What the kernels are handed: plain integers and arrays, unpacked once from the configuration."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import AttentionConfig
from ..params import LayerParams
from ..scheme import Scheme
from .exp2 import exp2_of_every_distance

__all__ = ["LayerConstants", "SchemeConstants", "layer_constants", "scheme_constants"]


class SchemeConstants(NamedTuple):
    """A scheme, for the kernels of units 6 to 8: A = odd * 2**base_shift.

    thresholds: (16,), the values of levels 1 and up; a last 0 where there are 15.
    """

    odd: int
    base_shift: int
    int_max: int
    half: int
    top_level: int
    zero_flag: int
    thresholds: NDArray[np.int64]


class LayerConstants(NamedTuple):
    """Configuration and parameters of a layer, for the kernels of units 2 to 9.

    narrow: 1 where product, rounding and bias stay within int32, proved from the widths.
    exp2_of: (d_max + 1,) int32, e by distance: unit 4 for every d at once.
    """

    m: int
    n: int
    narrow: int
    t_min: int
    t_max: int
    d_max: int
    m2: int
    n2: int
    zo: int
    o_max: int
    exp2_of: NDArray[np.int32]


def scheme_constants(scheme: Scheme) -> SchemeConstants:
    """Return the integers of a scheme."""
    return SchemeConstants(
        scheme.odd_factor,
        scheme.base_shift,
        scheme.int_max,
        int(scheme.half),
        scheme.top_level,
        int(scheme.zero_flag),
        np.array([*scheme.values[1:], 0][:16], dtype=np.int64),
    )


def layer_constants(config: AttentionConfig, params: LayerParams) -> LayerConstants:
    """Return the integers of a configuration and a layer's parameters."""
    return LayerConstants(
        params.m,
        params.n,
        int(config.scores_fit_int32),
        config.t_min,
        config.t_max,
        config.d_max,
        params.m2,
        params.n2,
        params.zo,
        (1 << config.o_bits) - 1,
        _exp2_of(config),
    )


@lru_cache(maxsize=64)
def _exp2_of(config: AttentionConfig) -> NDArray[np.int32]:
    """Return e for every distance, by the kernel of unit 4."""
    e = np.empty(config.d_max + 1, np.int32)
    table = np.array(config.table, dtype=np.int32)
    exp2_of_every_distance(table, config.fraction_bits, config.table_bits + 2, e)
    return e
