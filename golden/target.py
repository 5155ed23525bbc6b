"""What a vector set is made for."""

from dataclasses import dataclass

from bitlog2.sim import AttentionConfig

__all__ = ["Target"]

_USUAL_HEAD_DIM = 64


@dataclass(frozen=True)
class Target:
    """A configuration, and the head dimension of the set.

    Attributes:
        config: what the hardware is built with.
        head_dim: D, lanes of v and of the output, 1 to `max_head_dim`.

    Raises:
        TypeError, ValueError: `head_dim` is no integer or out of range.
    """

    config: AttentionConfig
    head_dim: int

    def __post_init__(self) -> None:
        high = self.config.max_head_dim
        if isinstance(self.head_dim, bool) or not isinstance(self.head_dim, int):
            raise TypeError(f"head_dim must be an integer from 1 to {high}, got {self.head_dim!r}")
        if not 1 <= self.head_dim <= high:
            raise ValueError(f"head_dim must be from 1 to {high}, got {self.head_dim}")

    @classmethod
    def of(cls, config: AttentionConfig, head_dim: int | None = None) -> "Target":
        """Return the target; without a head dimension 64, or the largest where that is less."""
        usual = min(_USUAL_HEAD_DIM, config.max_head_dim)
        return cls(config, usual if head_dim is None else head_dim)
