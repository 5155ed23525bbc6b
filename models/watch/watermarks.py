"""Watermarks: the range of values that each register of each layer has held."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bitlog2.sim import AttentionConfig, LayerParams
from bitlog2.sim.network import NetworkConfig

from ..ptq.datapath import rnd
from .registers import WATERMARKED
from .watching import Observation, Watcher, unobserved

_PRODUCTS = ("product", "out_product")
#: Registers that saturate.
SATURATING = ("t", "d", "o")


@dataclass(frozen=True)
class Mark:
    """The range of values that a register has held.

    Attributes:
        smallest, largest: values.
        values: number of values.
        saturated: number of those that were limited; None for a register that cannot saturate.
    """

    smallest: int
    largest: int
    values: int
    saturated: int | None

    def joined(self, other: "Mark") -> "Mark":
        """Return the mark of both."""
        limited = None if self.saturated is None else self.saturated + (other.saturated or 0)
        return Mark(
            min(self.smallest, other.smallest),
            max(self.largest, other.largest),
            self.values + other.values,
            limited,
        )

    def bits(self, *, signed: bool) -> int:
        """Return the bits that hold every value, two's complement where signed; at least 1."""
        magnitude = max(self.largest, ~self.smallest) if signed else self.largest
        return max(1, magnitude.bit_length() + signed)


def join_marks(total: dict[str, Mark], new: Mapping[str, Mark]) -> None:
    """Take marks, by register, into the total."""
    for name, mark in new.items():
        total[name] = total[name].joined(mark) if name in total else mark


class Watermarks(Watcher):
    """Collects the marks of a model's datapaths.

    Attributes:
        layers: marks by layer, then by register.
    """

    requires = "watermarks"

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, Mark]] = {}

    def take(self, seen: Observation) -> None:
        """Mark every register of a run."""
        names = (name for name in WATERMARKED if name in _PRODUCTS or name in seen.registers)
        marks = {name: mark_of(name, seen) for name in names}
        join_marks(self.layers.setdefault(seen.layer, {}), marks)


def provided_bits(register: str, config: AttentionConfig | NetworkConfig) -> int:
    """Return the bits that the hardware gives a register."""
    if isinstance(config, NetworkConfig):
        return config.width(register)
    if register == "level":
        return config.code.top_level.bit_length()
    if register in ("nibble", "flag"):
        return 4 if register == "nibble" else 1
    return config.width(register)


def is_signed(register: str, config: AttentionConfig | NetworkConfig) -> bool:
    """Whether a register is two's complement."""
    return register in config.registers and config.registers[register].signed


def mark_of(register: str, seen: Observation) -> Mark:
    """Return the mark of one run; d and e of masked keys, which nothing observes, are left out."""
    params, registers = seen.params, seen.registers
    if register == "product":
        return _scaled(mark_of_values(registers["score"]), params.m, params.n)
    if register == "out_product":
        m2, n2 = _output_scale(registers, params)
        if isinstance(m2, int) and isinstance(n2, int):
            return _scaled(mark_of_values(registers["acc"]), m2, n2)
        return mark_of_values(registers["acc"].long() * m2 + ((1 << n2) >> 1))
    values, masked = registers[register], unobserved(register, seen.masked)
    if masked is not None:
        values = values[~masked.expand(seen.grid)]
    return mark_of_values(values, _saturated(register, seen))


def mark_of_values(values: Tensor, saturated: int | None = None) -> Mark:
    """Return the mark of the values of a register, so many of them limited."""
    low, high = torch.aminmax(values)
    return Mark(int(low), int(high), values.numel(), saturated)


def _output_scale(
    registers: Mapping[str, Tensor], params: LayerParams
) -> tuple[Tensor | int, Tensor | int]:
    """Return what unit 9 multiplies and shifts by: of the layer, or of each row (B, H, R, 1)."""
    if "m2_row" not in registers:
        return params.m2, params.n2
    return registers["m2_row"].unsqueeze(-1), registers["n2_row"].unsqueeze(-1)


def _scaled(mark: Mark, multiplier: int, shift: int) -> Mark:
    """Return the mark of value * multiplier plus the rounding constant, which is monotone."""
    rounding = (1 << shift) >> 1
    low, high = (value * multiplier + rounding for value in (mark.smallest, mark.largest))
    return Mark(low, high, mark.values, None)


def _saturated(register: str, seen: Observation) -> int | None:
    """Return how many values a saturating register limited, from what came before the limit."""
    config, params, registers = seen.config, seen.params, seen.registers
    if register == "t":
        t = rnd(registers["score"].long() * params.m, params.n)
        t = t if seen.bias is None else t + seen.bias
        over = (t < config.t_min) | (t > config.t_max)
    elif register == "d":
        over = (registers["row_max"].unsqueeze(-1) - registers["t"]) > config.d_max
        over = over if seen.masked is None else over & ~seen.masked
    elif register == "o":
        m2, n2 = _output_scale(registers, params)
        o = rnd(registers["acc"].long() * m2, n2) + params.zo
        over = (o < 0) | (o >= 1 << config.o_bits)
    else:
        return None
    return int(over.sum())
