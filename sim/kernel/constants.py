"""What the kernels are handed: plain integers and arrays, unpacked once from the configuration."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import AttentionConfig
from ..params import LayerParams
from ..scheme import Scheme

__all__ = ["LayerConstants", "SchemeConstants", "layer_constants", "scheme_constants"]


class SchemeConstants(NamedTuple):
    """A scheme, for the kernels of units 6 to 8: A = odd * 2**base_shift."""

    odd: int
    base_shift: int
    int_max: int
    half: int
    top_level: int
    zero_flag: int


class LayerConstants(NamedTuple):
    """Configuration and parameters of a layer, for the kernels of units 2 to 9."""

    m: int
    n: int
    t_min: int
    t_max: int
    d_max: int
    fraction_bits: int
    shift_max: int
    table: NDArray[np.int32]
    m2: int
    n2: int
    zo: int
    o_max: int


def scheme_constants(scheme: Scheme) -> SchemeConstants:
    """Return the integers of a scheme."""
    return SchemeConstants(
        scheme.odd_factor,
        scheme.base_shift,
        scheme.int_max,
        int(scheme.half),
        scheme.top_level,
        int(scheme.zero_flag),
    )


def layer_constants(config: AttentionConfig, params: LayerParams) -> LayerConstants:
    """Return the integers of a configuration and a layer's parameters."""
    return LayerConstants(
        params.m,
        params.n,
        config.t_min,
        config.t_max,
        config.d_max,
        config.fraction_bits,
        config.table_bits + 2,
        np.array(config.table, dtype=np.int32),
        params.m2,
        params.n2,
        params.zo,
        (1 << config.o_bits) - 1,
    )
