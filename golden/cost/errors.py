"""How far alternatives of exp2 are from the real power, as fractions of it."""

from bitlog2.sim import AttentionConfig

__all__ = ["entry_error", "linear_entry", "step_error"]


def linear_entry(fraction: int, config: AttentionConfig) -> int:
    """Return (1 - f/2) * 2^P of f = fraction / 2^F, what `exp2_linear` has for T[f].

    Raises:
        ValueError: the entry is no integer, P <= F, or the fraction is none.
    """
    if config.table_bits <= config.fraction_bits:
        raise ValueError(
            f"table_bits must be above fraction_bits, {config.fraction_bits}, "
            f"got {config.table_bits}"
        )
    if not 0 <= fraction < 1 << config.fraction_bits:
        raise ValueError(
            f"fraction must be from 0 to {(1 << config.fraction_bits) - 1}, got {fraction}"
        )
    return (1 << config.table_bits) - (fraction << (config.table_bits - config.fraction_bits - 1))


def entry_error(config: AttentionConfig) -> float:
    """Return the largest relative error of the linear entries."""
    steps = 1 << config.fraction_bits
    one = 1 << config.table_bits
    return max(linear_entry(f, config) / (one * 2 ** (-f / steps)) - 1 for f in range(steps))


def step_error(fraction_bits: int) -> float:
    """Return the largest relative error of 2^-x when x is rounded to F fraction bits."""
    return float(2 ** (0.5 / (1 << fraction_bits)) - 1)
