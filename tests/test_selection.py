"""Selections on the command line: what they mean, what is refused."""

import pytest

from bitlog2.flow.selection import Selection
from bitlog2.golden.package.export_manifest import ranges_of

NAMES = ("blocks.0.attn", "blocks.1.attn", "blocks.2.attn")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("all", (0, 1, 2, 3, 4, 5)),
        ("3", (3,)),
        ("0,2", (0, 2)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("5,0-1,3", (0, 1, 3, 5)),
        ("2-2", (2,)),
    ],
)
def test_selection_means(text, numbers):
    assert Selection.of(text).resolve("--rows", 6) == numbers


def test_selection_takes_names_and_numbers():
    assert Selection.of("blocks.2.attn,0").resolve("--layers", 3, NAMES) == (0, 2)


@pytest.mark.parametrize("text", ["", ",", "1,", "a-b", "-1", "1-", "3-1", "1.5", "0, 1", "all,1"])
def test_selection_refuses_to_parse(text):
    with pytest.raises(ValueError, match=r"must be all, or a list|must not run backwards"):
        Selection.of(text)


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("3", (), "--rows must be from 0 to 2, got 3"),
        ("0-999999999", (), "--rows must be from 0 to 2, got 999999999"),
        ("0-1,1", (), "--rows must name each once, got 1 twice: 0-1,1"),
        ("0,blocks.0.attn", NAMES, "--rows must name each once, got 0 twice"),
        ("first", (), "--rows must be numbers, got 'first'"),
        ("first", NAMES, "--rows must be from 0 to 2 or one of blocks.0.attn, .* got 'first'"),
    ],
)
def test_selection_refuses_to_resolve(text, names, message):
    with pytest.raises(ValueError, match=message):
        Selection.of(text).resolve("--rows", 3, names)


@pytest.mark.parametrize("text", ["0", "0-4", "0,2", "0-2,5,7-8"])
def test_selection_ranges_of_its_numbers_are_its_text(text):
    assert ranges_of(Selection.of(text).resolve("--rows", 9)) == text
