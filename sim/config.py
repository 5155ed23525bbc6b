"""`AttentionConfig`: what the hardware is built with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from .checks import check_choice, check_int
from .params import LayerParams
from .scheme import SCHEMES, Scheme
from .table import exp2_table
from .widths import WIDTH_FIELDS, Register, derive_registers

__all__ = ["AttentionConfig", "config_from_mapping"]

_RANGES = {
    "q_bits": (2, 8),
    "k_bits": (2, 8),
    "v_bits": (2, 8),
    "o_bits": (2, 8),
    "max_head_dim": (1, 1024),
    "max_tokens": (1, 65536),
    "fraction_bits": (1, 8),
    "table_bits": (4, 20),
    "distance_int_bits": (2, 6),
    "m_bits": (4, 24),
    "max_n": (0, 48),
    "m2_bits": (4, 24),
    "max_n2": (0, 48),
    "t_bits": (8, 24),
}


@dataclass(frozen=True)
class AttentionConfig:
    """What an attention datapath is built with: free choices, and register widths.

    Attributes:
        scheme: one of the four BitLog2 schemes.
        q_bits, k_bits, v_bits, o_bits: unsigned codes, 2 to 8 bit.
        max_head_dim: largest D.
        max_tokens: largest N, keys in a row.
        fraction_bits: F, fraction bits of t and of the distance.
        table_bits: P, fraction bits of e; the table has 2**F entries of P + 1 bits.
        distance_int_bits: integer bits of the distance.
        m_bits, max_n: width of M and largest n of the score requantizer.
        m2_bits, max_n2: width of M2 and largest n2 of the output requantizer.
        t_bits: width of t, signed: the one register that saturates on legal data.
        score_bits, product_bits, distance_bits, exp_bits, sum_bits, compare_bits, acc_bits,
            out_product_bits: register widths; None means the derived bound.

    Raises:
        TypeError, ValueError: a field is mistyped or out of range; a pinned width is below its
            register's bound; a register needs more than 62 bits.

    Source: SPEC.md, "Configuration", BL2-CONF-01 to -03.
    """

    scheme: str = "BitLog2_Half_17"
    q_bits: int = 4
    k_bits: int = 4
    v_bits: int = 4
    o_bits: int = 4
    max_head_dim: int = 128
    max_tokens: int = 1024
    fraction_bits: int = 5
    table_bits: int = 16
    distance_int_bits: int = 5
    m_bits: int = 16
    max_n: int = 28
    m2_bits: int = 16
    max_n2: int = 36
    t_bits: int = 18
    score_bits: int | None = None
    product_bits: int | None = None
    distance_bits: int | None = None
    exp_bits: int | None = None
    sum_bits: int | None = None
    compare_bits: int | None = None
    acc_bits: int | None = None
    out_product_bits: int | None = None

    def __post_init__(self) -> None:
        check_choice("scheme", self.scheme, tuple(SCHEMES))
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, check_int(name, getattr(self, name), low, high))
        for name in WIDTH_FIELDS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_int(name, getattr(self, name), 1, 62))
        _ = self.registers

    @cached_property
    def code(self) -> Scheme:
        """The scheme that codes the attention map."""
        return SCHEMES[self.scheme]

    @cached_property
    def table(self) -> tuple[int, ...]:
        """The entries T[f] of the exp2 unit."""
        return exp2_table(self.fraction_bits, self.table_bits)

    @cached_property
    def registers(self) -> dict[str, Register]:
        """Every register: its bound, the bits that it needs and the bits that it is given."""
        return derive_registers(self)

    @property
    def d_max(self) -> int:
        """The largest distance, at which the distance saturates."""
        return (1 << (self.distance_int_bits + self.fraction_bits)) - 1

    @property
    def t_min(self) -> int:
        """The smallest t."""
        return -(1 << (self.t_bits - 1))

    @property
    def t_max(self) -> int:
        """The largest t."""
        return (1 << (self.t_bits - 1)) - 1

    @property
    def scores_fit_int32(self) -> bool:
        """Whether a product with its rounding constant, plus the largest bias, stays in int32."""
        return self.registers["product"].bound + (1 << (self.t_bits - 1)) < 1 << 31

    def width(self, register: str) -> int:
        """Return the bits of the register of that name."""
        return self.registers[register].bits

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, None where a width is derived."""
        return asdict(self)

    def check_params(self, params: LayerParams) -> None:
        """Refuse parameters that this hardware cannot hold.

        Raises:
            ValueError: a field is out of this configuration's range.
        """
        check_int("m", params.m, 1, (1 << self.m_bits) - 1)
        check_int("n", params.n, 0, self.max_n)
        check_int("m2", params.m2, 1, (1 << self.m2_bits) - 1)
        check_int("n2", params.n2, 0, self.max_n2)
        for zero, bits in (("zq", "q_bits"), ("zk", "k_bits"), ("zv", "v_bits"), ("zo", "o_bits")):
            check_int(zero, getattr(params, zero), 0, (1 << getattr(self, bits)) - 1)


def config_from_mapping(values: Mapping[str, Any], *, complete: bool = False) -> AttentionConfig:
    """Return the configuration with these fields; the rest have their defaults.

    Args:
        values: field by name.
        complete: refuse a missing field too (for manifests).

    Raises:
        TypeError, ValueError: an unknown or missing name, or as `AttentionConfig`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"configuration must be an object of fields, got {type(values).__name__}")
    names = [field.name for field in fields(AttentionConfig)]
    for name in values:
        if name not in names:
            raise ValueError(f"configuration field must be one of {', '.join(names)}, got {name!r}")
    if complete:
        for name in names:
            if name not in values:
                raise ValueError(f"configuration field {name} is missing")
    return AttentionConfig(**values)
