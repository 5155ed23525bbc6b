"""What bins call a level."""

from bitlog2.sim import AttentionConfig
from bitlog2.sim.spec import code_register

__all__ = ["level_name"]


def level_name(level: int, config: AttentionConfig) -> str:
    """Return the name of the bin of a level: with its nibble and flag."""
    nibble, flag = code_register(level, config.code)
    return f"level_{level}_nibble_{nibble}_flag_{flag}"
