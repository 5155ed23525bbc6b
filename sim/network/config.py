"""`NetworkConfig`: what the hardware around attention is built with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

from ..declarations import Configuration, Port, choice
from ..rounding import leading_one
from .datapath import NETWORK_PORTS
from .units.linear_accumulator import ACC
from .units.norm_sums import VARIANCE


@dataclass(frozen=True)
class NetworkConfig(Configuration):
    """What a network's datapath is built with, beside its attention: choices; widths are derived.

    Raises:
        TypeError, ValueError: as `Configuration`; a shift of the normalizer could be negative; an
            accumulator of a linear layer could pass int32.

    Source: SPEC.md, "The network", BL2-NET-03 to -05.
    """

    a_bits: int = choice(4, 2, 8, "bits of the unsigned codes between layers")
    w_bits: int = choice(4, 2, 8, "bits of the codes of weights")
    outer_bits: int = choice(8, 2, 8, "the same of the patch embedding and the head")
    pixel_bits: int = choice(8, 1, 16, "bits of a pixel, unsigned")
    max_channels: int = choice(4096, 1, 16384, "largest C: channels of a layer norm")
    max_inputs: int = choice(8192, 1, 65536, "largest K: inputs of a linear layer")
    max_tokens: int = choice(1024, 1, 65536, "largest number of tokens of a mean")
    stream_bits: int = choice(16, 8, 24, "W_r: width of the residual stream", sweep="W_r")
    z_fraction_bits: int = choice(10, 0, 16, "Z: fraction bits of z", sweep="Z")
    root_bits: int = choice(16, 4, 24, "width of the integer root", sweep="root_bits")
    gain_bits: int = choice(17, 4, 24, "width of G of unit 28, signed", sweep="gain_bits")
    max_gain_shift: int = choice(30, 0, 48, "largest n of unit 28")
    offset_bits: int = choice(40, 8, 52, "width of H, signed")
    eps_bits: int = choice(40, 1, 48, "width of EPS")
    bias_bits: int = choice(30, 8, 31, "width of B, signed")
    m_bits: int = choice(16, 4, 24, "width of M")
    max_n: int = choice(36, 0, 48, "largest n")
    u_bits: int = choice(10, 4, 12, "width of u, signed: 2^u_bits entries of T", sweep="u_bits")
    mean_bits: int = choice(20, 8, 24, "width of p of a mean, signed")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.z_fraction_bits > self.root_bits:
            raise ValueError(
                f"z_fraction_bits must be at most root_bits = {self.root_bits}: unit 27 shifts by "
                f"at least their difference, got {self.z_fraction_bits}"
            )
        largest = ((1 << 31) - 1 - (ACC.bound(self) - self.max_inputs * self.largest_term)) // (
            self.largest_term
        )
        if self.max_inputs > largest:
            raise ValueError(
                f"max_inputs must be at most {largest} with terms of {self.largest_term} and "
                f"bias_bits = {self.bias_bits}: register linear_acc must need at most 32 bits, "
                f"got {self.max_inputs}"
            )

    @property
    def ports(self) -> Mapping[str, Port]:
        """The ports of the network by name."""
        return NETWORK_PORTS

    @property
    def code_bits(self) -> int:
        """Bits of the widest codes between layers."""
        return max(self.a_bits, self.outer_bits)

    @property
    def weight_bits(self) -> int:
        """Bits of the widest codes of weights."""
        return max(self.w_bits, self.outer_bits)

    @property
    def largest_term(self) -> int:
        """The largest product of a difference of codes and a weight."""
        inner = ((1 << self.a_bits) - 1) * ((1 << self.w_bits) - 1)
        outer = (1 << self.outer_bits) - 1
        return max(inner, outer * outer)

    @property
    def stream_max(self) -> int:
        """The largest value of the residual stream."""
        return (1 << (self.stream_bits - 1)) - 1

    @property
    def stream_min(self) -> int:
        """The smallest value of the residual stream."""
        return -(1 << (self.stream_bits - 1))

    @property
    def u_max(self) -> int:
        """The largest u."""
        return (1 << (self.u_bits - 1)) - 1

    @property
    def u_min(self) -> int:
        """The smallest u."""
        return -(1 << (self.u_bits - 1))

    @cached_property
    def _largest_k(self) -> int:
        """The largest k of unit 26: that of the largest V."""
        return (leading_one(VARIANCE.bound(self)) >> 1) - (self.root_bits - 1)

    @property
    def largest_root_shift(self) -> int:
        """The largest |k| of unit 26; the smallest k is that of V = 1."""
        return max(self.root_bits - 1, self._largest_k)

    @property
    def largest_norm_shift(self) -> int:
        """The largest shift of unit 27: that of the largest k."""
        return max(0, 2 * self.root_bits - 1 + self._largest_k - self.z_fraction_bits)

    @property
    def largest_z(self) -> int:
        """A bound of z: sqrt(C - 1) * 2**Z, and what root and rounding add (BL2-NORM-06)."""
        root = isqrt((self.max_channels - 1) << (2 * self.z_fraction_bits)) + 1
        return root + (root >> (self.root_bits - 1)) + 1

    @property
    def largest_mean_term(self) -> int:
        """The largest magnitude that a mean sums: of p, or of the stream."""
        return 1 << (max(self.mean_bits, self.stream_bits) - 1)
