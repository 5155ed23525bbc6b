"""Vectors of the code register: codes, bytes in memory order, the bugs that they find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.golden import UNITS
from bitlog2.golden.words.framing import row_slices
from bitlog2.sim import AttentionConfig, spec

HALF_16 = AttentionConfig(scheme="BitLog2_Half_16")


@pytest.mark.requirement("BL2-CODE-02", "BL2-CODE-03", "BL2-CODE-04")
def test_golden_code_register_of_a_row_worked_by_hand() -> None:
    """The row of SPEC.md: nibble plane 75 a0 0f 10, flag plane 24."""
    level = [6, 8, 0, 11, 16, 0, 1, 2]
    found = simulated("code_register", {"stimulus": table(last=[0] * 7 + [1], level=level)})
    assert found["expected"]["nibble"].tolist() == [5, 7, 0, 10, 15, 0, 0, 1]
    assert found["expected"]["flag"].tolist() == [0, 0, 1, 0, 0, 1, 0, 0]
    assert found["memory"]["nibble_write"].tolist() == [0, 1] * 4
    assert found["memory"]["nibble_byte"][1::2].tolist() == [0x75, 0xA0, 0x0F, 0x10]
    assert found["memory"]["flag_write"].tolist() == [0] * 7 + [1]
    assert found["memory"]["flag_byte"].tolist() == [0] * 7 + [0x24]


@pytest.mark.requirement("BL2-CODE-04")
def test_golden_code_register_starts_each_row_on_a_byte() -> None:
    """Rows of three and one keys: the last byte of each is padded with 0."""
    stimulus = table(last=[0, 0, 1, 1], level=[2, 3, 4, 5])
    found = simulated("code_register", {"stimulus": stimulus})["memory"]
    assert found["nibble_write"].tolist() == [0, 1, 1, 1]
    assert found["nibble_byte"].tolist() == [0, 0x21, 0x03, 0x04]
    assert found["flag_write"].tolist() == [0, 0, 1, 1]


@pytest.mark.requirement("BL2-CODE-01", "BL2-CODE-04")
def test_golden_code_register_of_16_levels_writes_no_flags() -> None:
    tables = default_tables("code_register", HALF_16)
    assert not tables["memory"]["flag_write"].any()
    assert not tables["expected"]["flag"].any()
    assert np.array_equal(tables["expected"]["nibble"], tables["stimulus"]["level"])


def test_golden_code_register_writes_the_bytes_of_the_specification() -> None:
    tables = default_tables("code_register")
    memory, scheme = tables["memory"], AttentionConfig().code
    for row in row_slices(tables["stimulus"]["last"]):
        nibbles, flags = spec.pack_row(tables["stimulus"]["level"][row].tolist(), scheme)
        for name, plane in (("nibble", nibbles), ("flag", flags)):
            written = memory[f"{name}_write"][row] == 1
            assert bytes(memory[f"{name}_byte"][row][written].tolist()) == plane


def packed(nibble: np.ndarray, flag: np.ndarray) -> tuple[bytes, bytes]:
    padded = np.append(nibble, 0) if len(nibble) % 2 else nibble
    return (
        bytes((padded[::2] | padded[1::2] << 4).tolist()),
        np.packbits(flag.astype(np.uint8), bitorder="little").tobytes(),
    )


def high_first(nibble: np.ndarray, flag: np.ndarray) -> tuple[bytes, bytes]:
    swapped = packed(nibble, flag)[0]
    return bytes((byte & 15) << 4 | byte >> 4 for byte in swapped), packed(nibble, flag)[1]


def flags_from_the_top(nibble: np.ndarray, flag: np.ndarray) -> tuple[bytes, bytes]:
    return packed(nibble, flag)[0], np.packbits(flag.astype(np.uint8)).tobytes()


def last_repeated(nibble: np.ndarray, flag: np.ndarray) -> tuple[bytes, bytes]:
    padded = np.append(nibble, nibble[-1]) if len(nibble) % 2 else nibble
    return packed(padded, flag)[0], packed(nibble, flag)[1]


def padding_flagged(nibble: np.ndarray, flag: np.ndarray) -> tuple[bytes, bytes]:
    return packed(nibble, flag)[0], packed(nibble, np.append(flag, [1] * (-len(flag) % 8)))[1]


PACKERS: list[Callable[[np.ndarray, np.ndarray], tuple[bytes, bytes]]] = [
    packed,
    high_first,
    flags_from_the_top,
    last_repeated,
    padding_flagged,
]


@pytest.mark.parametrize("packer", PACKERS, ids=lambda packer: packer.__name__)
def test_golden_code_register_default_cases_find_a_packing_bug(
    packer: Callable[[np.ndarray, np.ndarray], tuple[bytes, bytes]],
) -> None:
    tables = default_tables("code_register")
    codes, memory, agree = tables["expected"], tables["memory"], True
    for row in row_slices(tables["stimulus"]["last"]):
        planes = packer(codes["nibble"][row], codes["flag"][row])
        for name, plane in zip(("nibble", "flag"), planes, strict=True):
            written = memory[f"{name}_write"][row] == 1
            agree &= bytes(memory[f"{name}_byte"][row][written].tolist()) == plane
    assert agree == (packer is packed)


def test_golden_code_register_leaves_bytes_out_that_are_not_written() -> None:
    tables = default_tables("code_register")
    ignored = UNITS["code_register"].ignored(tables)
    for name in ("nibble", "flag"):
        assert np.array_equal(
            ignored["memory", f"{name}_byte"], tables["memory"][f"{name}_write"] == 0
        )


@pytest.mark.parametrize(("config", "top"), [(AttentionConfig(), 16), (HALF_16, 15)])
def test_golden_code_register_refuses_a_level_past_the_top(
    config: AttentionConfig, top: int
) -> None:
    stimulus = table(last=[1, 0, 1], level=[0, 1, top + 1])
    with pytest.raises(ValueError, match=f"code_register case 1: level must be from 0 to {top}"):
        simulated("code_register", {"stimulus": stimulus}, config)
