"""Tables that fit a terminal."""

import pytest

from bitlog2.table import Columns, aligned

HEAD = ("name", "levels changed %", "what it is")
ROWS = (HEAD, ("a", "1.25", "a text of many words"), ("bc", "10.00", "-"))


def test_table_columns_are_as_wide_as_their_cells():
    assert aligned(ROWS, "<><", 80) == [
        "name  levels changed %  what it is",
        "a                 1.25  a text of many words",
        "bc               10.00  -",
    ]


@pytest.mark.parametrize("width", range(25, 80))
def test_table_fits_the_width(width):
    lines = [line for row in aligned(ROWS, "<><", width) for line in row.split("\n")]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [25, 30, 44, 80])
def test_table_keeps_every_word(width):
    for row, line in zip(ROWS, aligned(ROWS, "<><", width), strict=True):
        assert sorted(line.split()) == sorted(" ".join(row).split())


def test_table_head_is_folded_before_text_is():
    assert aligned(ROWS, "<><", 36)[0] == "name   levels  what it is\n      changed\n            %"
    assert aligned(ROWS, "<><", 36)[1] == "a        1.25  a text of many words"


def test_table_number_that_is_wider_than_its_column_stays_whole():
    assert Columns([("n", "x"), ("1", "2")], "<>", 80).line(("a", "12,345")) == "a  12,345"


def test_table_of_numbers_that_cannot_be_narrow_is_wider():
    assert Columns([("1" * 30, "2" * 30)], ">>", 20).line(("1" * 30, "2" * 30)).count("\n") == 0
