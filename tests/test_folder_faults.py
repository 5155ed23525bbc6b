"""Faults of a verified folder, whatever its kind: each is found and named in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_capture import SWIN_LAYERS
from test_export import swin_export
from test_golden_helpers import IRREGULAR, emit_small, make_irregular, renew_sums

from bitlog2.golden import run_device, verify, write_export
from bitlog2.golden.package.folder import SUMS_NAME, open_folder

LAYER = SWIN_LAYERS[1]
#: Files of each kind of folder: of every sort that it lists, memories first.
FILES = {
    "vector set": ("attention_row.keys.mem", "vectors.npz", "bitlog2_pkg.sv"),
    "export": (
        *(f"{LAYER}/{name}.mem" for name in ("q", "v", "o", "level", "params", "mask")),
        *(f"{LAYER}.qkv/{name}.mem" for name in ("weight", "weight_scale", "bias", "input_zero")),
        f"{LAYER}/arrays.npz",
    ),
}
EACH_FILE = [(kind, path) for kind, paths in FILES.items() for path in paths]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    write_export(root / "export", *swin_export())
    return {"vector set": emit_small(root / "set"), "export": root / "export"}


@pytest.fixture
def spoiled(originals: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return what gives a copy of a kind's folder."""
    return lambda kind: Path(shutil.copytree(originals[kind], tmp_path / "f"))


def change_byte(path: Path) -> None:
    """Put another digit in the place of a byte in the middle, of a line's end the one before."""
    data = bytearray(path.read_bytes())
    place = len(data) // 2 - (data[len(data) // 2] == ord("\n"))
    data[place] = ord("1" if data[place] == ord("0") else "0")
    path.write_bytes(data)


@pytest.mark.parametrize("sums", ["kept", "renewed"])
@pytest.mark.parametrize(("kind", "path"), EACH_FILE)
def test_folder_faults_a_changed_file_is_found(
    kind: str, path: str, sums: str, spoiled: Callable[[str], Path]
) -> None:
    folder = spoiled(kind)
    change_byte(folder / path)
    if sums == "renewed":
        renew_sums(folder)
    found = verify(folder)
    line = f"{path} has not the checksum that manifest.json gives"
    assert (found.status, line in found.failures) == (1, True)


@pytest.mark.parametrize("sums", ["kept", "renewed"])
@pytest.mark.parametrize(("kind", "path"), EACH_FILE)
def test_folder_faults_a_missing_file_is_found(
    kind: str, path: str, sums: str, spoiled: Callable[[str], Path]
) -> None:
    folder = spoiled(kind)
    (folder / path).unlink()
    if sums == "renewed":
        renew_sums(folder)
    found = verify(folder)
    assert (found.status, f"{path} is missing" in found.failures) == (1, True)


def _wrong_sum(folder: Path, path: str) -> None:
    text = (folder / SUMS_NAME).read_text()
    where = text.index(f"  {path}\n") - 64
    (folder / SUMS_NAME).write_text(text[:where] + "0" * 64 + text[where + 64 :])


def _other_order(folder: Path, path: str) -> None:
    first, *rest = (folder / SUMS_NAME).read_text().splitlines(keepends=True)
    (folder / SUMS_NAME).write_text("".join([*rest, first]))


def _other_manifest(folder: Path, path: str) -> None:
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"package_version": "', '"package_version": "1'))


FAULTS = {
    "notes.txt is no file of this {kind}": lambda f, path: (f / "notes.txt").write_text("mine"),
    "{path}~ is no file of this {kind}": lambda f, path: (f / f"{path}~").write_text("mine"),
    "empty is no file of this {kind}": lambda f, path: (f / "empty").mkdir(),
    "up is no file of this {kind}": lambda f, path: (f / "up").symlink_to(".."),
    "here is no file of this {kind}": lambda f, path: (f / "here").symlink_to("."),
    "SHA256SUMS is missing": lambda f, path: (f / SUMS_NAME).unlink(),
    "SHA256SUMS has not the checksum of {path}": _wrong_sum,
    "SHA256SUMS must list every other file once, sorted by name": _other_order,
    "SHA256SUMS has not the checksum of manifest.json": _other_manifest,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("line", FAULTS)
def test_folder_faults_the_folder_is_held_to_its_manifest(
    kind: str, line: str, spoiled: Callable[[str], Path]
) -> None:
    folder, path = spoiled(kind), FILES[kind][0]
    FAULTS[line](folder, path)
    assert open_folder(folder).faults() == [line.format(kind=kind, path=path)]
    assert verify(folder).status == 1


@pytest.mark.parametrize("irregular", [each for each in IRREGULAR if each != "folder"])
@pytest.mark.parametrize("name", ["manifest.json", SUMS_NAME, "listed", "x"])
@pytest.mark.parametrize("kind", FILES)
def test_folder_faults_what_is_no_file_is_refused(
    kind: str, name: str, irregular: str, spoiled: Callable[[str], Path]
) -> None:
    folder = spoiled(kind)
    make_irregular(folder / (FILES[kind][0] if name == "listed" else name), irregular)
    with pytest.raises((ValueError, OSError), match=IRREGULAR[irregular]):
        verify(folder)


@pytest.mark.parametrize("kind", FILES)
def test_folder_faults_a_device_writes_into_no_verified_folder(
    kind: str, originals: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match="output must not be a vector set or an export"):
        run_device(originals[kind], originals[kind])
