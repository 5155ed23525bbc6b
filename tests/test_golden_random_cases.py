"""`random_cases`: how many random cases each unit has, where a number is asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from test_golden_cli import command
from test_golden_helpers import SMALL, contents, renew_sums

from bitlog2.golden import emit, emit_from, verify
from bitlog2.golden.stimulus.sampler import Sampler

MANIFEST = "manifest.json"
#: The memory files of `bitlog2 golden emit`: other bytes of a case need a new version of SPEC.md.
DEFAULT_SET = {
    "attention_row": {
        "expected": "fd910826a0a7c7e160be3162a51593e857f34d1fcadac4e8c081d0bacc918897",
        "keys": "fa0967163816501cf8a8271abc00c1b75a9d44a8a91cf5d563649516f850adb3",
        "params": "2e425979ff380acc79843aae28f5829e1bd4edc80ab3be22583ac6f234d52fee",
        "rows": "02cbcd6821f172da3045b328a44021d10cc556ecee93d340429dab5013e5b8dc",
        "stimulus": "42d25ab80eff42c812ca47e793e5c9983cb72e4cea80e86175f4a49f8ab9845d",
    },
    "code_register": {
        "expected": "15455556419e1caa00a2865ef828339317ee74d75ebd48eb5ab7b4ecc85cf4bf",
        "memory": "8931c8a41f9dcb03e33e89a59716187466f14fa48f86b00b914e9e28c0914bfa",
        "stimulus": "160245299b1f45125370f501b2901cf38ace66d4bb917d444b02081546120d74",
    },
    "exp2": {
        "expected": "31cc07d75a785fe82c97ca7fc2019b9b698a027cdcf1f1ff809e631a5fbb69e4",
        "stimulus": "045f0774117cdc9e24f2403cafb109456cabce1e9f0e4fab63e58e325a58266c",
    },
    "log2_quantizer": {
        "expected": "2bc9ba0765ea17ed9c6ff473060e4b384aa41121780a9e8d73b43a005deb6098",
        "stimulus": "62ae912d147b86568bd6c54a26695d1c34bbf52ef8df3e276b2b1fbac0ce28ba",
    },
    "output_requantizer": {
        "expected": "4b5b2b4e1f969cf7e3bfd6c15f8bd1fab23a77213892641cf96c1df8c84fc948",
        "stimulus": "4adeddad5b16969d1e4c4c8e4dc734da41a3896fc638479edb07c1133d96e457",
    },
    "row_max": {
        "expected": "ec8afb7d0fb68a24f7f8d80643647319d7ee0de645d390d6f9f019e54bb3ed0e",
        "keys": "3331fc4ee9200502f08a4e72aa5d175523bdf7b45611a617369e7c1560354a6f",
        "stimulus": "1046f679bb213fcadde18ba4ac9e1e8b96e1393a1da00970bcda237e307cba58",
    },
    "row_sum": {
        "expected": "d3978a63330d52a5720ca932f169cd7397e14e0a2902739c0a2372ed3d126ba7",
        "stimulus": "b959756264805bcd68ee6a38d7665b4a1e25dd769eb4896840661feb35b1ef24",
    },
    "score_accumulator": {
        "expected": "00879c49861b111c16cf79839c02a56861fbc67878049a02582095936828cba3",
        "params": "7593758b207aa878ff336cff27fdbcc07b6c94f87dfb09d1ef8a52185474e06e",
        "stimulus": "f6f10ffe23008746e4523961c1dd148538f87367b8ec2531ec843686828ebaec",
    },
    "score_requantizer": {
        "expected": "f502a988fe3117b18c7b6f94246488f000d5b8d2d52f4aed557f2d98fee02b68",
        "stimulus": "75712918a41c9851aefa4dceedf95507ee06827a6763c7ee3af616ecbcad4bf1",
    },
    "shift_add": {
        "expected": "223e6cd7f76396d12dd3524b0e7b852143362c781d39c4c20c661c1a24c72ea0",
        "params": "389929c858c11489722b0fe622f03f8c9fb41b8926328a4b9414663632240d59",
        "stimulus": "9652714587b5ccbbbe005f6cd0fe0ff2e1183e3d7b518c287468497ffb0016d0",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "set"
    emit(out, SMALL, head_dim=2, sources=["random"], seed=8, random_cases=7)
    return out


def test_golden_random_cases_are_none_in_the_default_set(tmp_path: Path) -> None:
    emit(tmp_path / "set")
    files = contents(tmp_path / "set")
    found: dict[str, dict[str, str]] = {}
    for name in sorted(name for name in files if name.endswith(".mem")):
        unit, stream, _ = name.split(".")
        found.setdefault(unit, {})[stream] = hashlib.sha256(files[name]).hexdigest()
    assert found == DEFAULT_SET
    assert json.loads(files[MANIFEST])["random_cases"] is None


def test_golden_random_cases_are_those_of_each_unit(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for unit in manifest["units"]:
        counts = [group["count"] for group in manifest["groups"] if group["unit"] == unit]
        assert sum(counts) == 7


def test_golden_random_cases_verify(folder: Path) -> None:
    assert verify(folder).ok


def test_golden_random_cases_stand_beside_the_corners(tmp_path: Path) -> None:
    emit(tmp_path / "set", SMALL, head_dim=2, random_cases=3)
    manifest = json.loads((tmp_path / "set" / MANIFEST).read_bytes())
    drawn = sum(g["count"] for g in manifest["groups"] if g["source"] == "random")
    assert drawn == 3 * len(SMALL.units)
    assert verify(tmp_path / "set").ok


def test_golden_random_cases_are_made_again_from_the_manifest(folder: Path, tmp_path: Path) -> None:
    emit_from(folder / MANIFEST, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_golden_random_cases_are_made_again_by_the_command_of_the_manifest(
    folder: Path, tmp_path: Path
) -> None:
    text = json.loads((folder / MANIFEST).read_bytes())["command"]
    words = [str(folder / word) if word == MANIFEST else word for word in text.split()]
    command(*words[2:], "--out", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


@pytest.mark.parametrize("key", ["random_cases", "count", "command"])
@pytest.mark.parametrize("change", ["other", "missing"])
def test_golden_random_cases_of_a_mangled_manifest_are_refused(
    folder: Path, tmp_path: Path, key: str, change: str
) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    holder = manifest["groups"][0] if key == "count" else manifest
    if change == "missing":
        del holder[key]
    else:
        holder[key] = holder[key].replace("7", "8") if key == "command" else 8
    copy = tmp_path / "set"
    copy.mkdir()
    for name, data in contents(folder).items():
        (copy / name).write_bytes(data)
    (copy / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    renew_sums(copy)
    try:
        refused = not verify(copy).ok
    except ValueError as error:
        refused = "\n" not in str(error)
    assert refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"random_cases": 0}, "random_cases must be from 1 to 100000000, got 0"),
        ({"random_cases": 100_000_001}, "random_cases must be from 1"),
        ({"random_cases": 1.0}, "random_cases must be an integer"),
        ({"random_cases": True}, "random_cases must be an integer"),
        ({"random_cases": 5, "sources": ["corners"]}, "None without the source random"),
    ],
    ids=range(5),
)
def test_golden_random_cases_refuse_a_bad_number(
    arguments: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        emit(tmp_path / "set", SMALL, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_golden_random_cases_beside_a_manifest_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--count must be left out with --from"):
        command("emit", "--from", folder / MANIFEST, "--out", tmp_path / "set", "--count", 7)


@pytest.mark.parametrize("text", ["0", "100000001", "many"])
def test_golden_random_cases_out_of_range_are_a_usage_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--count must be an integer from 1 to 100000000"):
        command("emit", "--out", tmp_path / "set", "--count", text)


# The integers that are drawn, held to their values: no version of numpy changes them.


def test_golden_sampler_draws_the_pinned_stream() -> None:
    sampler = Sampler(1, "attention_row.random")
    assert sampler.integers(-5, 5, 8).tolist() == [1, 2, 2, 4, -1, 5, -3, 3]


def test_golden_sampler_reaches_both_ends() -> None:
    drawn = Sampler(2, "ends").integers(-2, 2, 500)
    assert sorted(set(drawn.tolist())) == [-2, -1, 0, 1, 2]


def test_golden_sampler_stays_below_its_power() -> None:
    exponents = np.arange(63).repeat(20)
    drawn = Sampler(3, "powers").below_power(exponents)
    assert ((drawn >= 0) & (drawn < np.left_shift(1, exponents))).all()
