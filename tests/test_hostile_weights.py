"""State dicts and quantized models that are damaged, foreign or malicious: one line, with the list.

Checkpoints go through the real command.
"""

import io
import json
import os
import random
import re
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from digits_models import quantized_digits
from imagenet_folder import make_imagenet
from safetensors.torch import save
from test_hostile_fuzz import BYTES
from zoo_files import weights

from bitlog2.models.ptq.quantize import QuantizationSpec
from bitlog2.models.zoo.checkpoint import QuantizedModel, load_quantized, save_quantized
from bitlog2.scripts.cli import main

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_imagenet(tmp_path_factory.mktemp("data"), 3, 1, 1, seed=0)


@pytest.fixture
def refusal(data, tmp_path, capsys):
    """Return what the command says of a checkpoint, which it must refuse in one line."""

    def run(path: Path) -> str:
        images = ["--data", str(data), "--workers", "0"]
        argv = ["evaluate", "--model", "deit_tiny", "--checkpoint", str(path), *images]
        assert main(argv) == 2
        said = capsys.readouterr().err
        assert re.fullmatch(r"bitlog2: error: checkpoint must [^\n]+\n", said)
        assert str(path) in said
        assert len(said) < 3000
        return said

    return run


def changed(**tensors):
    """deit_tiny's weights with some others in their place, by name; None: gone."""
    state = dict(weights("deit_tiny", 3))
    for name, tensor in tensors.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


def pth(path: Path, content) -> Path:
    torch.save(content, path)
    return path


def poked(value: float) -> torch.Tensor:
    tensor = torch.zeros(1, 1, 192, dtype=torch.float64)
    tensor[0, 0, 5:8] = value
    return tensor


BLOCKS = {f"blocks.{n}.norm1.bias": None for n in range(12)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (BLOCKS, "missing: blocks.0.norm1.bias, "),
        (BLOCKS, "blocks.9.norm1.bias and 2 more, 12 in all"),
        ({f"extra.{n}": torch.zeros(1) for n in range(30)}, "extra.9 and 20 more, 30 in all"),
        ({"cls_token": torch.zeros(1, 192)}, "wrong shape: cls_token (1, 192) for (1, 1, 192)"),
        ({"cls_token": poked(NAN)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(-INF)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": poked(1e300)}, "not finite: cls_token (3 of 192 values)"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.int64)}, "tensors, got"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.bool)}, "cls_token bool"),
        ({"cls_token": torch.zeros(1, 1, 192).to(torch.float8_e5m2)}, "cls_token float8_e5m2"),
        ({"cls_token": torch.zeros(1, 1, 192, dtype=torch.complex64)}, "cls_token complex64"),
        ({"cls_token": torch.zeros(1, 1, 192, device="meta")}, "cls_token meta"),
        ({"cls_token": torch.eye(192).to_sparse()}, "cls_token sparse_coo"),
        ({"pos_embed": torch.zeros(1).expand(10**12)}, "pos_embed (1000000000000,) for"),
        ({"head.bias": torch.zeros(100_001)}, "head.bias (100001,) for (1000,)"),
        ({"x\n\x1b[31m\udcff": torch.zeros(1)}, r"unexpected: x\n\x1b[31m\udcff"),
        ({"x" * 10**5: torch.zeros(1)}, "unexpected: " + "x" * 100 + "...\n"),
    ],
    ids=range(17),
)
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_hostile_state_dicts_are_refused_with_the_list(change, told, refusal, tmp_path):
    assert told in refusal(pth(tmp_path / "w.pth", changed(**change)))


def test_hostile_state_dicts_with_several_faults_name_them_all(refusal, tmp_path):
    change = {"norm.bias": None, "x": torch.zeros(2), "cls_token": poked(NAN)}
    state = changed(**change, pos_embed=torch.zeros(3))
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(state))
    said = refusal(path)
    found = re.findall(r"(missing|unexpected|wrong shape|not finite): ", said)
    assert found == ["missing", "unexpected", "wrong shape", "not finite"]


@pytest.mark.parametrize(
    "content",
    [
        {"teacher": {"a": torch.zeros(1)}},
        {"model": {"state_dict": {"a": torch.zeros(1)}}},
        {"model": {}},
        [torch.zeros(1)],
        {"a": 1.5},
        {"a" * 10**5: None},
        {"module.a": torch.zeros(1), "a": torch.zeros(1)},
    ],
    ids=range(7),
)
def test_hostile_wrappers_that_are_not_documented_are_refused(content, refusal, tmp_path):
    refusal(pth(tmp_path / "w.pth", content))


class Command:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_code_in_a_pickle_is_refused_and_not_run(zipped, refusal, tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "w.pth"
    torch.save({"model": Command(mark)}, path, _use_new_zipfile_serialization=zipped)
    assert "nothing of it was run" in refusal(path)
    assert not mark.exists()


def test_hostile_a_compressed_pickle_is_refused(refusal, tmp_path):
    """A few kilobytes would unfold to gigabytes."""
    plain = io.BytesIO()
    torch.save({"cls_token": torch.zeros(10**6)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(tmp_path / "w.pth", "w") as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part), zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        ({"dtype": "F32", "shape": [1, 1, 192], "data_offsets": [0, 10**9]}, None),
        ({"dtype": "F32", "shape": [10**9], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [192], "data_offsets": [768, 0]}, None),
        ({"dtype": "F33", "shape": [192], "data_offsets": [0, 768]}, None),
        ({"dtype": "F4", "shape": [1536], "data_offsets": [0, 768]}, None),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, 0),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, 20),
        ({"dtype": "F32", "shape": [192], "data_offsets": [0, 768]}, (1 << 64) - 1),
        ([], None),
    ],
    ids=range(11),
)
def test_hostile_safetensors_whose_header_lies_is_refused(entry, size, refusal, tmp_path):
    header = json.dumps({"cls_token": entry}).encode()
    start = struct.pack("<Q", len(header) if size is None else size)
    (tmp_path / "w.safetensors").write_bytes(start + header + bytes(768))
    refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_hostile_mangled_checkpoints_are_refused(suffix, refusal, tmp_path):
    """Of a small file, so that every mangling leaves something wrong."""
    state = {"cls_token": torch.arange(192.0).reshape(1, 1, 192)}
    path, buffer = tmp_path / f"w{suffix}", io.BytesIO()
    torch.save(state, buffer)
    whole = save(state) if suffix == ".safetensors" else buffer.getvalue()
    for seed in range(40):
        rng = random.Random(seed)
        path.write_bytes(rng.choice(BYTES)(whole, rng))
        refusal(path)


# Quantized models


@pytest.fixture
def load_changed(tmp_path):
    """Load digits, quantized, with some tensors replaced; None: gone."""

    def load(**tensors):
        model = quantized_digits("BitLog2_Half_17")
        spec, path = QuantizationSpec(), tmp_path / "q.safetensors"
        kept = {**model.state_dict(), **tensors}
        kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
        save_quantized(path, QuantizedModel(Tensors(kept), "digits", 10, spec, 0))
        return load_quantized(path)

    return load


class Tensors:
    """What `save_quantized` takes for a model."""

    def __init__(self, tensors) -> None:
        self.state_dict = lambda: tensors


A, F = "blocks.0.attn.", "blocks.0.mlp.fc1."
SCALAR = torch.tensor


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        (f"{A}delta", None, f"missing: {A}delta"),
        ("more", torch.zeros(1), "unexpected: more"),
        (f"{A}delta", torch.zeros(2).double(), f"wrong shape: {A}delta (2,) for ()"),
        (f"{A}delta", SCALAR(327.0), f"wrong type: {A}delta float32 for float64"),
        (f"{A}delta", SCALAR(0.0).double(), f"{A}delta not positive"),
        (f"{A}q_quantizer.delta", SCALAR(NAN), f"not finite: {A}q_quantizer.delta (1 of 1"),
        (f"{A}q_quantizer.delta", SCALAR(-0.5), f"{A}q_quantizer.delta not positive"),
        (f"{A}q_quantizer.delta", SCALAR(1e30), "score scale must be below"),
        (f"{A}q_quantizer.delta", torch.zeros(0), "wrong shape"),
        (f"{A}q_quantizer.zero_point", SCALAR(16.0), f"{A}q_quantizer.zero_point not from 0 to 15"),
        (f"{A}q_quantizer.zero_point", SCALAR(7.5), "zero_point not from 0 to 15"),
        (f"{F}weight_codes", torch.zeros(384, 95, dtype=torch.int16), "wrong shape"),
        (f"{F}weight_codes", torch.zeros(384, 96), f"{F}weight_codes float32 for int16"),
        (f"{F}weight_codes", torch.full((384, 96), -(1 << 15), dtype=torch.int16), "-15 to 15"),
        (f"{F}weight_quantizer.delta", torch.ones(384), "(384,) for (384, 1)"),
        (f"{F}reparam_r", torch.ones(95), f"{F}reparam_r (95,) for (96,)"),
    ],
    ids=range(16),
)
def test_hostile_quantized_models_are_refused_with_the_list(name, tensor, told, load_changed):
    with pytest.raises(ValueError, match=r"quantized model /.* must hold the tensors of") as caught:
        load_changed(**{name: tensor})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_quantized_model_itself_loads(load_changed):
    assert load_changed().name == "digits"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", "11"),
        ("classes", "1_0"),
        ("classes", " 10"),
        ("classes", "-1"),
        ("classes", "9" * 5000),
        ("seed", "1e3"),
        ("seed", "99999999999999999999"),
        ("quantization", "[" * 100_000),
        ("quantization", "[]"),
        ("quantization", '{"scheme": {}}'),
        ("quantization", json.dumps({"scheme": "x" * 10**5})),
        ("model", "x" * 10**5),
    ],
    ids=range(12),
)
def test_hostile_quantized_model_with_other_metadata_is_refused(name, value, tmp_path):
    good = {"format": "bitlog2-quantized-3", "model": "digits", "classes": "10", "seed": "0"}
    content = save({"x": torch.zeros(1)}, {**good, "quantization": "{}", name: value})
    (tmp_path / "q.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"^quantized model [^\n]{1,900}$"):
        load_quantized(tmp_path / "q.safetensors")
