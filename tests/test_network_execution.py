"""`bitlog2 run`: pixels from files to logits in a file, where torch cannot be imported."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.programs import images, photo, swin, vit

from bitlog2.flow.execution import read_pixels
from bitlog2.models.images.centre import centre
from bitlog2.scripts.cli import main
from bitlog2.sim.network.digest import logits_digest
from bitlog2.sim.network.program_file import write_program
from bitlog2.sim.network.simulator import infer

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


@requirement("BL2-PROG-07")
def test_run_expects_a_digest(folder, capsys):
    _, _, logits = folder
    digest = logits_digest(logits)
    assert printed(capsys, "--images", "pixels.npy", "--expect", digest)[0] == 0
    other = digest[::-1]
    words = ["--out", "logits.npz", "--images", "pixels.npy", "--expect", other]
    assert main(["run", "vit.bitlog2", *words]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"expected {other}: the logits are others"
    status, text = printed(capsys, "--images", "pixels.npy", "--expect", digest[:63])
    assert (status, len(text.splitlines())) == (2, 1)
    assert "--expect must be 64 hexadecimal digits, got" in text


def test_run_raw_pixels_of_more_than_eight_bits_are_little_endian(tmp_path):
    program = vit()
    program = replace(program, network=replace(program.network, pixel_bits=11))
    pixels = images(program, 3)
    assert pixels.max() == 2047
    pixels.astype("<u2").tofile(tmp_path / "pixels.raw")
    assert (read_pixels(tmp_path / "pixels.raw", program) == pixels).all()


FAULTS = {
    "images must be a file of pixels, .npy, .npz, .raw, got the folder photos: ": "photos",
    "images must be a folder or a file of pixels, .npy, .npz, .raw, got pixels.txt": "pixels.txt",
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
    "missing.npy: No such file or directory": "missing.npy",
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
    assert "vit.bitlog2: No such file or directory" in text
    status, text = printed(capsys, "--images", "pixels.npy", "--batch-size", "0")
    assert (status, len(text.splitlines())) == (2, 1)
    assert "--batch-size must be an integer from 1 to 65536, got '0'" in text


def without(*packages):
    """The command where packages cannot be imported: its status, and what it printed."""

    def run(folder, *words):
        script = WITHOUT.format(packages=packages, words=["run", *words, "--out", "logits.npz"])
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
        )
        *lines, status = done.stdout.splitlines()
        return int(status), [*lines, *done.stderr.splitlines()]

    return run


WITHOUT = """
import sys
for name in {packages}:
    sys.modules[name] = None
from bitlog2.scripts.cli import main
print(main({words}))
"""
TORCH = ("torch", "torchvision", "timm", "safetensors", "scipy", "sklearn", "huggingface_hub")


def test_run_where_torch_cannot_be_imported(tmp_path):
    program = swin()
    pixels = images(program, 3)
    write_program(tmp_path / "swin.bitlog2", program)
    np.save(tmp_path / "pixels.npy", pixels)
    run = without(*TORCH, "PIL")
    status, lines = run(tmp_path, "swin.bitlog2", "--images", "pixels.npy")
    digest = logits_digest(infer(program, pixels).logits)
    assert (status, lines[-1]) == (0, f"digest {digest}")


def photos(folder, count=5):
    """Image files of several sizes and their pixels as they are evaluated, in their order."""
    folder.mkdir(parents=True)
    rng, found = np.random.default_rng(9), []
    for place in range(count):
        size = (11 + 3 * place, 17 - place, 3)
        path = folder / f"{place}.png"
        Image.fromarray(rng.integers(0, 256, size).astype(np.uint8)).save(path)
        with Image.open(path) as image:
            found.append(centre(image.convert("RGB"), 9, 8, 8))
    return found


def test_run_of_image_files_where_torch_cannot_be_imported(tmp_path):
    """A folder of images alone, and one of classes: in the order of classes, then of names."""
    program = photo()
    write_program(tmp_path / "photo.bitlog2", program)
    flat = photos(tmp_path / "flat")
    val = tmp_path / "data" / "val"
    classes = photos(val / "n01440764", 2) + photos(val / "n01443537", 3)
    run = without(*TORCH)
    for folder, pixels in (("flat", flat), ("data", classes), ("data/val", classes)):
        status, lines = run(tmp_path, "photo.bitlog2", "--images", folder)
        digest = logits_digest(infer(program, np.stack(pixels)).logits)
        assert (status, lines[-1]) == (0, f"digest {digest}"), folder
    status, lines = run(tmp_path, "photo.bitlog2", "--images", "flat", "--limit", "2")
    digest = logits_digest(infer(program, np.stack(flat[:2])).logits)
    assert (status, lines[-1]) == (0, f"digest {digest}")


def test_run_refuses_image_files_in_one_line(tmp_path):
    write_program(tmp_path / "photo.bitlog2", photo())
    photos(tmp_path / "flat")
    (tmp_path / "empty").mkdir()
    run = without(*TORCH)
    (tmp_path / "flat" / "3.png").write_bytes(b"no image")
    status, lines = run(tmp_path, "photo.bitlog2", "--images", "flat")
    assert (status, len(lines)) == (2, 1)
    assert "bitlog2: error: image flat/3.png must be one that can be read: " in lines[0]
    status, lines = run(tmp_path, "photo.bitlog2", "--images", "empty")
    assert (status, len(lines)) == (2, 1)
    assert lines[0].endswith("images must be a folder that holds image files, got none in empty")
    status, lines = without(*TORCH, "PIL")(tmp_path, "photo.bitlog2", "--images", "flat")
    message = "bitlog2: error: run needs the extra [models]: pip install 'bitlog2[models]'"
    assert (status, lines) == (2, [message])


DEIT_BASE = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from pathlib import Path
from support.programs import deit_base, images
from bitlog2.sim.network.program_file import write_program
program = deit_base()
write_program(Path("base.bitlog2"), program)
np.save("pixels.npy", images(program, 2))
"""
PEAK = """
import resource
from bitlog2.scripts.cli import main
assert main(["run", "base.bitlog2", "--images", "pixels.npy", "--out", "logits.npz"]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.long
def test_run_of_a_program_of_86_million_weights_takes_less_than_2_gib(tmp_path):
    """The shape of DeiT-B, random integers."""
    for script in (DEIT_BASE.format(tests=__file__.rpartition("/")[0]), PEAK):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 2048
