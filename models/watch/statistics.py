"""Effect of a code on the attention map of each layer: histograms before and after, and error."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.sim import Scheme

from ..ptq.levels import level_of
from ..ptq.quantizers import normalized_map
from .layer_statistics import BINS, LayerStatistics
from .watching import MapObservation, Observation, Watcher


class _Part:
    """Statistics of one run of a layer: maps (B, H, N, N), v (B, H, N, D)."""

    def __init__(self, before: Tensor, after: Tensor, v: Tensor) -> None:
        before, after, v = before.double(), after.double(), v.double()
        self.before, self.after = _histogram(before), _histogram(after)
        self.map_error = _squares(after - before, before)
        self.attention_error = _squares((after - before) @ v, before @ v)
        self.zeros = int((after == 0).sum()), after.numel()
        self.mass = float(after.sum()), float(before.sum())
        self.changed: tuple[int, int] | None = None
        self.output: tuple[float, float] | None = None


class MapStatistics(Watcher):
    """Collects the statistics of each layer; a layer whose map has no code shows an error of 0."""

    def __init__(self) -> None:
        self._parts: dict[str, list[_Part]] = {}

    @property
    def layers(self) -> dict[str, LayerStatistics]:
        """Statistics by layer."""
        return {layer: _joined(parts) for layer, parts in self._parts.items()}

    def take(self, seen: Observation) -> None:
        """Keep an exact softmax of the scores beside the decoded levels."""
        exact, scheme, levels = exact_map(seen), seen.config.code, seen.registers["level"]
        ideal = _levels_of_exact(exact, scheme).to(levels.dtype)
        decoded, of_ideal = (decoded_map(each, scheme) for each in (levels, ideal))
        assert seen.delta is not None, seen.layer
        x = seen.inputs["v"].double() - seen.params.zv
        part = _Part(exact, decoded / seen.delta, x)
        part.changed = int((ideal != levels).sum()), levels.numel()
        part.output = _squares((decoded - of_ideal) @ x, of_ideal @ x)
        self._parts.setdefault(seen.layer, []).append(part)

    def take_map(self, seen: MapObservation) -> None:
        """Keep a float map before and after its code."""
        part = _Part(seen.before, seen.after, seen.v)
        self._parts.setdefault(seen.layer, []).append(part)


def exact_map(seen: Observation) -> Tensor:
    """Return the softmax of the scores of a run, (B, H, R, N) float64."""
    params = seen.params
    t = seen.registers["score"].double() * (params.m / 2.0**params.n)
    t = t if seen.bias is None else t + seen.bias
    t = t if seen.masked is None else t.masked_fill(seen.masked, -math.inf)
    return torch.softmax(t * (math.log(2) / (1 << seen.config.fraction_bits)), dim=-1)


def decoded_map(levels: Tensor, scheme: Scheme) -> Tensor:
    """Return what levels (..., N) stand for, float64: delta times the map; of RowMax, the map."""
    values = torch.tensor(scheme.values, dtype=torch.float64, device=levels.device)
    decoded = values[levels.long()]
    return decoded / decoded.sum(dim=-1, keepdim=True) if scheme.row_max else decoded


def _levels_of_exact(exact: Tensor, scheme: Scheme) -> Tensor:
    """Return the levels that the scheme gives an exact softmax, (..., N) float64."""
    if scheme.row_max:
        return normalized_map(scheme.name).to(exact.device).levels(exact)
    p = (exact * scheme.int_max).floor().clamp(max=scheme.int_max - 1)
    return level_of(p.float(), scheme)


def _joined(parts: list[_Part]) -> LayerStatistics:
    changed = [part.changed for part in parts if part.changed is not None]
    output = [part.output for part in parts if part.output is not None]
    return LayerStatistics(
        before=tuple(np.sum([part.before for part in parts], axis=0).tolist()),
        after=tuple(np.sum([part.after for part in parts], axis=0).tolist()),
        error=_ratio([part.map_error for part in parts]),
        changed=(sum(c for c, _ in changed), sum(n for _, n in changed)) if changed else None,
        output_error=_ratio(output) if output else None,
        attention_error=_ratio([part.attention_error for part in parts]),
        zeros=(sum(part.zeros[0] for part in parts), sum(part.zeros[1] for part in parts)),
        mass=_ratio([part.mass for part in parts]),
    )


def _squares(difference: Tensor, of: Tensor) -> tuple[float, float]:
    """Return the sums of the squares of a difference and of what it is of."""
    return float(difference.square().sum()), float(of.square().sum())


def _ratio(pairs: list[tuple[float, float]]) -> float:
    over, under = (sum(pair[i] for pair in pairs) for i in (0, 1))
    return over / under if under else 0.0


def _histogram(values: Tensor) -> NDArray[np.int64]:
    """Return the counts by half octave of values in [0, 1] or a little above, (41,)."""
    bins = (values.log2() * 2).floor() + BINS + 1
    index = bins.nan_to_num(neginf=0.0).clamp(0, BINS).to(torch.int64)
    return torch.bincount(index.reshape(-1), minlength=BINS + 1).cpu().numpy()
