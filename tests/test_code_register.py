"""Unit 7 and rows in memory: BL2-CODE-01 to -04, BL2-SCHEME-02."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlog2.sim import SCHEMES
from bitlog2.sim.kernel.code_register import code_register as code_kernel
from bitlog2.sim.kernel.code_register import pack_row as pack_kernel
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.scheme import Scheme
from bitlog2.sim.spec import code_register, level_of_code, pack_row, unpack_row

ROWS = st.tuples(st.sampled_from(sorted(SCHEMES)), st.lists(st.integers(0, 15), max_size=70))


@pytest.fixture(params=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return SCHEMES[request.param]


def run_kernels(levels: list[int], scheme: Scheme) -> tuple[list[int], list[int], bytes, bytes]:
    keys = len(levels)
    nibble, flag = np.empty(keys, np.uint8), np.empty(keys, np.uint8)
    code_kernel(np.array(levels, np.uint8), scheme_constants(scheme), nibble, flag)
    nibbles = np.full((keys + 1) // 2, 0xAA, np.uint8)
    flags = np.full((keys + 7) // 8 if scheme.zero_flag else 0, 0x55, np.uint8)
    pack_kernel(nibble, flag, nibbles, flags)
    return nibble.tolist(), flag.tolist(), nibbles.tobytes(), flags.tobytes()


@pytest.mark.requirement("BL2-CODE-01")
def test_code_register_of_16_levels_is_the_level():
    codes = [code_register(level, SCHEMES["BitLog2_Half_16"]) for level in range(16)]
    assert codes == [(level, 0) for level in range(16)]


@pytest.mark.requirement("BL2-CODE-02")
def test_code_register_of_17_levels_has_a_zero_flag():
    codes = [code_register(level, SCHEMES["BitLog2_Half_17"]) for level in range(17)]
    assert codes == [(0, 1), *((level - 1, 0) for level in range(1, 17))]


def test_code_register_fits_four_bits_and_inverts(scheme: Scheme):
    for level in range(scheme.levels):
        nibble, flag = code_register(level, scheme)
        assert 0 <= nibble <= 15
        assert level_of_code(nibble, flag, scheme) == level


def test_code_register_kernel_equals_spec_exhaustively(scheme: Scheme):
    levels = list(range(scheme.levels))
    nibble, flag, _, _ = run_kernels(levels, scheme)
    assert list(zip(nibble, flag, strict=True)) == [code_register(x, scheme) for x in levels]


@pytest.mark.requirement("BL2-CODE-03", "BL2-CODE-04")
def test_pack_row_worked_by_hand_with_16_levels():
    """Low nibble first, no flag plane; BL2-CODE-04: the last nibble is padding."""
    assert pack_row([1, 2, 15], SCHEMES["BitLog2_Single_16"]) == (bytes([0x21, 0x0F]), b"")


@pytest.mark.requirement("BL2-CODE-03", "BL2-CODE-04")
def test_pack_row_worked_by_hand_with_17_levels():
    """Levels 6 0 16 1 ... are nibbles 5 0 15 0; flags of keys 1 and 8."""
    levels = [6, 0, 16, 1, 2, 2, 2, 2, 0]
    planes = (bytes([0x05, 0x0F, 0x11, 0x11, 0x00]), bytes([0b10, 0b1]))
    assert pack_row(levels, SCHEMES["BitLog2_Half_17"]) == planes


@pytest.mark.requirement("BL2-CODE-04")
def test_pack_row_pads_with_zeros_not_with_zero_flags():
    """The seven unused flag bits of one key are 0."""
    assert pack_row([0], SCHEMES["BitLog2_Half_17"]) == (b"\x00", b"\x01")


def test_pack_row_kernel_equals_spec_on_a_million_random_keys():
    rng = np.random.default_rng(71)
    for scheme in SCHEMES.values():
        for keys in [*range(1, 34), *rng.integers(1, 3000, 160).tolist()]:
            levels = rng.integers(0, scheme.levels, keys).tolist()
            nibble, flag, nibbles, flags = run_kernels(levels, scheme)
            assert (nibbles, flags) == pack_row(levels, scheme)
            codes = [code_register(level, scheme) for level in levels]
            assert list(zip(nibble, flag, strict=True)) == codes


@given(ROWS)
@settings(deadline=None, derandomize=True)
def test_pack_row_unpacks_to_the_same_levels(case: tuple[str, list[int]]):
    name, levels = case
    nibbles, flags = pack_row(levels, SCHEMES[name])
    assert unpack_row(nibbles, flags, len(levels), SCHEMES[name]) == levels


@pytest.mark.requirement("BL2-SCHEME-02")
@given(ROWS)
@settings(deadline=None, derandomize=True)
def test_pack_row_takes_the_stated_bytes(case: tuple[str, list[int]]):
    """The flag plane counts."""
    name, levels = case
    nibbles, flags = pack_row(levels, SCHEMES[name])
    assert len(nibbles) == (len(levels) + 1) // 2
    assert len(flags) == ((len(levels) + 7) // 8 if SCHEMES[name].zero_flag else 0)
