"""What README and the pages of docs/ show works as it stands there."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import parsed

from bitlog2.golden import verify
from bitlog2.names import ARITHMETICS
from bitlog2.scripts.measure_readme import doors, run_door
from bitlog2.sim.network import NetworkConfig
from bitlog2.sim.network.program_file import read_program

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(ROOT / "docs").as_posix().removesuffix(".md"): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOORS = doors(README)
#: Packages that stand beside `bitlog2` in the checkout, and within it where it is installed.
PACKAGES = ("sim", "golden", "models", "scripts")
COMMANDS = sorted(
    {
        command
        for page in (README, *PAGES.values())
        for command in re.findall(r"^(?:\.venv/bin/)?bitlog2 ([^#\n]*)", page, re.MULTILINE)
    }
)


def test_readme_has_commands():
    assert len(COMMANDS) > 4


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_is_accepted_by_the_parser(command):
    assert callable(parsed(*shlex.split(command))[0])


def test_readme_is_short_and_has_four_doors_of_ten_lines():
    assert len(README.splitlines()) <= 180
    assert len(DOORS) == 4
    assert all(line[-1].count("\n") <= 11 for line in DOORS.values())


@pytest.mark.parametrize("door", list(DOORS)[:3])
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_readme_door_works_as_pasted(door, tmp_path):
    if "SIM=icarus" in DOORS[door][-1] and shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog, which README says to install, is not here")
    done = run_door(DOORS[door], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_door_of_the_library_works_as_pasted(capsys):
    exec(compile(DOORS["I maintain a neighbour project"][-1], "README.md", "exec"), {})
    assert "(3, 65, 32)" in capsys.readouterr().out


def test_readme_door_that_fails_is_seen(tmp_path):
    assert run_door([*DOORS["I have RTL"][:-1], "false\ntrue\n"], tmp_path).returncode == 1


def example(page: str, after: str) -> str:
    """The first Python block of a page after some text."""
    block = re.search(r"```python\n(.*?)```", PAGES[page].split(after)[1], re.DOTALL)
    assert block is not None
    return block.group(1)


NETWORK = example("models", "## A network in Python")
ATTENTION = example("attention", "`attention` is the datapath alone")
HUGGINGFACE = example("attention", "## Encoders of Hugging Face")


@pytest.mark.long
def test_page_network_in_python_runs_and_what_it_writes_verifies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(NETWORK, "models.md", "exec"), {"__name__": "readme"})
    assert "\nTrue\n" in capsys.readouterr().out
    assert verify(tmp_path / "layers").ok
    assert verify(tmp_path / "rows").ok
    read_program(tmp_path / "own.bitlog2")


def test_page_attention_example_runs(capsys):
    exec(compile(ATTENTION, "attention.md", "exec"), {})
    assert "LayerParams(m=" in capsys.readouterr().out


@pytest.mark.long
def test_page_encoder_of_huggingface_runs_and_what_it_writes_verifies(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    exec(compile(HUGGINGFACE, "attention.md", "exec"), {})
    assert capsys.readouterr().out.endswith("\nTrue\n")
    assert verify(tmp_path / "layers").ok
    assert verify(tmp_path / "rows").ok


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_page_network_in_python_is_typed(tmp_path):
    """By mypy --strict, and a planted error of a type is found."""
    packages = tmp_path / "bitlog2"
    packages.mkdir()
    for each in (*(ROOT / "bitlog2").iterdir(), *(ROOT / n for n in PACKAGES)):
        (packages / each.name).symlink_to(each)
    planted = NETWORK.replace("evaluate(model, images, labels)", "evaluate(model, 1)")
    assert planted != NETWORK
    texts = {
        "simulator": DOORS["I maintain a neighbour project"][-1],
        "network": NETWORK,
        "attention": ATTENTION,
        "encoder": HUGGINGFACE,
        "planted": planted,
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    options = ("--strict", "--follow-imports", "silent", "--config-file", ROOT / "setup.cfg")
    command = [sys.executable, "-m", "mypy", *options, *(f"{name}.py" for name in texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert {line.split(":")[0] for line in done.stdout.splitlines()[:-1]} == {"planted.py"}
    assert "No overload variant" in done.stdout


def test_page_float_units_are_the_stored_ones():
    tables = json.loads((ROOT / "models" / "zoo" / "float_units.json").read_text())
    columns = [
        next(
            table for table in tables if table["model"].startswith(name) and bits in table["model"]
        )
        for bits in ("W4A4", "W8A8")
        for name in ("digits", "deit_small", "swin_tiny")
    ]
    lines = []
    for rows in zip(*(table["rows"] for table in columns), strict=True):
        (unit,) = {row["units"] for row in rows}
        figures = (
            f"{row['share']:.2f}, {100 * row['largest'] / table['deviation']:.0f}"
            for row, table in zip(rows, columns, strict=True)
        )
        lines.append(f"| `{unit}` | {' | '.join(figures)} |")
    assert "\n".join(lines) + "\n\n" in PAGES["network"]


def test_page_widths_are_the_stored_ones():
    path = ROOT / "models" / "zoo" / "network_widths.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    names = {field: name for name, field in NetworkConfig.swept().items()}
    lines = []
    half = len(rows) // 2
    for four, eight in zip(rows[:half], rows[half:], strict=True):
        assert (four["w_bits"], eight["w_bits"]) == ("4", "8")
        assert {four[name] == eight[name] for name in names} == {True}
        assert four["residual_saturated"] == eight["residual_saturated"] == "0"
        varied = [n for n in names if int(four[n]) != getattr(NetworkConfig(), n)]
        title = "".join(f"`{names[n]}` {four[n]}" for n in varied) or "default"
        shares = (f"{float(x[n]):.2f}" for x in (four, eight) for n in ("top1", "same"))
        limited = (f"{int(x['u_saturated']):,}" for x in (four, eight))
        lines.append(f"| {' | '.join((title, *shares, *limited, four['register_bits']))} |")
    assert "\n".join(lines) + "\n\n" in PAGES["network"]


def test_page_narrow_widths_are_the_stored_ones():
    path = ROOT / "models" / "zoo" / "narrow_widths.csv"
    four, eight = csv.DictReader(path.read_text().splitlines())
    fields = {name: int(four[name]) for name in NetworkConfig.swept().values()}
    for name, field in NetworkConfig.swept().items():
        assert f"--vary {name}={fields[field]} " in PAGES["network"]
    top1 = f"{float(four['top1']):.2f} % at W4A4 and {float(eight['top1']):.2f} % at W8A8"
    text = f"All five at once, of {four['register_bits']} register bits, reach {top1}"
    assert text in " ".join(PAGES["network"].split())


def test_page_accuracies_of_the_arithmetics_are_the_stored_ones():
    path = ROOT / "models" / "zoo" / "arithmetics.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    cells = {(row["scheme"], row["w_bits"], row["arithmetic"]): row for row in rows}
    assert len(cells) == len(rows)
    lines, none = [], {"top1": "-", "agrees_attention": "-"}
    for scheme in dict.fromkeys(row["scheme"] for row in rows if row["arithmetic"] == "float"):
        figures = []
        for bits in "468":
            found = [cells.get((scheme, bits, name), none) for name in ARITHMETICS]
            figures += [*(row["top1"] for row in found), found[-1]["agrees_attention"]]
        lines.append(f"| `{scheme}` | {' | '.join(figures)} |")
    assert "\n".join(lines) + "\n\n" in PAGES["network"]
    integer = [row for row in rows if row["arithmetic"] == "integer"]
    assert min(float(row["agrees_attention"]) for row in integer) > 99


def test_page_trained_accuracies_are_the_stored_ones():
    stored = json.loads((ROOT / "models" / "zoo" / "qat.json").read_text())
    lines = []
    for name, row in stored.items():
        model, bits = name.split("_")
        figures = [
            row[when][what] for what in ("top1", "agreement") for when in ("before", "after")
        ]
        shown = " | ".join(f"{figure:.2f}" for figure in figures)
        lines.append(
            f"| `{model}` {bits.upper()} | {row['images']:,} | {row['epochs']} | {shown} |"
        )
        assert row["values_compared"] > 0
    assert "\n".join(lines) + "\n\n" in PAGES["training"]


def test_page_accuracies_of_the_calibrations_are_the_stored_ones():
    path = ROOT / "models" / "zoo" / "calibrations.csv"
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in csv.DictReader(path.read_text().splitlines()):
        about = (row["model"], row["calibration"], row["images"])
        found.setdefault(about, []).append((float(row["top1"]), float(row["agrees_unquantized"])))
    lines = []
    for (model, calibration, images), figures in found.items():
        top1, agrees = zip(*figures, strict=True)
        mean, least, most = sum(agrees) / len(agrees), min(agrees), max(agrees)
        lines.append(
            f"| `{model}` | `{calibration}` | {images} | {sum(top1) / len(top1):.2f} | "
            f"{mean:.2f} | {least:.2f} to {most:.2f} |"
        )
    assert "\n".join(lines) + "\n\n" in PAGES["calibration"]
