"""A datapath of one unit, declared here: what a declaration brings with it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import pytest

from bitlog2 import SPEC_VERSION
from bitlog2.golden.simulation.contract import _of_unit
from bitlog2.golden.stimulus.unit import Target
from bitlog2.sim import REGISTERS, AttentionTrace
from bitlog2.sim.datapath import ATTENTION, SPECIFICATION_VERSION
from bitlog2.sim.declarations import (
    LAST,
    Configuration,
    Parameters,
    Port,
    Stream,
    Unit,
    choice,
    ones,
)
from bitlog2.sim.expressions import number, parameter
from bitlog2.sim.kernel.rows import Registers
from bitlog2.sim.spec import RowTrace

DECLARED = (
    LAST,
    Port("shift", "layer", number(31)),
    Port("gain", "channel", ones("gain_bits"), low=1),
    Port("x", "channel", number(127), signed=True),
    Port("y", "channel", number(127) << parameter("gain_bits"), signed=True, register=True),
)
PORTS = {port.name: port for port in DECLARED}


@dataclass(frozen=True)
class NormConfig(Configuration):
    ports: ClassVar[Mapping[str, Port]] = PORTS
    gain_bits: int = choice(6, 2, 8, "bits of the gain")
    max_head_dim: int = choice(64, 1, 64, "largest number of channels")


@dataclass(frozen=True)
class NormParams(Parameters):
    ports: ClassVar[Mapping[str, Port]] = PORTS
    largest: ClassVar[Mapping[str, int]] = {"shift": 31, "gain": 255}
    shift: int
    gain: tuple[int, ...]


NORM = Unit(
    "norm",
    number=1,
    declares=DECLARED,
    streams=(
        Stream("params", "input", "case", ("shift",)),
        Stream("stimulus", "input", "beat", ("last", "gain", "x")),
        Stream("expected", "output", "beat", ("y",)),
    ),
    makes=(("norm", "expected", "y"),),
    version=2,
)


def test_declarations_parameters_are_per_layer_or_per_channel():
    params = NormParams(3, [1, 200, 63])
    assert params.gain == (1, 200, 63)
    NormParams(3, (1, 2, 63)).check(NormConfig(), channels=3)


@pytest.mark.parametrize(
    ("shift", "gain", "text"),
    [
        (32, (1,), "shift must be from 0 to 31, got 32"),
        (0, (1, 0), "gain of channel 1 must be from 1 to 255, got 0"),
        (0, (1, True), "gain of channel 1 must be an integer from 1 to 255, got True"),
        (0, 5, "gain must be integers, one per channel, got 5"),
        (0, (), "gain must be integers, one per channel, got \\(\\)"),
        (0, (1, 64), "gain of channel 1 must be from 1 to 63, got 64"),
        (0, (1, 2, 3), "gain must have one value for each of 2 channels, got 3"),
    ],
)
def test_declarations_parameters_are_refused(shift, gain, text):
    with pytest.raises((TypeError, ValueError), match=text):
        NormParams(shift, gain).check(NormConfig(), channels=2)


def test_declarations_words_and_contract_of_a_unit_follow():
    target = Target(NormConfig(), 8)
    words = [target.fields(stream) for stream in NORM.streams]
    assert [[(f.name, f.bits, f.signed) for f in fields] for fields in words] == [
        [("shift", 5, False)],
        [("last", 1, False), ("gain", 6, False), ("x", 8, True)],
        [("y", 14, True)],
    ]
    contract = _of_unit(NORM)
    assert contract.params == ("shift",)
    assert contract.inputs[0].fields == ("gain", "x")
    assert contract.inputs[0].framed
    assert contract.outputs[0].fields == ("y",)


def test_declarations_traces_hold_the_registers_of_the_datapath():
    for trace in (AttentionTrace, RowTrace):
        assert tuple(each.name for each in fields(trace)) == REGISTERS
    assert (*Registers._fields, "o") == REGISTERS


def test_declarations_version_is_that_of_the_unit_that_changed_last():
    assert SPECIFICATION_VERSION == SPEC_VERSION == max(u.version for u in ATTENTION.values())
