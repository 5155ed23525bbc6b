"""The manifest of an export: what it says, what is refused when it is made or read."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from msgspec.structs import replace
from test_export import swin_export

import bitlog2.golden
from bitlog2.documents import render
from bitlog2.golden import write_export
from bitlog2.golden.package.folder import read_manifest
from bitlog2.golden.package.manifest import File, memory
from bitlog2.golden.words.fields import Field
from bitlog2.sim import AttentionConfig

PACKAGE = Path(bitlog2.golden.__file__).parent / "package"
SCHEMA = json.loads((PACKAGE / "export.schema.json").read_bytes())


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "e"
    write_export(folder, *swin_export())
    return (folder / "manifest.json").read_bytes()


def entry(manifest, path):
    return next(each for each in json.loads(manifest)["files"] if each["path"] == path)


def test_export_manifest_fits_its_published_schema(manifest):
    jsonschema.validate(json.loads(manifest), SCHEMA)


def test_export_manifest_says_what_was_exported(manifest):
    found = read_manifest(manifest)
    assert swin_export()[0].sealed({each.path: each for each in found.files}) == found


def test_export_manifest_has_no_clock_and_no_folder(manifest):
    values = json.loads(manifest)
    files = {
        each["path"]: File(**{name: each[name] for name in ("path", "bytes", "sha256")})
        for each in values["files"]
    }
    assert render(swin_export()[0].sealed(files)) == manifest


def test_export_manifest_describes_a_memory_of_codes(manifest):
    found = entry(manifest, "layers.1.blocks.0.attn/q.mem")
    del found["sha256"]
    assert found == {
        "kind": "memory",
        "path": "layers.1.blocks.0.attn/q.mem",
        "bytes": 96 * 17,
        "owner": "layers.1.blocks.0.attn",
        "name": "q",
        "description": "codes of q",
        "number": "integer",
        "axes": ["image", "window", "head", "token"],
        "shape": [2, 1, 3, 16],
        "lane_axis": "channel",
        "width": 64,
        "fields": [{"name": "q", "bits": 4, "signed": False, "lanes": 16}],
        "words": 96,
    }


def test_export_manifest_describes_a_signed_memory(manifest):
    found = entry(manifest, "layers.0.blocks.1.attn/score_bias.mem")
    assert found["fields"] == [{"name": "score_bias", "bits": 18, "signed": True, "lanes": 16}]


def test_export_manifest_describes_a_memory_of_scales(manifest):
    found = entry(manifest, "head.fc/weight_scale.mem")
    assert (found["number"], found["width"], found["words"]) == ("float32", 32, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["files"].pop(), "files must list arrays.npz of every layer, see head.fc/arr"),
        (lambda m: m["files"][0].update(words=7), r"files\[0\]: words must be "),
        (lambda m: m["files"][0].update(path="a/b.mem"), "files must list patch_embed.proj/wei"),
        (lambda m: m["files"].append(dict(m["files"][0], path="a/b.mem")), "got a/b.mem"),
        (lambda m: m["files"].pop(0), "files must list patch_embed.proj/weight.mem: it is missing"),
        (
            lambda m: m["layers"].append(m["layers"][0]),
            "layers must name each once, got 'patch_embed.proj' twice",
        ),
        (lambda m: m["layers"][0].update(name="../up"), r"layers\[0\]\.name must be text like "),
        (lambda m: m["layers"][1]["params"].update(m=1 << 20), "m must be from 1 to 65535"),
        (lambda m: m["configuration"].update(t_bits=99), "t_bits must be from 8 to 24, got 99"),
        (lambda m: m.update(images=[]), "images must be a list of at least 1, got "),
        (lambda m: m.update(seed=0.5), "must have the fields .*, got 'seed' too"),
        (
            lambda m: m.update(format="other"),
            "format must be one of bitlog2-vectors, bitlog2-export, got 'other'",
        ),
        (lambda m: m.update(command="rm -r"), "command must be text like "),
        (lambda m: m["files"].append(m["files"][3]), "files must name each once, got "),
        (
            lambda m: m["files"].insert(0, dict(m["files"][3], sha256="0" * 64)),
            "files must name each once, got ",
        ),
        (lambda m: m["files"].append(m["files"][-1]), "files must name each once, got 'head"),
        (lambda m: m["quantization"].update(scheme="BitLog2_Half_16"), "scheme of the quantizatio"),
        (lambda m: m["quantization"].update(w_bits=8), "weight_bits of patch_embed.proj must be 8"),
        (lambda m: m["quantization"].update(a_bits=8), "q_bits of the configuration must be 8, "),
        (lambda m: m["quantization"].update(seed=1), "--seed of the command must be 1, got 0"),
        (lambda m: m["quantization"].pop("calibration_images"), "--calibration-images of the com"),
        (lambda m: m["layers"][0].update(input_bits=7), "input_bits of patch_embed.proj must be 8"),
        (lambda m: m["layers"][0].update(stride=[1, 1]), "stride of patch_embed.proj must be "),
        (lambda m: m["layers"][0].update(kernel=[1, 1, 1]), "inputs of patch_embed.proj must be 1"),
        (lambda m: m["layers"][1].update(heads=3), "outputs of layers.0.blocks.0.attn.qkv must be"),
        (lambda m: m.update(images=[0, 5]), "--images of the command must be 0,5, got "),
        (lambda m: m.update(model="other"), r"model of the command must be \['other'\]"),
        (lambda m: m.update(command="bitlog2 export 'digits"), "command must be a shell command"),
        (lambda m: m.update(command="bitlog2.models.export"), "seed must be null exactly where th"),
        (lambda m: m["quantization"].update(seed=None), "seed must be null exactly where the com"),
    ],
    ids=range(30),
)
def test_export_manifest_that_is_wrong_is_refused_in_one_line(manifest, change, message):
    values = json.loads(manifest)
    change(values)
    with pytest.raises(ValueError, match=rf"^manifest\.json[^\n]*({message})[^\n]*$"):
        read_manifest(json.dumps(values).encode())


def test_export_refuses_two_layers_of_one_name():
    export = swin_export()[0]
    with pytest.raises(ValueError, match="layers must name each once"):
        replace(export, layers=(*export.layers, export.layers[0]))


def test_export_refuses_parameters_that_the_hardware_cannot_hold():
    export = swin_export()[0]
    with pytest.raises(ValueError, match="m must be from 1 to 15"):
        replace(export, configuration=AttentionConfig(m_bits=4, m2_bits=24).as_dict())


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("q", None, "q must be among the layer's arrays: it is missing"),
        ("q", np.zeros((2, 1, 3, 16, 15), np.uint8), r"q must have shape \(2, 1, 3, 16, 16\), got"),
        ("q", np.zeros((2, 1, 3, 16, 16)), "q must hold integers, got dtype float64"),
        ("q_scale", np.zeros(1, np.int32), "q_scale must hold float32, got dtype int32"),
        ("q", np.full((2, 1, 3, 16, 16), 16), "q must be from 0 to 15, got 16"),
        ("score_bias", np.full((3, 16, 16), 1 << 17), "score_bias must be from -131072 to 131071"),
    ],
    ids=range(6),
)
def test_export_refuses_an_array(tmp_path, name, array, message):
    export, arrays = swin_export()
    layer = "layers.1.blocks.0.attn"
    numbers = {**arrays[layer], name: array}
    if array is None:
        del numbers[name]
    with pytest.raises((TypeError, ValueError), match=f"^{layer}/{name}.mem: {message}"):
        write_export(tmp_path / "e", export, {**arrays, layer: numbers})
    assert not (tmp_path / "e").exists()


def test_export_memory_keeps_every_bit_of_a_float():
    entry = memory("s.mem", "fc", "scales", {"output": 4}, [Field("s", 32)], None, "float32")
    bits = np.array([0x3F800000, 0x80000000, 0x7FC00001, 1], np.uint32)
    back = entry.arrays(entry.columns({"s": bits.view(np.float32)}))["s"]
    assert back.view(np.uint32).tolist() == bits.tolist()
