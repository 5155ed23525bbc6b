"""What the layers of a network load: integers per layer, and per channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..declarations import Configuration, Parameters, Port
from ..rounding import rnd
from .config import NetworkConfig
from .datapath import NETWORK_PORTS

_MULTIPLIER, _SHIFT, _CODE = (1 << 24) - 1, 48, 255
_GAIN, _OFFSET, _BIAS = (1 << 23) - 1, (1 << 51) - 1, (1 << 30) - 1


@dataclass(frozen=True)
class NetworkParameters(Parameters):
    """Parameters whose ports are those of the network.

    Raises:
        TypeError, ValueError: a field is mistyped or is out of every configuration's range.
    """

    ports: ClassVar[Mapping[str, Port]] = NETWORK_PORTS


@dataclass(frozen=True)
class ImageParams(NetworkParameters):
    """Unit 21, one of each per colour channel: G at least 1, H, n."""

    largest: ClassVar[Mapping[str, int]] = {
        "image_gain": _MULTIPLIER,
        "image_offset": _OFFSET,
        "image_shift": _SHIFT,
    }
    image_gain: tuple[int, ...]
    image_offset: tuple[int, ...]
    image_shift: tuple[int, ...]


@dataclass(frozen=True)
class ProductParams(NetworkParameters):
    """Unit 22: the zero point of its input codes, and B per output channel."""

    largest: ClassVar[Mapping[str, int]] = {"zx": _CODE, "linear_bias": _BIAS}
    zx: int
    linear_bias: tuple[int, ...]


@dataclass(frozen=True)
class CodeParams(NetworkParameters):
    """Unit 23: M at least 1 and n per output channel; zero point and bits of its codes."""

    largest: ClassVar[Mapping[str, int]] = {
        "linear_multiplier": _MULTIPLIER,
        "linear_shift": _SHIFT,
        "linear_zero": _CODE,
        "y_bits": 8,
    }
    linear_multiplier: tuple[int, ...]
    linear_shift: tuple[int, ...]
    linear_zero: int
    y_bits: int

    def check(self, config: Configuration, channels: int | None = None) -> None:
        """Refuse what this hardware cannot hold, and a zero point beyond the bits of its codes."""
        super().check(config, channels)
        _check_zero("linear_zero", self.linear_zero, self.y_bits)


@dataclass(frozen=True)
class ResidualParams(NetworkParameters):
    """Unit 24: M, 0 for a branch that adds nothing, and n per channel."""

    largest: ClassVar[Mapping[str, int]] = {
        "residual_multiplier": _MULTIPLIER,
        "residual_shift": _SHIFT,
    }
    residual_multiplier: tuple[int, ...]
    residual_shift: tuple[int, ...]


@dataclass(frozen=True)
class NormParams(NetworkParameters):
    """Units 25 to 28: EPS, at least 1; G, H and n per channel; bits of the codes."""

    largest: ClassVar[Mapping[str, int]] = {
        "norm_eps": (1 << 48) - 1,
        "gain": _GAIN,
        "offset": _OFFSET,
        "gain_shift": _SHIFT,
        "y_bits": 8,
    }
    norm_eps: int
    gain: tuple[int, ...]
    offset: tuple[int, ...]
    gain_shift: tuple[int, ...]
    y_bits: int


@dataclass(frozen=True)
class StreamNormParams(NetworkParameters):
    """Units 25 to 28 where the stream itself is normalized: no codes, so no bits of them."""

    largest: ClassVar[Mapping[str, int]] = {
        name: NormParams.largest[name] for name in ("norm_eps", "gain", "offset", "gain_shift")
    }
    norm_eps: int
    gain: tuple[int, ...]
    offset: tuple[int, ...]
    gain_shift: tuple[int, ...]


@dataclass(frozen=True)
class ActivationParams(NetworkParameters):
    """Unit 29: M at least 1 and n per channel; T, from the smallest u to the largest."""

    largest: ClassVar[Mapping[str, int]] = {
        "activation_multiplier": _MULTIPLIER,
        "activation_shift": _SHIFT,
        "table": _CODE,
    }
    activation_multiplier: tuple[int, ...]
    activation_shift: tuple[int, ...]
    table: tuple[int, ...]

    def check(self, config: Configuration, channels: int | None = None) -> None:
        """Refuse what this hardware cannot hold, and a table without an entry for each u."""
        super().check(config, channels)
        _check_entries("table", self.table, config)


@dataclass(frozen=True)
class GateParams(NetworkParameters):
    """Units 29 and 32: M at least 1 and n per channel; T, signed, from the smallest u on."""

    largest: ClassVar[Mapping[str, int]] = {
        "activation_multiplier": _MULTIPLIER,
        "activation_shift": _SHIFT,
        "gate_table": (1 << 13) - 1,
    }
    activation_multiplier: tuple[int, ...]
    activation_shift: tuple[int, ...]
    gate_table: tuple[int, ...]

    def check(self, config: Configuration, channels: int | None = None) -> None:
        """Refuse what this hardware cannot hold, and a table without an entry for each u."""
        super().check(config, channels)
        _check_entries("gate_table", self.gate_table, config)


@dataclass(frozen=True)
class GateCodeParams(NetworkParameters):
    """Unit 32: M at least 1 and n; zero point and bits of its codes."""

    largest: ClassVar[Mapping[str, int]] = {
        "gate_multiplier": _MULTIPLIER,
        "gate_shift": _SHIFT,
        "gate_zero": _CODE,
        "y_bits": 8,
    }
    gate_multiplier: int
    gate_shift: int
    gate_zero: int
    y_bits: int

    def check(self, config: Configuration, channels: int | None = None) -> None:
        """Refuse what this hardware cannot hold, and a zero point beyond the bits of its codes."""
        super().check(config, channels)
        _check_zero("gate_zero", self.gate_zero, self.y_bits)


def _check_entries(name: str, table: tuple[int, ...], config: Configuration) -> None:
    if len(table) != 1 << config.width("u"):
        raise ValueError(
            f"{name} must have {1 << config.width('u')} entries, one per u, got {len(table)}"
        )


def _check_zero(name: str, zero: int, bits: int) -> None:
    if zero >> bits:
        raise ValueError(
            f"{name} must be from 0 to {(1 << bits) - 1}, a code of {bits} bits, got {zero}"
        )


@dataclass(frozen=True)
class MeanParams(NetworkParameters):
    """Units 25 to 27 and 30: EPS; G, H, n per channel of z; M, n of the sum; bits of the codes."""

    largest: ClassVar[Mapping[str, int]] = {
        "norm_eps": (1 << 48) - 1,
        "mean_gain": _GAIN,
        "mean_offset": _OFFSET,
        "mean_shift": _SHIFT,
        "mean_multiplier": _MULTIPLIER,
        "mean_scale_shift": _SHIFT,
        "y_bits": 8,
    }
    norm_eps: int
    mean_gain: tuple[int, ...]
    mean_offset: tuple[int, ...]
    mean_shift: tuple[int, ...]
    mean_multiplier: int
    mean_scale_shift: int
    y_bits: int


@dataclass(frozen=True)
class StreamMeanParams(NetworkParameters):
    """Unit 30 of the stream itself: M at least 1 and n of the sum."""

    largest: ClassVar[Mapping[str, int]] = {
        "mean_multiplier": _MULTIPLIER,
        "mean_scale_shift": _SHIFT,
    }
    mean_multiplier: int
    mean_scale_shift: int


@dataclass(frozen=True)
class HeadParams(NetworkParameters):
    """Unit 31: M at least 1 and n per class."""

    largest: ClassVar[Mapping[str, int]] = {"head_multiplier": _MULTIPLIER, "head_shift": _SHIFT}
    head_multiplier: tuple[int, ...]
    head_shift: tuple[int, ...]

    def check_logits(
        self,
        config: NetworkConfig,
        inputs: int,
        product: ProductParams,
        before: Sequence[int] | None = None,
    ) -> list[int]:
        """Return the largest magnitude of each class, and refuse one beyond int32 (BL2-HEAD-02).

        Args:
            config: the hardware.
            inputs: K of the head.
            product: its B.
            before: the same of the head in front, whose logits these are added to; None for none.

        Raises:
            ValueError: names the class.
        """
        largest, found = inputs * config.largest_term, []
        loaded = zip(
            before or [0] * len(self.head_shift),
            *(product.linear_bias, self.head_multiplier, self.head_shift),
            strict=True,
        )
        for place, (start, bias, multiplier, shift) in enumerate(loaded):
            found.append(start + rnd((largest + abs(bias)) * multiplier, shift))
            if found[-1] >= 1 << 31:
                raise ValueError(
                    f"logit of class {place} must be at most {(1 << 31) - 1}: M = {multiplier} and "
                    f"n = {shift} take {inputs} inputs to {found[-1]}"
                )
        return found
