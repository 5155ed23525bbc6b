"""The fields of the datapath: one name, one width, whatever unit they go into or come out of."""

from collections.abc import Callable
from typing import Literal

from bitlog2.sim import AttentionConfig

from .fields import Field
from .target import Target
from .unit import Stream

__all__ = ["PORTS", "port", "stream"]


def _unsigned(bits: Callable[[AttentionConfig], int]) -> Callable[[str, AttentionConfig], Field]:
    return lambda name, config: Field(name, bits(config))


def _signed(bits: Callable[[AttentionConfig], int]) -> Callable[[str, AttentionConfig], Field]:
    return lambda name, config: Field(name, bits(config), signed=True)


#: Every port by name: framing, layer parameters, codes, registers.
PORTS: dict[str, Callable[[str, AttentionConfig], Field]] = {
    "last": _unsigned(lambda config: 1),
    "mask": _unsigned(lambda config: 1),
    "m": _unsigned(lambda config: config.m_bits),
    "n": _unsigned(lambda config: max(1, config.max_n.bit_length())),
    "m2": _unsigned(lambda config: config.m2_bits),
    "n2": _unsigned(lambda config: max(1, config.max_n2.bit_length())),
    "zq": _unsigned(lambda config: config.q_bits),
    "zk": _unsigned(lambda config: config.k_bits),
    "zv": _unsigned(lambda config: config.v_bits),
    "zo": _unsigned(lambda config: config.o_bits),
    "q": _unsigned(lambda config: config.q_bits),
    "k": _unsigned(lambda config: config.k_bits),
    "v": _unsigned(lambda config: config.v_bits),
    "score": _signed(lambda config: config.width("score")),
    "bias": _signed(lambda config: config.t_bits),
    "t": _signed(lambda config: config.t_bits),
    "row_max": _signed(lambda config: config.t_bits),
    "d": _unsigned(lambda config: config.width("d")),
    "e": _unsigned(lambda config: config.width("e")),
    "row_sum": _unsigned(lambda config: config.width("row_sum")),
    "s": _unsigned(lambda config: config.width("row_sum")),
    "level": _unsigned(lambda config: 5),
    "nibble": _unsigned(lambda config: 4),
    "flag": _unsigned(lambda config: 1),
    "nibble_write": _unsigned(lambda config: 1),
    "nibble_byte": _unsigned(lambda config: 8),
    "flag_write": _unsigned(lambda config: 1),
    "flag_byte": _unsigned(lambda config: 8),
    "acc": _signed(lambda config: config.width("acc")),
    "o": _unsigned(lambda config: config.o_bits),
}


def port(name: str, target: Target, lanes: int = 1) -> Field:
    """Return the field of that name: `lanes` values side by side."""
    plain = PORTS[name](name, target.config)
    return Field(name, plain.bits, plain.signed, lanes)


def stream(
    name: str,
    role: Literal["input", "output"],
    per: Literal["case", "beat"],
    *names: str,
    lanes: tuple[str, ...] = (),
) -> Stream:
    """Return a stream of these ports, most significant first; those in `lanes` have D lanes."""

    def fields(target: Target) -> tuple[Field, ...]:
        return tuple(port(each, target, target.head_dim if each in lanes else 1) for each in names)

    return Stream(name, role, per, fields)
