"""Fields in words, memory files and `vectors.npz`: worked by hand, read back, refused in a line."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from bitlog2.golden.words.fields import Field, hex_digits, pack, unpack, word_width
from bitlog2.golden.words.memfile import UNKNOWN, MemoryImage, parse_mem, render_mem
from bitlog2.golden.words.npz import render_npz

# Fields: packed most significant bit first, two's complement, lanes.

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


# Memory files: what `$writememh` writes is read.

WORDS = b"0a5\n1ff\n000\n"


def read(data: bytes, count: int = 3, width: int = 9) -> MemoryImage:
    return parse_mem(data, "dut.mem", width, count)


@pytest.mark.parametrize(
    "data",
    [
        WORDS,
        b"0A5\n1FF\n000\n",
        b"0a5\r\n1ff\r\n000\r\n",
        b"0a5 1ff\t000",
        b"a5 1ff 0\n",
        b"0_a_5\n1_ff\n0_0_0\n",
        b"000a5\n01ff\n0000\n",
        b"// header 1ff\n0a5 // @7\n1ff//tail\n000\n",
        b"/* @2 zz\n 1ff */ 0a5 /**/ 1ff\n/* // */ 000\n",
        b"@0\n0a5\n@1 1ff\n@00000002\n000\n",
        b"@1\n1ff\n000\n@0\n0a5\n",
        b"@0_0 0a5 1ff @0_2 000",
        b"\xef\xbb\xbf" + WORDS,
        b"\xef\xbb\xbf@0\n0a5\n1ff\n000\n",
    ],
    ids=range(14),
)
def test_golden_memfile_reads_every_dialect(data: bytes) -> None:
    image = read(data)
    assert (render_mem(image.digits), image.present.all(), image.surplus) == (WORDS, True, 0)


def test_golden_memfile_reads_an_upper_case_address() -> None:
    image = read(b"@A\n1\n@b\n2\n", count=12)
    assert np.flatnonzero(image.present).tolist() == [10, 11]


def test_golden_memfile_renders_lower_case_lines() -> None:
    assert render_mem(np.array([[1, 15, 10], [0, 0, 9]], np.uint8)) == b"1fa\n009\n"


@pytest.mark.parametrize("data", [b"", b"\n", b"// nothing\n"])
def test_golden_memfile_reads_an_empty_file_as_missing_words(data: bytes) -> None:
    assert read(data).present.tolist() == [False, False, False]


def test_golden_memfile_reads_a_gap_as_a_missing_word() -> None:
    assert read(b"0a5\n@2\n000\n").present.tolist() == [True, False, True]


@pytest.mark.parametrize("data", [WORDS + b"001\n", WORDS + b"@ffffffffffffffffffff 1\n"])
def test_golden_memfile_counts_surplus_words(data: bytes) -> None:
    assert read(data).surplus == 1


@pytest.mark.parametrize("text", [b"0x5", b"0X5", b"xxx", b"z", b"0ZZ", b"x0a5"])
def test_golden_memfile_keeps_x_and_z_as_unknown(text: bytes) -> None:
    image = read(b"0a5\n" + text + b"\n000\n")
    assert (image.digits >= UNKNOWN).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0a5\n0g1\n", r"dut.mem line 2: must be a hexadecimal word, got '0g1'"),
        (b"0a5 -1\n", r"line 1: must be a hexadecimal word, got '-1'"),
        (b"\n\n/* never ends\n0a5", r"line 3: must be a hexadecimal word, got '/\*'"),
        (b"@\n0a5", r"line 1: must be a hexadecimal word, got '@'"),
        (b"@x1\n0a5", r"line 1: must be a hexadecimal word, got '@x1'"),
        (b"12'h0a5", r"line 1: must be a hexadecimal word"),
        (b"_0a5", r"line 1: must be a hexadecimal word"),
        (b"0a5\x00\n", r"dut.mem must be ASCII text, got bytes of 0: binary, or UTF-16$"),
        (WORDS.decode().encode("utf-16"), r"must be ASCII text, got UTF-16: write it as ASCII"),
        (b"\xfe\xff\x000", r"must be ASCII text, got UTF-16: write it as ASCII or UTF-8"),
        (WORDS.decode().encode("utf-16-be"), r"got bytes of 0: binary, or UTF-16"),
        (b"0a5\n# note\n", r"line 2: must be a hex.* word, got '#': comments begin with //"),
        (b"0a5\n#1\n", r"line 2: must be a hex.* word, got '#1': comments begin with //"),
        (b"0xa5\n", r"line 1: must be a hexadecimal word, got '0xa5': words have no prefix 0x"),
        (b"0x5\n0x1\n0x0\n", r"line 1: must be a hex.* word, got '0x5': words have no prefix"),
        (b"0a5\n0X01ff\n", r"line 2: must be a hexadecimal word, got '0X01ff': words have no pre"),
        (b"@ 0\n0a5", r"line 1: .* got '@': an address is @ and hexadecimal digits, without a b"),
        (b"@0x0\n0a5", r"line 1: .* got '@0x0': an address is @ and hexadecimal digits, without"),
        (b"9'h0a5", r"line 1: .* got \"9'h0a5\": words have no size and base"),
        (b"-5\n", r"line 1: .* got '-5': negative numbers are two's complement in hexadecimal"),
        (b"0a5\n200\n000\n", r"line 2: must be a word of 9 bits, got '200'"),
        (b"10a5\n", r"line 1: must be a word of 9 bits, got '10a5'"),
        (b"@1 0a5 @1 0a5", r"line 1: address 0x1 is given twice"),
    ],
    ids=range(23),
)
def test_golden_memfile_refuses_what_is_no_word(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(data)


def test_golden_memfile_refuses_garbage_in_one_line() -> None:
    for seed in range(11, 111):
        data = bytes(np.random.default_rng(seed).integers(128, 256, 40, dtype=np.uint8))
        with pytest.raises(ValueError, match=r"^dut\.mem line 1: must be a [^\n]+$"):
            read(data)


@pytest.mark.parametrize("width", [1, 3, 4, 5, 64, 1000])
def test_golden_memfile_reads_what_it_rendered(width: int) -> None:
    rng = np.random.default_rng(width)
    digits = rng.integers(0, 16, (50, -(-width // 4)), dtype=np.uint8)
    digits[:, 0] &= (1 << ((width - 1) % 4 + 1)) - 1
    assert np.array_equal(read(render_mem(digits), 50, width).digits, digits)


def test_golden_memfile_reads_the_same_fast_and_slow() -> None:
    data = b"0a5\n1xf\n00z\n111\n"
    fast, slow = read(data), read(b"// slow\n" + data)
    assert np.array_equal(fast.digits, slow.digits)
    assert (fast.surplus, slow.surplus) == (1, 1)


# `vectors.npz`: the bytes of numpy's own writer in a plain zip file.

ARRAYS = {
    "a.b": np.arange(70000, dtype="<i4"),
    "lanes": np.arange(12, dtype="<u1").reshape(4, 3),
    "columns first": np.asfortranarray(np.arange(12, dtype="<i8").reshape(4, 3)),
    "every second": np.arange(12, dtype="<i2")[::2],
    "none": np.zeros(0, "<u2"),
    "no rows": np.zeros((0, 5), "<i8"),
}


def plain_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in ARRAYS.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0))
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def test_golden_npz_has_the_bytes_of_a_plain_writer() -> None:
    assert render_npz(ARRAYS.items()) == plain_npz()


@pytest.mark.parametrize("name", ARRAYS)
def test_golden_npz_is_read_by_numpy(name: str) -> None:
    with np.load(io.BytesIO(render_npz(ARRAYS.items()))) as arrays:
        assert np.array_equal(arrays[name], ARRAYS[name])
        assert arrays[name].dtype == ARRAYS[name].dtype
