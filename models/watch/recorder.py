"""Every observation of a batch, and the first place at which those of two models differ."""

from collections.abc import Mapping

import torch

from bitlog2.sim import REGISTERS

from .watching import Observation, Watcher


class Recorder(Watcher):
    """Keeps the last observation of each layer.

    Attributes:
        layers: by layer, in the order in which they run.
    """

    def __init__(self) -> None:
        self.layers: dict[str, Observation] = {}

    def take(self, seen: Observation) -> None:
        """Keep a run."""
        self.layers[seen.layer] = seen


#: Layer, register or input or `parameters`, place in (image, ...), and the two values there.
Difference = tuple[str, str, tuple[int, ...], int | None, int | None]


def first_difference(
    a: Mapping[str, Observation], b: Mapping[str, Observation]
) -> Difference | None:
    """Return where two models' observations differ first; None where they are the same.

    Within a layer come its inputs, its parameters, then its registers in datapath order. Where
    layers, parameters or shapes differ there is no place and no value.
    """
    for layer, one in a.items():
        other = b.get(layer)
        if other is None:
            return layer, "q", (), None, None
        ours, theirs = ({**each.inputs, **each.registers} for each in (one, other))
        for name in ("q", "k", "v", "parameters", *REGISTERS):
            if name == "parameters":
                if one.params != other.params:
                    return layer, name, (), None, None
            elif ours[name].shape != theirs[name].shape:
                return layer, name, (), None, None
            elif not torch.equal(ours[name], theirs[name]):
                where = tuple((ours[name] != theirs[name]).nonzero()[0].tolist())
                return layer, name, where, int(ours[name][where]), int(theirs[name][where])
    return None
