"""Mangled configurations, manifests and quantized-model headers: read, or refused in one line.

Each file goes through the library's reader under `guarded`, as every command does: the status is 0
or 2, nothing is printed but one bounded line, and what was read can be written and read again.
"""

import io
import json
import random
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from test_golden_fuzz import MANGLES, Mangle, dialect, mangled_json
from test_golden_helpers import SMALL

from bitlog2.documents import render
from bitlog2.golden import (
    AttentionLayer,
    ConvolutionLayer,
    ExportManifest,
    Params,
    Quantization,
    emit,
)
from bitlog2.golden.package.folder import read_manifest
from bitlog2.golden.package.manifest import File
from bitlog2.golden.package.presets import load_config
from bitlog2.golden.package.vector_manifest import VectorManifest
from bitlog2.models.zoo.checkpoint import quantized_about
from bitlog2.scripts.cli import main
from bitlog2.scripts.terminal import guarded
from bitlog2.sim import AttentionConfig

#: Characters of the longest error that still is a line to read.
LONGEST = 1500
VALUE = re.compile(rb":\s*[^,}\]\s]+")
SPLICES = [
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-0",
    b"0.5",
    b"9" * 400,
    b"9" * 5000,
    b"1" + b"0" * 18,
    b"[" * 100000,
    b'{"a":' * 100000,
    b"null",
    b"true",
    b'"\\ud800"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\\u0000\\n\\u001b[31m"',
    b'"' + b"a" * 10000 + b'"',
    b"[1,1]",
    b'{"scheme": 1}',
]


def splice_value(data: bytes, rng: random.Random) -> bytes:
    """Put another value at one place of a JSON text."""
    places = list(VALUE.finditer(data))
    if not places:
        return data
    place, depth = rng.choice(places), rng.randrange(100, 1100)
    value = rng.choice([*SPLICES, b"[" * depth + b"]" * depth])
    return data[: place.start()] + b":" + value + data[place.end() :]


def repeat_name(data: bytes, rng: random.Random) -> bytes:
    """Give a name of an object a second time, with another value."""
    names = re.findall(rb'"[a-z_0-9]+"\s*:', data)
    braces = [place.end() for place in re.finditer(rb"\{", data)]
    if not names or not braces:
        return data
    at = rng.choice(braces)
    value = rng.choice([b"0", b"null", b'"x"', b"4", b"{}"])
    return data[:at] + rng.choice(names) + value + b"," + data[at:]


def recode(data: bytes, rng: random.Random) -> bytes:
    """Write the text in another encoding."""
    name = rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037", "utf-7"])
    return data.decode("latin-1").encode(name)


def structure(data: bytes, rng: random.Random) -> bytes:
    """Change kinds, names and numbers of entries."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        try:
            data = mangled_json(data, rng)
        except (ValueError, IndexError, TypeError):
            break
    return data


BYTES: list[Mangle] = [mangle for mangle in MANGLES if mangle is not dialect]
JSONS: list[Mangle] = [structure, structure, structure, splice_value, splice_value, repeat_name]


def mangled(data: bytes, rng: random.Random) -> bytes:
    """Return JSON text with its structure changed, its bytes, or both."""
    data = rng.choice([*JSONS, *JSONS, *BYTES, recode])(data, rng)
    return rng.choice(BYTES)(data, rng) if data and rng.random() < 0.1 else data


# What is mangled, and what reads it


def configuration(rng: random.Random) -> bytes:
    fields = AttentionConfig(rng.choice(["BitLog2_Single_16", "BitLog2_Half_17"])).as_dict()
    kept = {name: value for name, value in fields.items() if rng.random() < 0.8}
    for name in rng.sample(sorted(kept), min(len(kept), rng.randrange(2))):
        kept[name] = rng.choice([0, 1, 8, 17, 62, 63, 64, 1 << 31, -1, None])
    return json.dumps(kept).encode()


def read_configuration(data: bytes, folder: Path) -> None:
    path = folder / "config.json"
    path.write_bytes(data)
    config = load_config(str(path))
    path.write_text(json.dumps(config.as_dict()))
    assert load_config(str(path)) == config


@pytest.fixture(scope="module")
def vector_manifest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("set") / "s"
    emit(folder, SMALL, head_dim=2, units=["row_max"], sources=["random"], random_cases=3)
    return (folder / "manifest.json").read_bytes()


def read_vector_manifest(data: bytes, folder: Path) -> None:
    assert isinstance(read_manifest(data), VectorManifest)


@pytest.fixture(scope="module")
def export_manifest() -> bytes:
    params = Params(m=47274, n=18, m2=40000, n2=24, zq=7, zk=8, zv=7, zo=8)
    linear = {"outputs": 4, "inputs": 12, "biased": False, "weight_bits": 4, "input_bits": 8}
    sizes = {"windows": 1, "heads": 2, "tokens": 5, "head_dim": 4}
    layers = (
        ConvolutionLayer(name="patch", **linear, kernel=(3, 2, 2), stride=(2, 2)),
        AttentionLayer(name="attn", **sizes, masked=False, biased=False, params=params),
    )
    how = {"scheme": "BitLog2_Half_17", "arithmetic": "attention", "w_bits": 4, "a_bits": 4}
    command = "bitlog2 export digits --images 0,7 --load FILE"
    quantization = Quantization(**how, seed=0)
    export = ExportManifest.of("digits", quantization, AttentionConfig(), (0, 7), layers, command)
    return render(export.sealed(Files()))


class Files(dict[str, File]):
    """A file for every path."""

    def __missing__(self, path: str) -> File:
        return File(path=path, bytes=0, sha256="0" * 64)


def read_export(data: bytes, folder: Path) -> None:
    found = read_manifest(data)
    assert read_manifest(render(found)) == found


@pytest.fixture(scope="module")
def quantized_header() -> bytes:
    quantization = {"scheme": "none", "arithmetic": "float", "w_bits": 4, "a_bits": 4}
    metadata = {
        "format": "bitlog2-quantized-4",
        "model": "digits",
        "classes": "10",
        "seed": "0",
        "quantization": json.dumps(quantization),
    }
    return save({"x": torch.zeros(2)}, metadata)


def mangled_header(data: bytes, rng: random.Random) -> bytes:
    """Mangle the header's JSON, or one entry of it; its length is the true one, or lies."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.6:
        values = json.loads(header)
        metadata = values["__metadata__"]
        name = rng.choice(sorted(metadata))
        metadata[name] = mangled(metadata[name].encode(), rng).decode("utf-8", "replace")
        header = json.dumps(values).encode()
    else:
        header = mangled(header, rng)
    size = len(header) if rng.random() < 0.9 else rng.choice([0, 1, size, 1 << 31, (1 << 64) - 1])
    return size.to_bytes(8, "little") + header + rest


def read_header(data: bytes, folder: Path) -> None:
    path = folder / "q.safetensors"
    path.write_bytes(data)
    assert quantized_about(path)[0] == "digits"


Read = Callable[[bytes, Path], None]
READERS: dict[str, Read] = {
    "configuration": read_configuration,
    "vector_manifest": read_vector_manifest,
    "export_manifest": read_export,
    "quantized_header": read_header,
}


def outcome(read: Read, data: bytes, folder: Path) -> tuple[int, str]:
    """Return the status of reading `data` as a command would, and what it prints."""

    def command() -> int:
        read(data, folder)
        return 0

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = guarded(command)
    return status, out.getvalue() + err.getvalue()


def check(status: int, said: str) -> None:
    """Hold an outcome to its form: silent success, or one bounded line."""
    if status == 0:
        assert said == ""
    else:
        assert status == 2
        assert re.fullmatch(r"bitlog2: error: [^\n]+\n", said), said
        assert len(said) <= LONGEST


def original(name: str, request: pytest.FixtureRequest) -> Callable[[random.Random], bytes]:
    if name == "configuration":
        return configuration
    data: bytes = request.getfixturevalue(name)
    return lambda rng: data


def read_each(
    name: str, seeds: range, make: Callable[[random.Random], bytes], read: Read, folder: Path
) -> tuple[int, int]:
    """Read a mangled file a seed, as `make` makes it; return how many were read and refused."""
    statuses = []
    for seed in seeds:
        data = make(random.Random(f"{name} {seed}"))
        try:
            status, said = outcome(read, data, folder)
            check(status, said)
        except BaseException:
            print(f"{name}, seed {seed}: {data[:500]!r}")
            raise
        statuses.append(status)
    return statuses.count(0), statuses.count(2)


def fuzz(
    name: str, seeds: range, request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[int, int]:
    """Mangle and read as many files as there are seeds; return how many were read and refused."""
    make = original(name, request)
    mangle = mangled_header if name == "quantized_header" else mangled
    return read_each(name, seeds, lambda rng: mangle(make(rng), rng), READERS[name], tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_hostile_mangled_files_are_read_or_refused_in_a_line(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    read, refused = fuzz(name, range(600), request, tmp_path)
    assert min(read, refused) > 5  # both ways are taken


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 110_000, 5_000))
@pytest.mark.parametrize("name", READERS)
def test_hostile_a_hundred_thousand_mangled_files_are_read_or_refused_in_a_line(
    name: str, first: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fuzz(name, range(first, first + 5_000), request, tmp_path)


def test_hostile_number_of_any_length_is_refused_in_a_line(
    export_manifest: bytes, tmp_path: Path
) -> None:
    data = export_manifest.replace(b'"w_bits": 4', b'"w_bits": ' + b"9" * 4000 + b".5", 1)
    status, said = outcome(read_export, data, tmp_path)
    check(status, said)
    assert "is too large" in said


@pytest.mark.parametrize("name", READERS)
def test_hostile_the_file_itself_is_read(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    data = b"{}" if name == "configuration" else original(name, request)(random.Random(0))
    assert outcome(READERS[name], data, tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0, "something"),
        (2, "Traceback (most recent call last):\n"),
        (2, "bitlog2: error: one\nbitlog2: error: two\n"),
        (2, f"bitlog2: error: {'x' * LONGEST}\n"),
        (1, "bitlog2: error: x\n"),
    ],
)
def test_hostile_fuzz_check_catches_a_planted_fault(status: int, said: str) -> None:
    with pytest.raises(AssertionError):
        check(status, said)


@pytest.mark.parametrize("seed", range(8))
def test_hostile_emit_with_a_mangled_configuration_writes_a_whole_set_or_nothing(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    (tmp_path / "c.json").write_bytes(mangled(configuration(rng), rng))
    out = tmp_path / "set"
    words = ["--unit", "row_max", "--source", "random", "--count", "2", "--head-dim", "1"]
    status = main(
        ["golden", "emit", "--config", str(tmp_path / "c.json"), "--out", str(out), *words]
    )
    said = capsys.readouterr()
    assert (status == 0) == out.exists()
    if status == 0:
        assert main(["golden", "verify", str(out)]) == 0
    else:
        check(status, said.err)
        assert [path.name for path in tmp_path.iterdir()] == ["c.json"]
