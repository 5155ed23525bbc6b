"""Generate a vector set: stimulus, expected values by the kernels, held to the specification."""

from collections.abc import Sequence

import numpy as np

from bitlog2.names import MOST_CASES, SOURCES
from bitlog2.sim import AttentionConfig

from ..stimulus.unit import GoldenUnit, Progress, Tables, Target, join_tables, no_progress
from ..stimulus.units import UNITS
from .vector_set import UnitVectors, VectorSet, make_vectors

_LARGEST_SEED = (1 << 63) - 1


def generate(
    config: AttentionConfig | None = None,
    *,
    head_dim: int | None = None,
    units: Sequence[str] | None = None,
    sources: Sequence[str] = SOURCES,
    seed: int = 0,
    random_cases: int | None = None,
    progress: Progress = no_progress,
) -> VectorSet:
    """Return the vector set that `emit` writes, whether its bins are all reached or not.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """
    _check_integer("seed", seed, 0, _LARGEST_SEED)
    target = Target.of(config or AttentionConfig(), head_dim)
    names = _chosen("units", units, tuple(UNITS))
    chosen = _chosen("sources", sources, SOURCES)
    if random_cases is not None:
        _check_integer("random_cases", random_cases, 1, MOST_CASES)
        if "random" not in chosen:
            raise ValueError(f"random_cases must be None without the source random, got {chosen}")
    parts = tuple(
        _generated(target, UNITS[name], chosen, seed, random_cases, progress) for name in names
    )
    return VectorSet(target, seed, chosen, parts, random_cases)


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")


def _chosen(what: str, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that were asked for, once each and in their fixed order."""
    wanted = known if names is None else tuple(names)
    if isinstance(names, str) or not wanted:
        raise ValueError(f"{what} must be a list of {', '.join(known)}, got {names!r}")
    for name in wanted:
        if name not in known:
            raise ValueError(f"{what} must be among {', '.join(known)}, got {name!r}")
    return tuple(name for name in known if name in wanted)


def _generated(
    target: Target,
    unit: GoldenUnit,
    sources: Sequence[str],
    seed: int,
    random_cases: int | None,
    progress: Progress,
) -> UnitVectors:
    groups = [
        group for source in sources for group in unit.stimulus(target, source, seed, random_cases)
    ]
    inputs = join_tables([group.inputs for group in groups])
    part = make_vectors(target, unit, groups, inputs, progress)
    cross_check(target, part, progress)
    return part


def cross_check(target: Target, part: UnitVectors, progress: Progress) -> None:
    """Refuse to write what kernel and specification do not agree on."""
    inputs: Tables = {stream.name: part.tables[stream.name] for stream in part.unit.inputs}
    for stream, columns in part.unit.specify(target, inputs, progress).items():
        for field, specified in columns.items():
            values = part.tables[stream][field]
            if not np.array_equal(values, specified.reshape(values.shape)):
                raise RuntimeError(
                    f"kernel and specification disagree on {field} of {part.unit.name}.{stream}"
                )
