"""The fast writer and reader, held to plain ones: the same bytes, words and refusals."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest

from bitlog2.golden.words import fields as fields_module
from bitlog2.golden.words import memfile
from bitlog2.golden.words.fields import Columns, Field, hex_digits, pack, unpack, word_width
from bitlog2.golden.words.memfile import parse_mem, render_mem, render_stream

WORDS = 101
DIGITS = 3
WIDTH = 10


@pytest.fixture(params=[1, 40, 1 << 18], ids=["one word", "some words", "every word"])
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of different sizes, so that words lie at the ends of blocks and inside."""
    monkeypatch.setattr(fields_module, "_BLOCK_DIGITS", request.param)
    monkeypatch.setattr(memfile, "_CHUNK", request.param)


def some_fields(width: int) -> tuple[Field, ...]:
    """Return fields of any kind with that many bits together."""
    rng, fields = random.Random(width), []
    while left := width - sum(field.width for field in fields):
        bits = rng.randint(1, min(left, 62))
        lanes = rng.randint(1, min(left // bits, 5))
        fields.append(Field(f"f{len(fields)}", bits, rng.random() < 0.5, lanes))
    return tuple(fields)


def some_columns(fields: tuple[Field, ...]) -> Columns:
    """Return random values, the smallest and the largest of each field first."""
    rng, columns = np.random.default_rng(word_width(fields)), {}
    for field in fields:
        values = rng.integers(field.low, field.high, (WORDS, field.lanes), endpoint=True)
        values[:2] = [[field.low], [field.high]]
        columns[field.name] = values if field.lanes > 1 else values[:, 0]
    return columns


def plain_lines(fields: tuple[Field, ...], columns: Columns) -> bytes:
    """Render a stream with Python's integers and formatting."""
    lines = []
    for index in range(len(columns[fields[0].name])):
        word = 0
        for field in fields:
            lanes = columns[field.name].reshape(-1, field.lanes)[index].tolist()
            for value in reversed(lanes):
                word = word << field.bits | value & ((1 << field.bits) - 1)
        lines.append(f"{word:0{hex_digits(word_width(fields))}x}\n")
    return "".join(lines).encode()


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("width", [*range(1, 71), 127, 128, 129, 300])
def test_golden_lines_are_those_of_a_plain_writer(width: int) -> None:
    fields = some_fields(width)
    columns = some_columns(fields)
    assert render_stream(fields, columns) == plain_lines(fields, columns)


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("width", [*range(1, 71), 127, 128, 129, 300])
def test_golden_lines_are_read_back(width: int) -> None:
    fields = some_fields(width)
    columns = some_columns(fields)
    image = parse_mem(plain_lines(fields, columns), "dut.mem", width, WORDS)
    found = unpack(fields, image.digits)
    assert all(np.array_equal(found[name], columns[name]) for name in columns)


@pytest.mark.usefixtures("_block")
def test_golden_lines_of_digits_are_those_of_their_stream() -> None:
    fields = some_fields(45)
    columns = some_columns(fields)
    assert render_mem(pack(fields, columns)) == render_stream(fields, columns)


@pytest.mark.usefixtures("_block")
def test_golden_lines_refuse_a_value_that_does_not_fit_in_the_last_block() -> None:
    fields = (Field("a", 3), Field("b", 8))
    columns = {"a": np.zeros(WORDS, np.int64), "b": np.zeros(WORDS, np.int64)}
    columns["b"][-1] = 256
    with pytest.raises(ValueError, match="b must be from 0 to 255, got 256"):
        render_stream(fields, columns)


def test_golden_lines_of_no_words_are_no_bytes() -> None:
    fields = some_fields(9)
    none = {name: values[:0] for name, values in some_columns(fields).items()}
    assert render_stream(fields, none) == b""


CANONICAL = render_mem(
    np.random.default_rng(31).integers(0, [4, 16, 16], (WORDS, DIGITS)).astype(np.uint8)
)


def spoil_line(place: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return the canonical file with one line changed; -1 is the last."""
    lines = CANONICAL.splitlines(keepends=True)
    lines[place] = change(lines[place])
    return b"".join(lines)


def each_line(change: Callable[[int, bytes], bytes]) -> bytes:
    """Return the canonical file with every line changed."""
    return b"".join(change(*each) for each in enumerate(CANONICAL.splitlines(keepends=True)))


WHOLE_FILE = {
    "untouched": CANONICAL,
    "capitals": CANONICAL.upper(),
    "crlf": CANONICAL.replace(b"\n", b"\r\n"),
    "no last line end": CANONICAL[:-1],
    "underscores": each_line(lambda _, line: line[:1] + b"_" + line[1:]),
    "comment in front": b"// 123\n/* 456\n */" + CANONICAL,
    "comment each 16 words": each_line(
        lambda i, line: (b"// 0x%08x\n" % i if i % 16 == 0 else b"") + line
    ),
    "comment behind each word": each_line(lambda i, line: line[:-1] + b" // %d\n" % i),
    "open comment": CANONICAL + b"/* 123\n",
    "comment over all": b"/*" + CANONICAL + b"*/",
    "address 0 in front": b"@0\n" + CANONICAL,
    "address 000_0 in front": b"\n @000_0 " + CANONICAL,
    "address 0 without a blank": b"@0" + CANONICAL,
    "address 1 in front": b"@1\n" + CANONICAL,
    "address 0 twice": b"@0\n@0\n" + CANONICAL,
    "every address": each_line(lambda i, line: b"@%x " % i + line),
    "every address, backwards": b"".join(
        b"@%X %s\n" % each for each in [*enumerate(CANONICAL.split())][::-1]
    ),
    "two words a line": each_line(lambda i, line: line if i % 2 else line[:-1] + b"\t"),
    "all words on a line": CANONICAL.replace(b"\n", b" "),
    "line ends in front": b"\n" + CANONICAL[:-1],
    "blank lines": CANONICAL.replace(b"\n", b"\n\n"),
    "no blanks": CANONICAL.replace(b"\n", b""),
    "zeros in front": each_line(lambda _, line: b"0" + line),
    "no zeros in front": each_line(lambda _, line: line.lstrip(b"0") or b"\n"),
    "one word more": CANONICAL + b"001\n",
    "many words more": CANONICAL * 3,
    "half": CANONICAL[: len(CANONICAL) // 2],
    "cut within the last word": CANONICAL[:-3],
    "empty": b"",
    "only comments": b"// nothing\n",
}
ONE_LINE: dict[str, Callable[[bytes], bytes]] = {
    "capital": lambda line: b"0AF\n",
    "other word": lambda line: b"111\n",
    "x": lambda line: b"0x1\n",
    "Z": lambda line: b"Z01\n",
    "short": lambda line: line[1:],
    "long with zeros": lambda line: b"00" + line,
    "too wide": lambda line: b"1" + line,
    "beyond the top digit": lambda line: b"4" + line[1:],
    "blank": lambda line: b"\n",
    "blanks": lambda line: b"   \n",
    "blank in front": lambda line: b" " + line,
    "missing": lambda line: b"",
    "twice": lambda line: line * 2,
    "no hexadecimal digit": lambda line: b"0g1\n",
    "beyond ASCII": lambda line: b"0\xe91\n",
    "beside the digits": lambda line: b"0:/\n",
    "beside the capitals": lambda line: b"0@G\n",
    "beside the letters": lambda line: b"0`g\n",
    "underscore": lambda line: b"0_1\n",
    "underscore in front": lambda line: b"_01\n",
    "address": lambda line: b"@05\n",
    "comment": lambda line: b"//1\n",
    "comment begins": lambda line: b"0/*\n",
    "comment in a word": lambda line: b"1/**/1\n",
    "line end lost": lambda line: line[:-1],
    "line end in a word": lambda line: b"0\n1\n",
    "line end is another": lambda line: line[:-1] + b"\v",
    "line end is a digit": lambda line: line[:-1] + b"0",
    "carriage return": lambda line: line[:-1] + b"\r\n",
}


def outcome(read: Callable, data: bytes) -> tuple:
    """Return the words of a file, or the sentence that refuses it."""
    try:
        image = read(data, "dut.mem", WIDTH, WORDS)
    except ValueError as error:
        return (str(error),)
    return image.digits.tolist(), image.present.tolist(), image.surplus


def agree(data: bytes) -> bool:
    return outcome(parse_mem, data) == outcome(memfile._tolerant, data)


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("name", WHOLE_FILE)
def test_golden_lines_of_a_perturbed_file_are_read_as_the_dialect_has_it(name: str) -> None:
    assert agree(WHOLE_FILE[name])


@pytest.mark.usefixtures("_block")
@pytest.mark.parametrize("place", [0, WORDS // 2, WORDS - 1])
@pytest.mark.parametrize("name", ONE_LINE)
def test_golden_lines_with_one_perturbed_are_read_as_the_dialect_has_it(
    name: str, place: int
) -> None:
    assert agree(spoil_line(place, ONE_LINE[name]))


@pytest.mark.parametrize("seed", range(40, 60))
def test_golden_lines_with_random_edits_are_read_as_the_dialect_has_it(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        data = bytearray(CANONICAL[: 4 * rng.randint(1, 12)])
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(data))
            piece = rng.choice([b"", b"_", b"x", b"G", b"\r\n", b" ", b"@0\n", b"//", b"/*", b"*/"])
            data[place : place + rng.randint(0, 2)] = piece
        assert agree(bytes(data)), data


def test_golden_lines_accept_every_legal_byte_and_no_other() -> None:
    for byte in range(256):
        data = b"11%c\n" % byte
        legal = re.fullmatch(rb"[0-9a-fA-FxXzZ]", bytes([byte])) is not None
        assert (memfile._canonical(data, 3, 1, 3) is not None) == legal, byte


@pytest.mark.parametrize("name", ["untouched", "capitals"])
def test_golden_lines_of_a_plain_file_never_reach_the_slow_reader(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(memfile, "_tolerant")
    monkeypatch.delattr(memfile, "_one_a_line")
    assert parse_mem(WHOLE_FILE[name], "dut.mem", WIDTH, WORDS).present.all()


@pytest.mark.parametrize(
    "name",
    [
        "crlf",
        "no last line end",
        "comment in front",
        "comment each 16 words",
        "address 0 in front",
        "two words a line",
        "blank lines",
    ],
)
def test_golden_lines_of_usual_simulators_never_reach_the_slow_reader(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(memfile, "_tolerant")
    assert parse_mem(WHOLE_FILE[name], "dut.mem", WIDTH, WORDS).present.all()
