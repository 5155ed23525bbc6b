"""Watermarks of the network around attention: of every register of every unit."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from bitlog2.sim.network.datapath import NETWORK_REGISTERS

from ..watch.registers import NETWORK
from ..watch.watermarks import Mark, join_marks, mark_of_values
from .network import IntegerNetwork


@contextmanager
def network_marks(model: nn.Module, layers: dict[str, dict[str, Mark]]) -> Iterator[None]:
    """Join the marks of the registers around attention, all parts together, as layer `NETWORK`.

    Args:
        model: a whole network as it runs; any other model is left alone.
        layers: marks by layer and register.
    """
    if not isinstance(model, IntegerNetwork):
        yield
        return
    marks = layers.setdefault(NETWORK, {})
    over: dict[tuple[str, str], int] = {}

    def limit(part: str, register: str, values: Tensor, low: int, high: int) -> None:
        over[part, register] = int(((values < low) | (values > high)).sum())

    def observe(part: str, unit: str, registers: dict[str, Tensor]) -> None:
        around = {name: each for name, each in registers.items() if name in NETWORK_REGISTERS}
        for name, values in around.items():
            join_marks(marks, {name: mark_of_values(values, over.pop((part, name), None))})

    before = model.observe, model.limit
    model.observe, model.limit = observe, limit
    try:
        yield
    finally:
        model.observe, model.limit = before
