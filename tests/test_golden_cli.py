"""The command line `bitlog2 golden`: exit statuses, reports, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import call
from test_golden_helpers import SMALL, contents, emit_hand_row

from bitlog2.golden.stimulus.unit import Target
from bitlog2.golden.stimulus.units import units_within
from bitlog2.sim import AttentionConfig


def command(*words: object) -> int:
    return call("golden", *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return emit_hand_row(tmp_path / "set")


def test_golden_cli_emit_of_a_json_file_verifies(tmp_path: Path) -> None:
    fields = {"scheme": "BitLog2_Single_16", "max_tokens": 4, "max_n": 3, "table_bits": 4}
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    out = tmp_path / "set"
    command("emit", "--out", out, "--config", tmp_path / "fields.json", "--head-dim", 1)
    assert command("verify", out) == 0


def test_golden_cli_emit_from_a_manifest_writes_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    command("emit", "--from", folder / "manifest.json", "--out", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_golden_cli_emit_by_the_command_of_a_manifest_writes_the_same_bytes(
    tmp_path: Path,
) -> None:
    (tmp_path / "fields.json").write_text(json.dumps(SMALL.as_dict()))
    words = ("--config", tmp_path / "fields.json", "--source", "random", "--head-dim", 2)
    command("emit", *words, "--out", tmp_path / "set")
    text = json.loads((tmp_path / "set" / "manifest.json").read_bytes())["command"]
    again = [
        str(tmp_path / "set" / word) if word == "manifest.json" else word for word in text.split()
    ]
    assert again[:2] == ["bitlog2", "golden"]
    command(*again[2:], "--out", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "set")


def test_golden_cli_emit_reports_cases_and_bins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("emit", "--out", tmp_path / "set", "--unit", "log2_quantizer", "--source", "random")
    assert "log2_quantizer: 4096 cases" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "BitLog2_Half_18"], "must be a JSON file or one of BitLog2_Single_16"),
        (["--config", "half_17"], r"did you mean 'BitLog2_Half_17'\?"),
        (["--head-dim", "129"], "head_dim must be from 1 to 128"),
        (["--from", "nowhere/manifest.json"], "manifest must be a file"),
        (["--from", "manifest.json", "--seed", "1"], "--seed must be left out with --from"),
    ],
    ids=range(5),
)
def test_golden_cli_emit_refuses(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        command("emit", "--out", tmp_path / "set", *words)


@pytest.mark.parametrize("text", ["{", "[1]", '{"scheme": 3}', '{"speed": 3}', '{"max_n": 1.0}'])
def test_golden_cli_emit_refuses_a_bad_configuration_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "fields.json").write_text(text)
    with pytest.raises((TypeError, ValueError), match=r"^[^\n]+$"):
        command("emit", "--out", tmp_path / "set", "--config", tmp_path / "fields.json")


def test_golden_cli_run_writes_what_verify_accepts(folder: Path, tmp_path: Path) -> None:
    command("run", folder, "--out", tmp_path / "out")
    actual: list[str] = []
    for name in ("attention_row.expected", "attention_row.keys", "attention_row.rows"):
        actual += ["--actual", f"{name}={tmp_path / 'out' / name}.mem"]
    assert command("verify", folder, *actual) == 0


def test_golden_cli_verify_of_a_wrong_device_is_status_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "o.mem").write_text("54\n")
    assert command("verify", folder, "--actual", f"attention_row={tmp_path / 'o.mem'}") == 1


def test_golden_cli_verify_prints_the_wrong_lane(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "o.mem").write_text("54\n")
    command("verify", folder, "--actual", f"attention_row={tmp_path / 'o.mem'}")
    assert (
        "attention_row.expected case 0 lane 0 o (output_requantizer): expected 0x3 (3), "
        "actual 0x4 (4)"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("text", ["attention_row", "attention_row="])
def test_golden_cli_verify_refuses_an_actual_without_a_file(folder: Path, text: str) -> None:
    with pytest.raises(ValueError, match="--actual must be UNIT=FILE"):
        command("verify", folder, "--actual", text)


def test_golden_cli_verify_names_the_stream_of_a_missing_file(folder: Path, tmp_path: Path) -> None:
    said = "actual must give attention_row.expected in a file that exists, got .*nowhere"
    with pytest.raises(ValueError, match=said):
        command("verify", folder, "--actual", f"attention_row={tmp_path / 'nowhere'}")


def test_golden_cli_plan_of_the_default_set_is_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("plan") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == ("10 units, 3930472 bytes of memory files, 1370 of 1370 bins filled: 100 %")
    assert "  expected (output, a word per case): 2560 words of 17 bits, 15360 bytes: e 17" in lines


def test_golden_cli_plan_names_every_unit_stream_and_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command("plan", "--head-dim", 4)
    text = capsys.readouterr().out
    for unit in units_within(AttentionConfig()).values():
        part = text[text.index(f"{unit.name}: ") :]
        for stream in unit.streams:
            line = part[part.index(f"  {stream.name} ({stream.role}, a word per {stream.per})") :]
            fields = line.splitlines()[0].split("bytes: ")[1]
            names = [field.name for field in Target.of(AttentionConfig(), 4).fields(stream)]
            assert [each.split()[0] for each in fields.split(", ")] == names


def test_golden_cli_plan_says_the_sizes_that_emit_writes(tmp_path: Path) -> None:
    (tmp_path / "fields.json").write_text(json.dumps(SMALL.as_dict()))
    words = ("--config", tmp_path / "fields.json", "--head-dim", 2)
    assert command("plan", *words, "--json", tmp_path / "plan.json") == 0
    command("emit", *words, "--out", tmp_path / "set")
    files = contents(tmp_path / "set")
    for unit in json.loads((tmp_path / "plan.json").read_bytes())["units"]:
        for stream in unit["streams"]:
            data = files[f"{unit['unit']}.{stream['name']}.mem"]
            assert (len(data), data.count(b"\n")) == (stream["bytes"], stream["words"])


def test_golden_cli_plan_gives_bins_with_requirements_to_a_program(tmp_path: Path) -> None:
    command("plan", "--unit", "exp2", "--json", tmp_path / "plan.json")
    found = json.loads((tmp_path / "plan.json").read_bytes())
    bins = {each["name"]: each for each in found["units"][0]["bins"]}
    assert found["complete"]
    assert bins["shift_18_no_tie"]["requirement"] == "BL2-EXP2-03"
    assert all(each["hits"] > 0 for each in bins.values())


def test_golden_cli_plan_of_a_part_is_status_one_and_names_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("plan", "--unit", "row_sum", "--source", "random") == 1
    text = capsys.readouterr().out
    assert "missing: " in text
    assert "5 of 39 bins filled: 34 MISSING" in text


def test_golden_cli_plan_names_bins_with_requirement_and_hits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("plan", "--unit", "exp2", "--bins") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("1 unit, ")
    (line,) = (each for each in lines if "shift_18_no_tie" in each)
    assert line.split()[1] == "BL2-EXP2-03"
    assert int(line.split()[2]) > 0


def test_golden_cli_plan_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command("plan", "--unit", "exp2")
    assert list(tmp_path.iterdir()) == []
