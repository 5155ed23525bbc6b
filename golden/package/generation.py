"""Generate a vector set: stimulus, expected values by the kernels, held to the specification."""

from collections.abc import Sequence

import numpy as np

from bitlog2.names import MOST_CASES, SOURCES
from bitlog2.sim import AttentionConfig
from bitlog2.sim.checks import check_int

from ..stimulus.unit import (
    CaseGroup,
    GoldenUnit,
    Progress,
    Tables,
    Target,
    join_tables,
    no_progress,
)
from ..stimulus.units import units_within
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
    seed = check_int("seed", seed, 0, _LARGEST_SEED)
    target = Target.of(config or AttentionConfig(), head_dim)
    known = units_within(target.config)
    names = _chosen("units", units, tuple(known))
    chosen = _chosen("sources", sources, SOURCES)
    if random_cases is not None:
        random_cases = check_int("random_cases", random_cases, 1, MOST_CASES)
        if "random" not in chosen:
            raise ValueError(f"random_cases must be None without the source random, got {chosen}")
    parts = tuple(
        _generated(target, known[name], chosen, seed, random_cases, progress) for name in names
    )
    return VectorSet(target, seed, chosen, parts, random_cases)


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
    return checked_vectors(target, unit, groups, inputs, progress)


def checked_vectors(
    target: Target,
    unit: GoldenUnit,
    groups: Sequence[CaseGroup],
    inputs: Tables,
    progress: Progress,
) -> UnitVectors:
    """Return the vectors of a unit, on which kernels and specification agree.

    Raises:
        ValueError: as `make_vectors`.
        RuntimeError: they do not agree.
    """
    part = make_vectors(target, unit, groups, inputs, progress)
    given: Tables = {stream.name: part.tables[stream.name] for stream in unit.inputs}
    for stream, columns in unit.specify(target, given, progress).items():
        for field, specified in columns.items():
            values = part.tables[stream][field]
            if not np.array_equal(values, specified.reshape(values.shape)):
                raise RuntimeError(
                    f"kernel and specification disagree on {field} of {unit.name}.{stream}"
                )
    return part
