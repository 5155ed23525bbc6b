"""`bitlog2 run`: pixels from files to logits in a file, where torch cannot be imported."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.programs import images, swin, vit

from bitlog2.scripts.cli import main
from bitlog2.sim.network.execution import read_pixels
from bitlog2.sim.network.program_file import write_program
from bitlog2.sim.network.simulator import infer, logits_digest

requirement = pytest.mark.requirement


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A program, the pixels of seven images as .npy, and their logits."""
    monkeypatch.chdir(tmp_path)
    program = vit()
    pixels = images(program, 7)
    write_program(tmp_path / "vit.bitlog2", program)
    np.save("pixels.npy", pixels)
    return tmp_path, pixels, infer(program, pixels).logits


def printed(capsys, *words):
    """Status and output of the command; nothing on standard error where it is 0."""
    status = main(["run", "vit.bitlog2", "--out", "logits.npz", *words])
    found = capsys.readouterr()
    assert (found.err == "") == (status == 0)
    return status, found.out + found.err


@requirement("BL2-PROG-07", "BL2-HEAD-03")
def test_run_writes_logits_and_prints_their_digest(folder, capsys):
    _, _, logits = folder
    status, text = printed(capsys, "--images", "pixels.npy")
    assert status == 0
    assert text.splitlines()[-1] == f"digest {logits_digest(logits)}"
    with np.load("logits.npz") as found:
        assert found["logits"].dtype == np.int32
        assert (found["logits"] == logits).all()
        assert (found["prediction"] == logits.argmax(axis=1)).all()


@requirement("BL2-PROG-07")
def test_run_prints_one_digest_for_any_batch_threads_and_file(folder, capsys):
    _, pixels, logits = folder
    np.savez("one.npz", pixels)
    np.savez("two.npz", other=pixels[:1], images=pixels)
    np.save("last.npy", pixels.transpose(0, 2, 3, 1))
    np.save("wide.npy", pixels.astype(np.uint16))
    pixels.tofile("pixels.raw")
    digest = f"digest {logits_digest(logits)}"
    for words in (
        ("--images", "one.npz", "--batch-size", "1"),
        ("--images", "two.npz", "--batch-size", "3", "--threads", "1"),
        ("--images", "last.npy", "--batch-size", "50", "--threads", "3"),
        ("--images", "wide.npy"),
        ("--images", "pixels.raw"),
    ):
        status, text = printed(capsys, *words)
        assert (status, text.splitlines()[-1]) == (0, digest), words
    _, text = printed(capsys, "--images", "pixels.npy", "--limit", "2")
    assert text.splitlines()[-1] == f"digest {logits_digest(logits[:2])}"


def test_run_raw_pixels_of_more_than_eight_bits_are_little_endian(tmp_path):
    program = vit()
    program = replace(program, network=replace(program.network, pixel_bits=11))
    pixels = images(program, 3)
    assert pixels.max() == 2047
    pixels.astype("<u2").tofile(tmp_path / "pixels.raw")
    assert (read_pixels(tmp_path / "pixels.raw", program) == pixels).all()


FAULTS = {
    "images must be a file of pixels, .npy, .npz, .raw, got photos": "photos",
    "images text.npy: ": "text.npy",
    "images text.npz: ": "text.npz",
    "images empty.npz: must hold the array images, got none": "empty.npz",
    "images objects.npy: Array can't be memory-mapped: Python objects": "objects.npy",
    "images two.npz: must hold the array images, got a, b": "two.npz",
    "images short.raw: size must be a multiple of an image's 128 bytes, got 127": "short.raw",
    "images none.raw: size must be a multiple of an image's 128 bytes, got 0": "none.raw",
    "images float.npy: pixels must be uint8 or uint16, got float32": "float.npy",
    "images large.npy: pixels must be from 0 to 255, got 256": "large.npy",
    "images small.npy: pixels must have shape (images, 2, 8, 8), got (7, 2, 8, 7)": "small.npy",
    "[Errno 2] No such file or directory: 'missing.npy'": "missing.npy",
}


@pytest.mark.parametrize("message", FAULTS)
def test_run_refuses_images_in_one_line(folder, capsys, message):
    root, pixels, _ = folder
    (root / "photos").mkdir()
    for name in ("text.npy", "text.npz"):
        (root / name).write_text("pixels")
    np.savez("empty.npz")
    np.savez("two.npz", a=pixels, b=pixels)
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    (root / "short.raw").write_bytes(bytes(127))
    (root / "none.raw").write_bytes(b"")
    np.save("float.npy", pixels.astype(np.float32))
    np.save("large.npy", pixels.astype(np.uint16) + 1)
    np.save("small.npy", pixels[..., :7])
    status, text = printed(capsys, "--images", FAULTS[message])
    assert status == 2
    assert text.startswith(f"bitlog2: error: {message}"), text
    assert len(text.splitlines()) == 1
    assert not (root / "logits.npz").exists()


def test_run_refuses_programs_and_options_in_one_line(folder, capsys):
    root, _, _ = folder
    (root / "vit.bitlog2").write_bytes(b"nothing at all")
    status, text = printed(capsys, "--images", "pixels.npy")
    assert (status, len(text.splitlines())) == (2, 1)
    assert text.startswith("bitlog2: error: program vit.bitlog2: file must be safetensors")
    (root / "vit.bitlog2").unlink()
    status, text = printed(capsys, "--images", "pixels.npy")
    assert status == 2
    assert "No such file or directory: 'vit.bitlog2'" in text
    status, text = printed(capsys, "--images", "pixels.npy", "--batch-size", "0")
    assert (status, len(text.splitlines())) == (2, 1)
    assert "--batch-size must be an integer from 1 to 65536, got '0'" in text


WITHOUT = """
import json, sys
for name in ("torch", "torchvision", "timm", "safetensors", "scipy", "sklearn", "PIL"):
    sys.modules[name] = None
from bitlog2.scripts.cli import main
status = main(["run", "swin.bitlog2", "--images", "pixels.npy", "--out", "logits.npz"])
print(json.dumps([status, [name for name in sys.modules if name.startswith("bitlog2.models")]]))
"""


def test_run_where_torch_cannot_be_imported(tmp_path):
    program = swin()
    pixels = images(program, 3)
    write_program(tmp_path / "swin.bitlog2", program)
    np.save(tmp_path / "pixels.npy", pixels)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *_, digest, last = done.stdout.splitlines()
    assert json.loads(last) == [0, []]
    assert digest == f"digest {logits_digest(infer(program, pixels).logits)}"
