"""The file of a program: what is written is read, and whatever was changed is refused."""

import hashlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from support.programs import PROGRAMS, averaged, images, swin, vit
from support.quick import one_in

from bitlog2.sim.network.program_file import program_bytes, read_program, write_program
from bitlog2.sim.network.simulator import infer

requirement = pytest.mark.requirement


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small.bitlog2"


def header_of(content):
    """The header, its program, and the tensors' bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    return header, json.loads(header["__metadata__"]["program"]), content[end:]


def sealed(header, program, data):
    """A file of them that has the digest which it names."""
    zeros = "0" * 64
    header["__metadata__"] = {"sha256": zeros, "program": json.dumps(program)}
    text = json.dumps(header).encode()
    whole = len(text).to_bytes(8, "little") + text + data
    return whole.replace(zeros.encode(), hashlib.sha256(whole).hexdigest().encode(), 1)


@pytest.mark.parametrize("name", PROGRAMS)
@requirement("BL2-PROG-06")
def test_program_file_round_trip(name, path):
    program = PROGRAMS[name]()
    digest = write_program(path, program)
    found, named = read_program(path)
    assert named == digest
    assert program_bytes(found) == (path.read_bytes(), digest)
    assert (found.network, found.attention) == (program.network, program.attention)
    assert (found.source, found.seed, found.resize) == ("random", 7, None)
    pixels = images(program, 2)
    assert (infer(found, pixels).logits == infer(program, pixels).logits).all()


def test_program_file_is_sealed_as_the_tests_seal():
    content, digest = program_bytes(vit())
    header, program, data = header_of(content)
    assert header["__metadata__"]["sha256"] == digest
    assert program["format"] == "bitlog2-program-1"
    assert header_of(sealed(header, program, data))[2] == data


@requirement("BL2-PROG-06", "BL2-NET-02")
def test_program_file_has_the_first_version_with_all_steps():
    """Files of version 2 stay as they were, to the byte."""
    versions = {name: header_of(program_bytes(make())[0])[1]["network_version"]
                for name, make in PROGRAMS.items()}  # fmt: skip
    assert versions == {"vit": 2, "averaged": 2, "swin": 2, "distilled": 3}
    assert program_bytes(vit())[1].startswith("452c88d5f1f02096")


def test_program_file_is_read_by_safetensors(path):
    program = vit()
    write_program(path, program)
    with safe_open(path, framework="numpy") as file:
        weights = file.get_tensor("steps.2.fc1.weights")
        assert (weights == program.blocks[1].fc1.weights).all()
        assert file.get_tensor("steps.2.norm.gain").tolist() == list(program.blocks[1].norm.gain)
        kinds = {str(file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118
    assert kinds == {"int8", "int32", "int64"}


@requirement("BL2-PROG-06")
def test_program_file_with_any_bit_flipped_is_refused(path):
    """Each bit of the length, of the header's ends and of some bytes all over the file."""
    content, _ = program_bytes(vit())
    end = 8 + int.from_bytes(content[:8], "little")
    digest = content.index(b"sha256") + 10
    places = {*range(8), *range(digest, digest + 64), *range(end - 24, end + 24)}
    places |= {*np.random.default_rng(1).integers(0, len(content), 150).tolist()}
    places |= {len(content) - 1}
    for place in sorted(places):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(ValueError, match=r"^program .*small\.bitlog2: "):
                read_program(path)


def test_program_file_that_ends_early_or_late_is_refused(path):
    content, _ = program_bytes(vit())
    for wrong in (b"", content[:7], content[:500], content[:-1], content + b"\0"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"^program .*small\.bitlog2: ") as error:
            read_program(path)
        assert len(str(error.value).splitlines()) == 1


def edited(path, change):
    """The refusal of a file whose header, program or data were changed, then sealed again."""
    header, program, data = header_of(program_bytes(swin())[0])
    data = change(header, program, bytearray(data)) or data
    path.write_bytes(sealed(header, program, bytes(data)))
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its text is compared
        read_program(path)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"program {path}: ")


def in_program(*path, value):
    def change(_header, program, _data):
        *parents, last = path
        for each in parents:
            program = program[each]
        program[last] = value

    return change


def renamed(old, new):
    def change(header, _program, _data):
        header[new] = header.pop(old)

    return change


def entry(name, **fields):
    def change(header, _program, _data):
        header[name].update(fields)

    return change


def without(name):
    """The tensor left out; those behind it move up."""

    def change(header, _program, data):
        start, end = header.pop(name)["data_offsets"]
        del data[start:end]
        for key, each in header.items():
            if key != "__metadata__" and each["data_offsets"][0] >= end:
                each["data_offsets"] = [x - (end - start) for x in each["data_offsets"]]
        return data

    return change


def byte(name, value, place=0):
    def change(header, _program, data):
        data[header[name]["data_offsets"][0] + place] = value
        return data

    return change


FAULTS = {
    "format must be bitlog2-program-1, got 'bitlog2-program-2'": in_program(
        "format", value="bitlog2-program-2"
    ),
    "network_version must be 2 or 3, got 4": in_program("network_version", value=4),
    "network_version must be 2, the first that has all steps, got 3": in_program(
        "network_version", value=3
    ),
    "attention_version must be 1, got None": in_program("attention_version", value=None),
    "header: seed must be an integer from 0 to 9223372036854775807 or null, got -1": in_program(
        "seed", value=-1
    ),
    "header: resize must be an integer from 0 to 9223372036854775807 or null, got '8'": in_program(
        "resize", value="8"
    ),
    "resize must be from 8 to 65536, got 7": in_program("resize", value=7),
    "configuration field a_bits is missing": lambda _h, p, _d: p["network"].pop("a_bits") and None,
    "a_bits must be from 2 to 8, got 9": in_program("network", "a_bits", value=9),
    "scheme must be one of": in_program("attention", "scheme", value="Other"),
    "tensor steps.2.fc1.weights is missing": without("steps.2.fc1.weights"),
    "tensor steps.1.norm.gain is missing": renamed("steps.1.norm.gain", "steps.1.norm.gains"),
    "steps.2 must be PatchEmbedding or Attention or Mlp or GatedMlp or Merging": in_program(
        "steps", 2, "kind", value="Norm"
    ),
    "steps.2.norm must be NormParams, got 'MeanParams'": in_program(
        "steps", 2, "norm", "kind", value="MeanParams"
    ),
    "steps.2.norm must be NormParams, got None": in_program("steps", 2, "norm", value=None),
    "steps.2.fc1.weights must be a tensor, got 3": in_program(
        "steps", 2, "fc1", "weights", value=3
    ),
    "steps.2 must have the fields norm, fc1, fc2, got fc3 too": in_program(
        "steps", 2, "fc3", value=1
    ),
    "steps.1.norm: y_bits must be an integer from 2 to 8, got '4' (str)": in_program(
        "steps", 1, "norm", "y_bits", value="4"
    ),
    "steps.1: heads must be an integer from 1 to 65536, got True (bool)": in_program(
        "steps", 1, "heads", value=True
    ),
    "steps.1: norm: y_bits must be from 2 to 4, got 5": in_program(
        "steps", 1, "norm", "y_bits", value=5
    ),
    "steps.1.norm.gain must be int64 in one axis, got int64 of shape (2, 4)": entry(
        "steps.1.norm.gain", shape=[2, 4]
    ),
    "steps.2.fc1: weights must have 2 axes, got shape (96,)": entry(
        "steps.2.fc1.weights", shape=[96]
    ),
    "steps.2: fc1: weights must have shape (8, 8), got (8, 12)": entry(
        "steps.2.fc1.weights", shape=[8, 12]
    ),
    "steps.2.fc1.weights: dtype must be one of I64, I32, I16, I8, BOOL, got 'U8'": entry(
        "steps.2.fc1.weights", dtype="U8"
    ),
    "steps.1: bias must be int32, got int16": entry(
        "steps.1.bias", dtype="I16", shape=[2, 8, 16]
    ),
    "steps.2.fc1.weights: shape must be from 0 to 1099511627776, got -12": entry(
        "steps.2.fc1.weights", shape=[-12, -8]
    ),
    "steps.2.fc1.weights: data_offsets must be": entry("steps.2.fc1.weights", data_offsets=[0, 5]),
    "steps.2.fc1.weights: a tensor must have dtype, shape and data_offsets": entry(
        "steps.2.fc1.weights", more=1
    ),
    "steps.2: fc1: weights must be from -15 to 15, got 127": byte("steps.2.fc1.weights", 127),
    "steps.3.masked: a BOOL must be 0 or 1": byte("steps.3.masked", 2),
    "steps.1: bias must be from -131072 to 131071, got": byte("steps.1.bias", 64, 3),
}  # fmt: skip


@pytest.mark.parametrize("message", FAULTS)
@requirement("BL2-PROG-06")
def test_program_file_with_a_wrong_content_is_refused(message, path):
    assert edited(path, FAULTS[message]).startswith(message)


@requirement("BL2-PROG-06")
def test_program_file_with_a_tensor_too_many_is_refused(path):
    def change(header, _program, data):
        header["steps.9.more"] = {
            "dtype": "I8", "shape": [1], "data_offsets": [len(data), len(data) + 1],
        }  # fmt: skip
        return data + b"\0"

    assert edited(path, change) == "tensors must be those of the steps, got 'steps.9.more' too"


HOSTILE = [
    *(None, True, -1, 0, 1, 7, 1 << 62, 1 << 70, 1e300, 0.5, "", "x", "I8", "\0"),
    *([], {}, [1], [0, 0], ["x"], {"kind": "Mlp"}, [[1]], [-1, -1], [1 << 70, 1 << 71]),
]


def places(value, path=()):
    """Every place in JSON values, from the outside in."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        yield (*path, key)
        if isinstance(each, (dict, list)):
            yield from places(each, (*path, key))


@pytest.mark.parametrize("seed", one_in(3, range(6)))
@requirement("BL2-PROG-06")
def test_program_file_with_a_hostile_value_anywhere_is_read_or_refused_in_one_line(path, seed):
    """A value of its header replaced or taken away, and the file sealed again."""
    rng, content = random.Random(seed), program_bytes(swin())[0]
    for _ in range(150):
        header, program, data = header_of(content)
        del header["__metadata__"]
        root = rng.choice((header, program))
        *parents, last = rng.choice(list(places(root)))
        for each in parents:
            root = root[each]
        if rng.random() < 0.2:
            del root[last]
        else:
            root[last] = rng.choice(HOSTILE)
        path.write_bytes(sealed(header, program, data))
        try:
            read_program(path)
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"program {path}: "), message
            assert "\n" not in message, message
            assert len(message) < 500, message


def test_program_file_holds_no_source_that_is_no_text(path):
    with pytest.raises(ValueError, match=r"^program: source must be text"):
        write_program(path, replace(averaged(), source=3))
    assert not path.exists()
