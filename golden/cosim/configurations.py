"""The configurations of the regression: every two values of two choices occur together."""

from dataclasses import dataclass

from bitlog2.sim import AttentionConfig

__all__ = ["CHOICES", "CONFIGURATIONS", "Choice"]


@dataclass(frozen=True)
class Choice:
    """One configuration.

    Attributes:
        scheme: of the map.
        fraction_bits: F.
        table_bits: P.
        code_bits: of q, k, v and o.
        lanes: keys a beat.
        max_tokens: largest N; rows of one key are in every set.
        head_dim: D.
    """

    scheme: str
    fraction_bits: int
    table_bits: int
    code_bits: int
    lanes: int
    max_tokens: int
    head_dim: int

    @property
    def config(self) -> AttentionConfig:
        """What the hardware is built with."""
        return AttentionConfig(
            scheme=self.scheme,
            q_bits=self.code_bits,
            k_bits=self.code_bits,
            v_bits=self.code_bits,
            o_bits=self.code_bits,
            max_head_dim=self.head_dim,
            max_tokens=self.max_tokens,
            fraction_bits=self.fraction_bits,
            table_bits=self.table_bits,
        )

    def __str__(self) -> str:
        return (
            f"{self.scheme} F={self.fraction_bits} P={self.table_bits} {self.code_bits}-bit codes, "
            f"{self.lanes} lanes, N<={self.max_tokens}, D={self.head_dim}"
        )


#: The values of each field that must meet every value of every other field.
CHOICES: dict[str, tuple[object, ...]] = {
    "scheme": ("BitLog2_Single_16", "BitLog2_Single_17", "BitLog2_Half_16", "BitLog2_Half_17"),
    "fraction_bits": (3, 5, 7),
    "table_bits": (8, 12, 16, 20),
    "code_bits": (4, 5, 6, 7, 8),
    "lanes": (1, 2, 4, 8),
    "max_tokens": (1, 5, 13, 32),
    "head_dim": (1, 3, 8),
}

#: A cover of all pairs; found by a greedy search, held to the claim by a test.
CONFIGURATIONS: tuple[Choice, ...] = (
    Choice("BitLog2_Single_16", 3, 12, 6, 2, 5, 1),
    Choice("BitLog2_Single_16", 7, 8, 5, 1, 32, 8),
    Choice("BitLog2_Half_16", 5, 12, 8, 1, 13, 3),
    Choice("BitLog2_Single_17", 5, 16, 4, 4, 5, 8),
    Choice("BitLog2_Half_17", 7, 20, 8, 4, 1, 1),
    Choice("BitLog2_Half_17", 3, 16, 7, 8, 32, 3),
    Choice("BitLog2_Single_17", 7, 20, 4, 2, 13, 3),
    Choice("BitLog2_Half_16", 5, 8, 7, 2, 1, 1),
    Choice("BitLog2_Single_17", 3, 12, 5, 8, 1, 8),
    Choice("BitLog2_Half_16", 5, 20, 6, 8, 32, 8),
    Choice("BitLog2_Half_17", 3, 8, 6, 4, 13, 3),
    Choice("BitLog2_Single_17", 7, 16, 6, 1, 1, 1),
    Choice("BitLog2_Half_16", 7, 8, 4, 8, 5, 1),
    Choice("BitLog2_Single_16", 3, 20, 7, 1, 5, 3),
    Choice("BitLog2_Half_17", 5, 16, 5, 2, 13, 8),
    Choice("BitLog2_Single_17", 7, 12, 7, 4, 32, 8),
    Choice("BitLog2_Single_16", 5, 16, 8, 8, 13, 1),
    Choice("BitLog2_Single_17", 3, 8, 8, 2, 32, 8),
    Choice("BitLog2_Half_17", 3, 12, 4, 1, 32, 1),
    Choice("BitLog2_Half_16", 3, 20, 5, 4, 1, 3),
    Choice("BitLog2_Single_16", 7, 16, 4, 4, 1, 8),
    Choice("BitLog2_Half_17", 3, 12, 5, 4, 5, 1),
    Choice("BitLog2_Half_16", 5, 16, 8, 8, 5, 1),
    Choice("BitLog2_Single_16", 5, 20, 7, 4, 13, 3),
)
