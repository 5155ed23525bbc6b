"""`AttentionConfig`: what the hardware is built with; `LayerParams`: what a layer loads."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from .checks import check_int
from .datapath import PORTS, ports_of, units_of
from .declarations import Configuration, Parameters, Port, Unit, choice, one_of, pin
from .own_scheme import OWN_NAME, canonical_scheme, scheme_named
from .scheme import SCHEMES, Scheme
from .table import exp2_table

#: The largest sum of a row's values, for what divides by it.
LARGEST_WEIGHT = 1 << 26


@dataclass(frozen=True)
class LayerParams(Parameters):
    """Parameters of one layer: ports on a device, fields in a stimulus.

    Attributes:
        m, n: multiplier (at least 1) and shift of the score requantizer.
        m2, n2: multiplier (at least 1) and shift of the output requantizer.
        zq, zk, zv, zo: zero points of q, k, v and the output: codes too.

    Raises:
        TypeError, ValueError: a field is no integer or is out of every configuration's range.
    """

    ports: ClassVar[Mapping[str, Port]] = PORTS
    largest: ClassVar[Mapping[str, int]] = {
        **{"m": (1 << 32) - 1, "n": 62, "m2": (1 << 32) - 1, "n2": 62},
        **dict.fromkeys(("zq", "zk", "zv", "zo"), 255),
    }

    m: int
    n: int
    m2: int
    n2: int
    zq: int = 0
    zk: int = 0
    zv: int = 0
    zo: int = 0


@dataclass(frozen=True)
class AttentionConfig(Configuration):
    """What an attention datapath is built with: free choices, and register widths.

    Each field's range is in its declaration; the widths are None for what the bound needs.

    Raises:
        TypeError, ValueError: as `Configuration`.

    Source: SPEC.md, "Configuration", BL2-CONF-01 to -03.
    """

    scheme: str = one_of(
        "BitLog2_Half_17", SCHEMES, "code of the attention map, section 4", pattern=OWN_NAME
    )
    q_bits: int = choice(4, 2, 8, "bits of the unsigned codes of q")
    k_bits: int = choice(4, 2, 8, "bits of the unsigned codes of k")
    v_bits: int = choice(4, 2, 8, "bits of the unsigned codes of v")
    o_bits: int = choice(4, 2, 8, "bits of the unsigned codes of the output")
    max_head_dim: int = choice(128, 1, 1024, "largest D: channels of q and k")
    max_tokens: int = choice(1024, 1, 65536, "largest N: keys in a row")
    fraction_bits: int = choice(5, 1, 8, "F: fraction bits of t and d", sweep="F")
    table_bits: int = choice(16, 4, 20, "P: fraction bits of e; no effect with RowMax", sweep="P")
    distance_int_bits: int = choice(5, 2, 6, "I: integer bits of d", sweep="I")
    m_bits: int = choice(16, 4, 24, "width of M, of unit 2", sweep="m_bits")
    max_n: int = choice(28, 0, 48, "largest n, of unit 2", sweep="max_n")
    m2_bits: int = choice(16, 4, 24, "width of M2, of unit 9", sweep="m2_bits")
    max_n2: int = choice(36, 0, 48, "largest n2, of unit 9", sweep="max_n2")
    t_bits: int = choice(18, 8, 24, "width of t and row max, signed", sweep="t_bits")
    score_bits: int | None = pin("score")
    product_bits: int | None = pin("product")
    distance_bits: int | None = pin("d")
    exp_bits: int | None = pin("e")
    sum_bits: int | None = pin("row_sum")
    compare_bits: int | None = pin("compare")
    acc_bits: int | None = pin("acc")
    out_product_bits: int | None = pin("out_product")

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", canonical_scheme(self.scheme))
        super().__post_init__()
        if self.largest_weight > LARGEST_WEIGHT:
            raise ValueError(
                f"max_tokens must be at most {LARGEST_WEIGHT // self.code.int_max} with "
                f"{self.scheme}, whose rows sum to {self.code.int_max} a key, got {self.max_tokens}"
            )
        if self.max_layer_n2 < 0:
            least = self.max_n2 - self.max_layer_n2
            raise ValueError(
                f"max_n2 must be from {least} to 48 with {self.scheme} and max_tokens = "
                f"{self.max_tokens}: a row adds up to {least} to n2, got {self.max_n2}"
            )
        bound = self.registers["acc"].bound
        if bound >= 1 << 31:
            raise ValueError(
                f"max_tokens must be at most {((1 << 31) - 1) // (bound // self.max_tokens)} with "
                f"{self.scheme} and v_bits = {self.v_bits}: register acc must need at most 32 "
                f"bits, got {self.max_tokens}"
            )

    @property
    def ports(self) -> Mapping[str, Port]:
        """The ports of the scheme's datapath by name."""
        return ports_of(self.code.family)

    @property
    def units(self) -> Mapping[str, Unit]:
        """The units of the scheme's datapath by name, the row last."""
        return units_of(self.code.family)

    @cached_property
    def code(self) -> Scheme:
        """The scheme that codes the attention map."""
        return scheme_named(self.scheme)

    @cached_property
    def table(self) -> tuple[int, ...]:
        """The entries T[f] of the exp2 unit."""
        return exp2_table(self.fraction_bits, self.table_bits)

    @property
    def largest_weight(self) -> int:
        """The largest sum of the values of a row's levels.

        Quotients: the p of a row sum to at most A, and a level's value is at most so many times its
        p as its threshold: once, unless a code of one's own rounds up.
        """
        code = self.code
        if code.row_max:
            return code.int_max * self.max_tokens
        pairs = zip(code.values[1:], code.thresholds(), strict=True)
        return max(code.int_max * value // p for value, p in pairs)

    @property
    def max_layer_n2(self) -> int:
        """The largest n2 of a layer: a row of RowMax adds lod of its weight sum to it."""
        added = self.largest_weight.bit_length() - 1 if self.code.row_max else 0
        return self.max_n2 - added

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

    def check_params(self, params: LayerParams) -> None:
        """Refuse parameters that this hardware cannot hold.

        Raises:
            ValueError: a field is out of this configuration's range.
        """
        params.check(self)
        check_int("n2", params.n2, 0, self.max_layer_n2)


config_from_mapping = AttentionConfig.from_mapping
