"""Fields: packing most significant bit first, two's complement, lanes."""

from __future__ import annotations

import numpy as np
import pytest

from bitlog2.golden.words.fields import Field, hex_digits, pack, unpack, word_width
from bitlog2.golden.words.memfile import render_mem

FIELDS = (Field("a", 3), Field("b", 4, signed=True), Field("c", 2, lanes=3))


def words_of(columns: dict[str, list]) -> bytes:
    return render_mem(pack(FIELDS, {name: np.array(values) for name, values in columns.items()}))


def test_golden_fields_pack_a_word_worked_by_hand() -> None:
    # 101 | 1101 | 11 10 01: thirteen bits, the highest lane first, padded on the left.
    assert words_of({"a": [5], "b": [-3], "c": [[1, 2, 3]]}) == b"1779\n"


def test_golden_fields_pack_the_limits() -> None:
    columns = {"a": [0, 7], "b": [-8, 7], "c": [[0, 0, 0], [3, 3, 3]]}
    assert words_of(columns) == b"0200\n1dff\n"


def test_golden_fields_count_the_bits_of_all_lanes() -> None:
    assert word_width(FIELDS) == 13


@pytest.mark.parametrize(("width", "digits"), [(1, 1), (4, 1), (5, 2), (256, 64), (257, 65)])
def test_golden_fields_take_a_quarter_of_their_width_in_digits(width: int, digits: int) -> None:
    assert hex_digits(width) == digits


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_golden_fields_unpack_what_they_packed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = tuple(
        Field(f"f{i}", int(rng.integers(1, 63)), bool(rng.integers(0, 2)), int(rng.integers(1, 9)))
        for i in range(6)
    )
    columns = {
        f.name: rng.integers(f.low, f.high, (5000, f.lanes), endpoint=True).squeeze()
        for f in fields
    }
    found = unpack(fields, pack(fields, columns))
    assert all(np.array_equal(found[name], columns[name]) for name in columns)


@pytest.mark.parametrize(("value", "field"), [(8, "a"), (-1, "a"), (8, "b"), (-9, "b")])
def test_golden_fields_refuse_a_value_that_does_not_fit(value: int, field: str) -> None:
    columns = {"a": np.array([0]), "b": np.array([0]), "c": np.array([[0, 0, 0]])}
    with pytest.raises(ValueError, match=rf"{field} must be from .* got {value}$"):
        pack(FIELDS, columns | {field: np.array([value])})


@pytest.mark.parametrize("bits", [0, 63])
def test_golden_fields_refuse_a_width_that_no_register_has(bits: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 62, got {bits}"):
        Field("x", bits)
