"""Coverage bins of attention rows: what a configuration can reach, and what a stimulus hit."""

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import code_register

from ..target import Target
from ..unit import Tables
from .row_shapes import farthest, level_rows, vanishing_distance

__all__ = ["output_tie_shift", "row_bins", "row_hits"]

_Flags = NDArray[np.bool_]


def output_tie_shift(config: AttentionConfig) -> int:
    """Return the n2 at which a one-key row with |v - zv| = M2 = 1 is half an LSB off."""
    top = config.code.values[-1]
    return (top & -top).bit_length()


def _level_bin(level: int, config: AttentionConfig) -> str:
    nibble, flag = code_register(level, config.code)
    return f"level_{level}_nibble_{nibble}_flag_{flag}"


def row_bins(target: Target) -> tuple[str, ...]:
    """Return the bins that rows of this configuration can reach, by formula."""
    config = target.config
    several, far = config.max_tokens >= 2, farthest(config)
    vanishing = vanishing_distance(config)
    declared = {
        "one_key": True,
        "most_keys": True,
        "masked_first": several,
        "masked_last": several,
        "one_unmasked": several,
        "maximum_first": several and far > 0,
        "maximum_last": several and far > 0,
        "one_hot": several and vanishing is not None,
        "uniform": several,
        "vanished": config.max_tokens > config.code.int_max,
        "score_bound_low": True,
        "score_bound_high": True,
        "n_smallest": True,
        "n_largest": True,
        "m_smallest": True,
        "m_largest": True,
        "bias_smallest": True,
        "bias_largest": True,
        "t_saturated_low": True,
        "t_saturated_high": True,
        "t_tie_negative": config.max_n >= 1,
        "t_tie_positive": config.max_n >= 1,
        "d_saturated": several and config.t_max - config.t_min > config.d_max,
        "acc_bound_low": several,
        "acc_bound_high": several,
        "n2_smallest": True,
        "n2_largest": True,
        "m2_smallest": True,
        "m2_largest": True,
        "o_clamped_low": True,
        "o_clamped_high": True,
        "o_inside": True,
        "o_tie_negative": config.max_n2 >= output_tie_shift(config),
        "o_tie_positive": config.max_n2 >= output_tie_shift(config),
    }
    levels = tuple(_level_bin(level, config) for level in level_rows(config))
    return levels + tuple(name for name, reachable in declared.items() if reachable)


def row_hits(target: Target, tables: Tables) -> dict[str, int]:
    """Return how many rows, keys or lanes hit each bin."""
    config = target.config
    last = tables["stimulus"]["last"] == 1
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(last)[:-1] + 1])
    hits = {
        **_key_hits(config, tables, starts),
        **_row_hits(config, tables, starts),
        **_parameter_hits(config, tables),
        **_output_hits(config, tables),
    }
    return {name: int(np.count_nonzero(flags)) for name, flags in hits.items()}


def _is_tie(product: NDArray[np.int64], shift: NDArray[np.int64]) -> _Flags:
    one = np.int64(1)
    half = (one << shift) >> one
    return (shift > 0) & ((product & ((one << shift) - one)) == half)


def _key_hits(
    config: AttentionConfig, tables: Tables, starts: NDArray[np.int64]
) -> dict[str, _Flags]:
    beats, keys = tables["stimulus"], tables["keys"]
    lengths = np.diff(starts, append=len(beats["last"]))
    m, n, largest = (
        np.repeat(values, lengths)
        for values in (tables["params"]["m"], tables["params"]["n"], tables["rows"]["row_max"])
    )
    seen = beats["mask"] == 0
    product = beats["score"] * m
    rounded = (product + ((np.int64(1) << n) >> np.int64(1))) >> n
    raw = rounded + beats["bias"]
    tie = _is_tie(product, n) & seen
    bound = config.registers["score"].bound
    level = keys["level"]
    return {
        **{_level_bin(k, config): (level == k) & seen for k in range(config.code.levels)},
        "score_bound_low": (beats["score"] == -bound) & seen,
        "score_bound_high": (beats["score"] == bound) & seen,
        "bias_smallest": (beats["bias"] == config.t_min) & seen,
        "bias_largest": (beats["bias"] == config.t_max) & seen,
        "t_saturated_low": (raw < config.t_min) & seen,
        "t_saturated_high": (raw > config.t_max) & seen,
        "t_tie_negative": tie & (product < 0),
        "t_tie_positive": tie & (product > 0),
        "d_saturated": (largest - keys["t"] > config.d_max) & seen,
    }


def _row_hits(
    config: AttentionConfig, tables: Tables, starts: NDArray[np.int64]
) -> dict[str, _Flags]:
    beats, keys = tables["stimulus"], tables["keys"]

    def count(flags: _Flags) -> NDArray[np.int64]:
        return np.add.reduceat(flags.astype(np.int64), starts)

    size = np.diff(starts, append=len(beats["last"]))
    ends = starts + size - 1
    seen = beats["mask"] == 0
    visible, maxima = count(seen), count(seen & (keys["d"] == 0))
    whole, several = visible == size, size > 1
    return {
        "one_key": size == 1,
        "most_keys": size == config.max_tokens,
        "masked_first": ~seen[starts],
        "masked_last": ~seen[ends],
        "one_unmasked": several & (visible == 1),
        "maximum_first": several & (maxima == 1) & (keys["d"][starts] == 0),
        "maximum_last": several & (maxima == 1) & (keys["d"][ends] == 0),
        "one_hot": several & whole & (count(keys["e"] > 0) == 1),
        "uniform": several & whole & (maxima == size),
        "vanished": count(keys["level"] > 0) == 0,
    }


def _parameter_hits(config: AttentionConfig, tables: Tables) -> dict[str, _Flags]:
    limits = {
        "n": (0, config.max_n),
        "m": (1, (1 << config.m_bits) - 1),
        "n2": (0, config.max_n2),
        "m2": (1, (1 << config.m2_bits) - 1),
    }
    return {
        f"{name}_{side}": tables["params"][name] == limit
        for name, pair in limits.items()
        for side, limit in zip(("smallest", "largest"), pair, strict=True)
    }


def _output_hits(config: AttentionConfig, tables: Tables) -> dict[str, _Flags]:
    m2, n2, zo = (tables["params"][name][:, None] for name in ("m2", "n2", "zo"))
    acc = tables["rows"]["acc"].reshape(len(m2), -1)
    product = acc * m2
    raw = ((product + ((np.int64(1) << n2) >> np.int64(1))) >> n2) + zo
    bound, high = config.registers["acc"].bound, (1 << config.o_bits) - 1
    tie = _is_tie(product, n2)
    return {
        "acc_bound_low": acc == -bound,
        "acc_bound_high": acc == bound,
        "o_clamped_low": raw < 0,
        "o_clamped_high": raw > high,
        "o_inside": (raw >= 0) & (raw <= high),
        "o_tie_negative": tie & (product < 0),
        "o_tie_positive": tie & (product > 0),
    }
