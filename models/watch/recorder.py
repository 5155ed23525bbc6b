"""Every observation of a batch, and the first place at which those of two models differ."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .statistics import decoded_map, exact_map
from .watching import MapObservation, Observation, Watcher


class Recorder(Watcher):
    """Keeps the last observation of each layer.

    Attributes:
        layers: observations by layer, in the order in which they run.
    """

    def __init__(self) -> None:
        self.layers: dict[str, Observation] = {}

    def take(self, seen: Observation) -> None:
        """Keep a run."""
        self.layers[seen.layer] = seen


class MapRecorder(Watcher):
    """Keeps the last attention map of each layer, before and after its code.

    Attributes:
        layers: (before, after) by layer, in the order in which they run; (B, H, N, N) each.
    """

    def __init__(self) -> None:
        self.layers: dict[str, tuple[Tensor, Tensor]] = {}

    def take(self, seen: Observation) -> None:
        """Keep an exact softmax of the scores, and the decoded levels."""
        assert seen.delta is not None, seen.layer
        decoded = decoded_map(seen.registers["level"], seen.config.code)
        self.layers[seen.layer] = exact_map(seen), decoded / seen.delta

    def take_map(self, seen: MapObservation) -> None:
        """Keep a float map."""
        self.layers[seen.layer] = seen.before, seen.after


@dataclass(frozen=True)
class Parting:
    """The first place at which two models differ.

    Attributes:
        image: its number in the validation set.
        layer: attention layer; of a whole network, part and unit.
        register: `q`, `k`, `v` (what the layer was given), `parameters`, or a register.
        place: head, row and key or channel, as far as the register has them; empty for parameters,
            and where layers or shapes differ.
        a, b: the values there; None without a place.
        axes: names of the axes of the place.
    """

    image: int
    layer: str
    register: str
    place: tuple[int, ...] = ()
    a: int | None = None
    b: int | None = None
    axes: tuple[str, ...] = ("head", "row", "key or channel")

    def __str__(self) -> str:
        place = " ".join(f"{n} {i}" for n, i in zip(self.axes, self.place, strict=False))
        values = "" if self.a is None else f": {self.a} and {self.b}"
        return (
            f"image {self.image} parts first at layer {self.layer}, {self.register} {place}{values}"
        )


def first_difference(a: Mapping[str, Observation], b: Mapping[str, Observation]) -> Parting | None:
    """Return where two models' observations differ first; None where they are the same.

    Within a layer come its inputs, its parameters, then its registers in datapath order.
    """
    for layer, one in a.items():
        other, first = b.get(layer), one.numbers[0]
        if other is None:
            return Parting(first, layer, "q")
        ours, theirs = ({**each.inputs, **each.registers} for each in (one, other))
        for name in ("q", "k", "v", "parameters", *one.registers):
            if name == "parameters":
                if one.params != other.params:
                    return Parting(first, layer, name)
            elif name not in theirs or ours[name].shape != theirs[name].shape:
                return Parting(first, layer, name)
            elif not torch.equal(ours[name], theirs[name]):
                where = tuple((ours[name] != theirs[name]).nonzero()[0].tolist())
                image = one.numbers[where[0] // one.windows]
                values = int(ours[name][where]), int(theirs[name][where])
                return Parting(image, layer, name, where[1:], *values)
    return None
