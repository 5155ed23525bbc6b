"""Watermarks: the range of values that each register of each layer has held."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitlog2.sim import REGISTERS, AttentionConfig, LayerParams

from ..ptq.datapath import AttentionDatapath, Registers

__all__ = ["SATURATING", "WATERMARKED", "Mark", "Watermarks", "is_signed", "provided_bits"]

#: Registers in datapath order; product and out_product are those before the shifts.
WATERMARKED = ("score", "product", *REGISTERS[1:-1], "out_product", "o")
#: Registers that saturate.
SATURATING = ("t", "d", "o")


@dataclass(frozen=True)
class Mark:
    """What a register has held.

    Attributes:
        smallest, largest: values.
        values: how many.
        saturated: how many were limited, None for a register that cannot saturate.
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


class Watermarks:
    """Collects the marks of a model's datapaths whenever they run.

    Attributes:
        layers: marks by layer, then by register.
        configs: the hardware of each layer.
    """

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, Mark]] = {}
        self.configs: dict[str, AttentionConfig] = {}

    def watch(self, model: nn.Module) -> list[Any]:
        """Mark every datapath of `model` whenever it runs; return the hooks' handles.

        Raises:
            ValueError: the model has no integer datapath.
        """
        handles = [
            module.register_forward_hook(self._hook(name.removesuffix(".datapath")))
            for name, module in model.named_modules()
            if isinstance(module, AttentionDatapath)
        ]
        if not handles:
            raise ValueError("watermarks must be of a model with an integer attention map")
        return handles

    def _hook(self, layer: str) -> Any:
        def mark(module: Any, inputs: tuple[Any, ...], output: Registers) -> None:
            self.configs[layer] = module.config
            held = self.layers.setdefault(layer, {})
            for name, new in _marks(module.config, inputs, output):
                held[name] = held[name].joined(new) if name in held else new

        return mark

    def overall(self) -> dict[str, Mark]:
        """Return the marks over all layers, by register."""
        total: dict[str, Mark] = {}
        for marks in self.layers.values():
            for name, mark in marks.items():
                total[name] = total[name].joined(mark) if name in total else mark
        return {name: total[name] for name in WATERMARKED if name in total}

    def as_dict(self) -> dict[str, Any]:
        """Return marks by layer and register, bits used and provided among them."""
        return {
            layer: {
                name: _described(mark, name, self.configs[layer]) for name, mark in marks.items()
            }
            for layer, marks in self.layers.items()
        }


def provided_bits(register: str, config: AttentionConfig) -> int:
    """Return the bits that the hardware gives a register."""
    if register == "level":
        return config.code.top_level.bit_length()
    if register in ("nibble", "flag"):
        return 4 if register == "nibble" else 1
    return config.width(register)


def is_signed(register: str, config: AttentionConfig) -> bool:
    """Whether a register is two's complement."""
    return register in config.registers and config.registers[register].signed


def _described(mark: Mark, register: str, config: AttentionConfig) -> dict[str, int | None]:
    return {
        "smallest": mark.smallest,
        "largest": mark.largest,
        "values": mark.values,
        "saturated": mark.saturated,
        "bits_used": mark.bits(signed=is_signed(register, config)),
        "bits_provided": provided_bits(register, config),
    }


def _marks(
    config: AttentionConfig, inputs: tuple[Any, ...], output: Registers
) -> Iterator[tuple[str, Mark]]:
    """Yield the marks of one run; d and e of masked keys, which nothing observes, are left out."""
    params: LayerParams = inputs[3]
    masked, bias = (*inputs[4:], None, None)[:2]
    registers = output.named()
    limited = _saturated(config, params, masked, bias, output)
    for name in WATERMARKED:
        if name == "product":
            mark = _scaled(_mark(registers["score"]), params.m, params.n)
        elif name == "out_product":
            mark = _scaled(_mark(registers["acc"]), params.m2, params.n2)
        elif name in ("d", "e") and masked is not None:
            values = registers[name]
            mark = _mark(values[~masked.expand(values.shape)], limited.get(name))
        else:
            mark = _mark(registers[name], limited.get(name))
        yield name, mark


def _mark(values: Tensor, saturated: int | None = None) -> Mark:
    low, high = torch.aminmax(values)
    return Mark(int(low), int(high), values.numel(), saturated)


def _scaled(mark: Mark, multiplier: int, shift: int) -> Mark:
    """Return the mark of value * multiplier plus the rounding constant, which is monotone."""
    rounding = (1 << shift) >> 1
    low, high = (value * multiplier + rounding for value in (mark.smallest, mark.largest))
    return Mark(low, high, mark.values, None)


def _saturated(
    config: AttentionConfig,
    params: LayerParams,
    masked: Tensor | None,
    bias: Tensor | None,
    output: Registers,
) -> dict[str, int]:
    """Return how many values each saturating register limited, from what came before the limit."""
    regs = output.map
    t = _rnd(regs.score.long() * params.m, params.n)
    if bias is not None:
        t = t + bias
    over_t = (t < config.t_min) | (t > config.t_max)
    over_d = (regs.row_max.unsqueeze(-1) - regs.t) > config.d_max
    if masked is not None:
        over_d = over_d & ~masked
    o = _rnd(output.output.acc.long() * params.m2, params.n2) + params.zo
    over_o = (o < 0) | (o >= 1 << config.o_bits)
    parts = {"t": over_t, "d": over_d, "o": over_o}
    return {name: int(over.sum()) for name, over in parts.items()}


def _rnd(x: Tensor, n: int) -> Tensor:
    return (x + ((1 << n) >> 1)) >> n
