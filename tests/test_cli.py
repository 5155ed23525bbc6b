"""The command as a user meets it."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import pytest
import torch
from cyclopts import App, Parameter
from support.command import parsed
from torch.distributed.run import get_args_parser as torchrun_parser

from bitlog2 import SPEC_VERSION, __version__, names
from bitlog2.golden import PRESETS
from bitlog2.golden.assurance.cost import CHOICES, TECHNOLOGIES
from bitlog2.models.ptq import datapath
from bitlog2.models.watch import check
from bitlog2.scripts import cli, listing, terminal, test_quant
from bitlog2.scripts.cli import main
from bitlog2.scripts.terminal import guarded, show
from bitlog2.sim import datapath as units_of_attention
from bitlog2.sim.registers import registers_of

ATTENTION = ("--arithmetic", "attention")
QUICK = ("evaluate", "--model", "digits", *ATTENTION, "--limit", "64")
FEW = (*QUICK[:-1], "16", "--calibration-images", "8")
COMMANDS = [(), ("golden",), *((name,) for name in cli.COMMANDS)]
COMMANDS += [("golden", name) for name in cli.GOLDEN]
#: Modules that take long to import, or are no part of a plain installation.
HEAVY = {"numba", "llvmlite", "torch", "timm", "jsonschema", "matplotlib", "cocotb", "z3"}
#: Prints the heavy modules that help and errors of every command imported.
IMPORTS = """
import contextlib, io, sys
from bitlog2.scripts.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    assert main(["--help"]) == main(["--version"]) == 0
    assert not {{"numpy", "cyclopts"}} & sys.modules.keys()
    for command in {commands}:
        assert main([*command, "--help"]) == 0, command
        assert main([*command, "--nonsense"]) == 2, command
print(*sorted({heavy} & sys.modules.keys()))
"""

#: A page as cyclopts prints it; the help of a command that has run is its own in its parent's too.
PAGE = """
import sys
from bitlog2.scripts import cli, terminal
sys.exit(terminal.run(cli.app(), "bitlog2", sys.argv[1:]))
"""


def usage_error(capsys, *argv):
    """Status 2, and the one line on standard error."""
    assert main(argv) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_cli_version_has_package_and_specification(capsys):
    assert main(["--version"]) == 0
    version = f"bitlog2 {__version__}, specification version {SPEC_VERSION}\n"
    assert capsys.readouterr().out == version


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_cli_help_has_an_example_and_lines_of_80(command, capsys):
    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    options, _, examples = printed.partition("\nexample")
    assert "bitlog2 " in examples
    assert "\nexit status: 0 " in examples
    assert max(map(len, options.splitlines())) <= 80


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_cli_pages_without_cyclopts_are_those_that_it_prints(option, capsys):
    assert main([option]) == 0
    printed = subprocess.run(
        [sys.executable, "-c", PAGE, option], capture_output=True, text=True, check=True
    )
    assert printed.stdout == capsys.readouterr().out


def test_cli_help_has_the_defaults(capsys):
    assert main(["evaluate", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "width of weight codes (default: 4)" in printed
    assert "cpu, cuda or cuda:N: where torch runs (default: cpu)" in printed


def test_cli_help_and_errors_import_nothing_heavy():
    script = IMPORTS.format(commands=COMMANDS, heavy=HEAVY)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def names_twice(app):
    """The option names of a command that two of its fields have."""
    found = Counter(n for argument in app.assemble_argument_collection() for n in argument.names)
    return [name for name, count in found.items() if count > 1 and name != "*"]


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_cli_no_two_options_of_a_command_have_one_name(command):
    """Of two dataclasses with a field of one name, one would hide the other silently."""
    app = cli.app()
    for name in command:
        app = app[name]
    assert names_twice(app) == []


def test_cli_a_name_that_two_options_have_is_found():
    @dataclass
    class Other:
        seed: int = 0

    def function(*, seed: int = 0, other: Annotated[Other, Parameter(name="*")]) -> int:
        return 0

    assert names_twice(App(default_command=function)) == ["--seed"]


#: Commands that write no JSON: the pages and tables of `report` are files already.
WITHOUT_JSON = {("report",)}


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_cli_every_command_writes_json(command):
    app = cli.app()
    for name in command:
        app = app[name]
    names = {n for argument in app.assemble_argument_collection() for n in argument.names}
    assert ("--json" in names) == (command not in WITHOUT_JSON)


@pytest.mark.parametrize("kind", listing.LISTS)
def test_cli_list_has_lines_of_80_and_the_same_in_json(kind, tmp_path, capsys):
    assert main(["list", kind, "--json", str(tmp_path / "x.json")]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    rows = json.loads((tmp_path / "x.json").read_text())[kind]
    named = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert [row[head.split()[0]] for row in rows] == named
    assert max(map(len, lines)) <= 80


def test_cli_list_has_every_name():
    first = [{next(iter(row.values())) for row in make()} for make in listing.LISTS.values()]
    wanted = (
        {*names.MODELS, *names.OTHER_NAMES},
        set(names.MODEL_SCHEMES),
        set(units_of_attention.ATTENTION),
    )
    assert first == [*wanted, set(names.PRESETS)]


@pytest.mark.parametrize("words", [["exp2,row_max"], ["exp2", "--unit", "row_max"]], ids=len)
def test_cli_units_are_a_list_or_repeated(words):
    _, bound = parsed("golden", "emit", "--out", "x", "--unit", *words)
    assert bound.arguments["cases"].unit == ("exp2", "row_max")


@pytest.mark.parametrize("words", [["digits"], ["--model", "digits"]], ids=len)
@pytest.mark.parametrize("command", ["evaluate", "export", "lower"])
def test_cli_a_model_is_an_argument_or_an_option(command, words):
    _, bound = parsed(command, *words, *(("--out", "x") if command != "evaluate" else ()))
    assert bound.arguments["model"] == "digits"


@pytest.mark.parametrize("name", ["F", "fraction_bits"])
def test_cli_sweep_takes_names_of_fields(name):
    _, bound = parsed("sweep", "--run", "x", "--vary", f"{name}=4,5")
    assert bound.arguments["vary"] == (("F", (4, 5)),)


def test_cli_names_that_commands_offer_are_those_of_the_library():
    assert (tuple(CHOICES), tuple(TECHNOLOGIES)) == (names.COSTED, names.TECHNOLOGIES)
    assert tuple(PRESETS) == names.PRESETS


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ((), "bitlog2: error: COMMAND must be one of evaluate, status, "),
        (("golden",), "bitlog2 golden: error: COMMAND must be one of emit, plan, "),
        (("evalute",), 'bitlog2: error: Unknown command "evalute". Did you mean "evaluate"?'),
        (
            ("evaluate", "--w-bits", "9"),
            "bitlog2 evaluate: error: --w-bits must be an integer from 2 to 8, got '9'\n",
        ),
        (
            ("evaluate", "--modell", "digits"),
            "bitlog2 evaluate: error: Unknown option: --modell. Did you mean --model?",
        ),
        (("evaluate", "--water"), "bitlog2 evaluate: error: Unknown option: --water. Did you mean"),
        (
            ("evaluate", "--w-bits"),
            "bitlog2 evaluate: error: --w-bits must be given with a value\n",
        ),
        (("golden", "emit"), "bitlog2 golden emit: error: --out must be given with a value\n"),
        (
            ("evaluate", "--seed", "1", "--seed", "2"),
            "bitlog2 evaluate: error: --seed must be given once\n",
        ),
        (
            ("selftest", "more"),
            "bitlog2 selftest: error: argument must be one that the help lists, got 'more'\n",
        ),
        (
            ("evaluate", "--seed", "1", "--seeds", "2"),
            "bitlog2: error: --seed must be left out with",
        ),
        (
            ("evaluate", "--scheme", "none", "--schemes", "all"),
            "bitlog2: error: --scheme must be left out with --schemes\n",
        ),
        (
            ("golden", "cosim", "--regression", "--lanes", "2"),
            "bitlog2: error: --lanes must be left out with --regression, which takes its sets as",
        ),
    ],
    ids=" ".join,
)
def test_cli_wrong_usage_is_one_line_with_command_argument_and_suggestion(argv, line, capsys):
    assert usage_error(capsys, *argv).startswith(line)


@pytest.mark.parametrize(
    ("argv", "legal"),
    [
        (("--scheme", "BitLog2_Half17"), "did you mean 'BitLog2_Half_17'?"),
        (("--scheme", "half_17"), "did you mean 'BitLog2_Half_17'?"),
        (("--model", "deit-small"), "did you mean 'deit_small'?"),
        (("--schemes", "none,Half"), "BitLog2_Half_17"),
        (("--model", "resnet"), "digits"),
        (("--arithmetic", "fixed"), "integer"),
        (("--check", "some"), "sample"),
        (("--w-bits", "9"), "from 2 to 8"),
        (("--a-bits", "x"), "from 2 to 8"),
        (("--limit", "0"), "from 1 to"),
        (("--seed", "-1"), "from 0 to"),
        (("--arithmetic", "float", "--check", "all"), "check must be none for float arithmetic"),
        (("--scheme", "none", *ATTENTION, "--check", "all"), "check must be none"),
        (("--scheme", "uniform_4", *ATTENTION, "--watermarks"), "watermarks must be False"),
        (("--seeds", "0,0"), "must name each once"),
        (("--schemes", "none,none"), "must name each once"),
        (("--scheme", "Sqrt2_16"), "arithmetic must be float for Sqrt2_16"),
        (("--scheme", "uniform_4"), "arithmetic must be float or attention for uniform_4"),
        (("--expect", "0f"), "must be 64 hexadecimal digits"),
        (("--expect", "0" * 64, *ATTENTION), "expect must go with one cell in integer"),
        (("--model", "deit_tiny"), "data must be given for deit_tiny"),
        (("--load", "nowhere"), "must be a file that exists"),
        (("--schemes", "all", "--save", "x"), "save must go with one scheme"),
    ],
)
def test_cli_wrong_value_names_the_legal_ones(argv, legal, capsys):
    assert legal in usage_error(capsys, "evaluate", *argv)


@pytest.mark.parametrize("seed", ["-1", str(2**63), "x"])
def test_cli_golden_wrong_seed_names_the_legal_ones(seed, tmp_path, capsys):
    said = usage_error(capsys, "golden", "emit", "--out", str(tmp_path / "v"), "--seed", seed)
    assert "must be an integer from 0 to 9223372036854775807" in said


def test_cli_usage_error_is_no_traceback(capsys):
    assert "Traceback" not in usage_error(capsys, "evaluate", "--check", "all", "--scheme", "none")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated") / "result.json"
    run = subprocess.run(
        [sys.executable, "-m", "bitlog2", *FEW, "--schemes", "all", "--json", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return run, json.loads(path.read_text())


def test_cli_evaluate_agrees(evaluated):
    run, _ = evaluated
    assert run.returncode == 0, run.stdout + run.stderr
    assert " values compared, 0 mismatches" in run.stdout


def test_cli_evaluate_is_silent_on_standard_error_without_a_terminal(evaluated):
    assert evaluated[0].stderr == ""


def test_cli_evaluate_json_has_a_row_for_every_scheme(evaluated):
    names = [row["name"] for row in evaluated[1]["cells"]]
    assert names == [
        "digits-unquantized",
        "digits-BitLog2_Single_16-attention-w4a4-seed0",
        "digits-BitLog2_Single_17-attention-w4a4-seed0",
        "digits-BitLog2_Half_16-attention-w4a4-seed0",
        "digits-BitLog2_Half_17-attention-w4a4-seed0",
        "digits-RowMax_16-attention-w4a4-seed0",
        "digits-none-attention-w4a4-seed0",
        "digits-uniform_4-attention-w4a4-seed0",
    ]


def test_cli_evaluate_json_has_request_and_versions(evaluated):
    _, result = evaluated
    assert (result["request"]["seeds"], result["request"]["limit"]) == ([0], 16)
    assert {"bitlog2", "specification", "torch", "timm", "numpy"} <= set(result["versions"])


def test_cli_evaluate_json_has_accuracy_with_intervals(evaluated):
    row = evaluated[1]["cells"][4]
    assert row["top1"]["total"] == 16
    assert row["top1"]["wilson95"][0] < row["top1"]["percent"] <= row["top1"]["wilson95"][1]
    assert set(evaluated[1]["timings"]) == {cell["name"] for cell in evaluated[1]["cells"]}
    assert min(evaluated[1]["timings"].values()) > 0


def test_cli_evaluate_json_has_the_values_compared_by_register(evaluated):
    """16 images, 4 layers, 3 heads, 65 rows, 65 keys or 32 channels or 1."""
    compared = evaluated[1]["cells"][4]["check"]["compared"]
    rows = 16 * 4 * 3 * 65
    sizes = {"row_max": rows, "row_sum": rows, "acc": 32 * rows, "o": 32 * rows}
    assert compared == {name: sizes.get(name, 65 * rows) for name in registers_of("quotient")}


def test_cli_evaluate_json_has_the_parameters_of_every_layer(evaluated):
    layers = evaluated[1]["cells"][4]["layer_params"]
    assert list(layers) == [f"blocks.{i}.attn" for i in range(4)]
    assert set(layers["blocks.0.attn"]) == {"m", "n", "m2", "n2", "zq", "zk", "zv", "zo"}


@pytest.fixture
def broken_exp2(monkeypatch):
    """The torch path with a shift that is one off from a distance on."""
    right = datapath._exp2_of_every_distance

    def wrong(config):
        e = right(config)
        return e.index_select(0, (torch.arange(len(e)) + 1).clamp(100, len(e) - 1))

    monkeypatch.setattr(datapath, "_exp2_of_every_distance", wrong)


def test_cli_evaluate_mismatch_ends_with_status_1(broken_exp2, tmp_path, capsys):
    assert main([*QUICK, "--mismatch-dir", str(tmp_path / "m")]) == 1
    assert "check FAILED" in capsys.readouterr().out


def test_cli_evaluate_mismatch_says_where(broken_exp2, tmp_path, capsys):
    main([*QUICK, "--mismatch-dir", str(tmp_path / "m")])
    assert "MISMATCH BitLog2_Half_17: register e: layer blocks." in capsys.readouterr().out


def test_cli_evaluate_mismatch_leaves_a_row_to_replay(broken_exp2, tmp_path, capsys):
    main([*QUICK, "--mismatch-dir", str(tmp_path / "m")])
    assert (
        main(
            [
                "golden",
                "verify",
                str(tmp_path / "m" / "digits-BitLog2_Half_17-attention-w4a4-seed0"),
            ]
        )
        == 0
    )
    assert "attention_row.keys: 65 of 65 words compared, 0 differ" in capsys.readouterr().out


def test_cli_evaluate_broken_simulator_ends_with_status_1(monkeypatch, tmp_path, capsys):
    right = check.attention

    def wrong(*args, **kwargs):
        trace = right(*args, **kwargs)
        trace.acc[0, 0, 0] ^= 1
        return trace

    monkeypatch.setattr(check, "attention", wrong)
    assert main([*QUICK, "--mismatch-dir", str(tmp_path / "m")]) == 1
    assert "register acc" in capsys.readouterr().out


def test_cli_evaluate_json_to_a_missing_folder_is_refused(tmp_path, capsys):
    path = tmp_path / "missing" / "x.json"
    assert "must be a file in a folder that exists" in usage_error(
        capsys, *QUICK, "--json", str(path)
    )


def test_cli_evaluate_same_seed_gives_the_same_result(evaluated, tmp_path):
    path = tmp_path / "again.json"
    main([*FEW, "--scheme", "BitLog2_Half_17", "--json", str(path)])
    again = json.loads(path.read_text())["cells"][1]
    first = evaluated[1]["cells"][4]
    assert {k: again[k] for k in ("top1", "layer_params")} == {
        k: first[k] for k in ("top1", "layer_params")
    }


def test_cli_evaluate_saves_the_quantized_model(tmp_path):
    path = tmp_path / "m.safetensors"
    assert main([*QUICK, "--check", "none", "--save", str(path)]) == 0
    assert path.stat().st_size > 100_000


def test_cli_evaluate_prints_watermarks_by_layer(capsys):
    assert main([*QUICK, "--check", "none", "--watermarks"]) == 0
    said = capsys.readouterr().out
    assert "watermarks of attention, BitLog2_Half_17: bits used, by layer" in said
    assert [f"blocks.{i}.attn" in said for i in range(4)] == [True] * 4
    provided = next(line for line in said.splitlines() if line.startswith("  provided"))
    assert provided.split()[1:] == [
        "16",
        "32",
        "18",
        "18",
        "10",
        "17",
        "27",
        "5",
        "4",
        "1",
        "14",
        "37",
        "4",
    ]


def test_cli_evaluate_watermarks_are_in_the_json(tmp_path):
    path = tmp_path / "w.json"
    main([*QUICK, "--check", "none", "--watermarks", "--json", str(path)])
    marks = json.loads(path.read_text())["cells"][1]["watermarks"]["blocks.0.attn"]
    assert set(marks["t"]) == {
        *("smallest", "largest", "values", "saturated", "bits_used", "bits_provided"),
    }
    assert marks["score"]["values"] == 64 * 3 * 65 * 65


def test_cli_selftest_agrees(capsys):
    assert main(["selftest"]) == 0
    assert "values compared" in capsys.readouterr().out


def test_cli_works_from_another_folder(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "bitlog2", "golden", "emit", "--out", "v", "--source", "random"],
        capture_output=True,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    assert (run.returncode, (tmp_path / "v" / "manifest.json").is_file()) == (0, True)


@pytest.mark.parametrize("is_one", [True, False])
def test_cli_failures_are_red_on_a_terminal_alone(is_one, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_one)
    show(["2 of 9 differ", "DIFFERS"])
    red = "\033[1;31mDIFFERS\033[0m" if is_one else "DIFFERS"
    assert capsys.readouterr().out == f"2 of 9 differ\n{red}\n"


def test_cli_progress_is_a_line_now_and_then_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "LOG_SECONDS", 0.01)
    told = []

    def slow_last():
        yield from "ab"
        while not (lines := capsys.readouterr().err.splitlines()):
            time.sleep(0.01)
        told.extend(lines)
        yield "c"

    assert list(terminal.progress(slow_last(), "rows", 3)) == ["a", "b", "c"]
    assert told[0] == "rows: 2 of 3, 0 s left, 0 s"


def test_cli_progress_on_a_terminal_moves_while_an_item_takes_its_time(monkeypatch):
    calls = []
    with terminal._every(0.01, lambda: calls.append(1)):
        while len(calls) < 3:
            time.sleep(0.01)
    stopped = len(calls)
    time.sleep(0.05)
    assert len(calls) == stopped


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_cli_out_of_memory_is_one_line_with_the_options_that_help(error, capsys):
    def command():
        raise error

    assert guarded(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("bitlog2: error: memory must hold a batch: a smaller --batch-size")
    assert told.count("\n") == 1
    assert "--calibration-images" in told


def test_cli_other_runtime_errors_are_not_hidden():
    def command():
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        guarded(command)


@pytest.mark.parametrize(
    "argv", [("evaluate", "--limit", "1", "--json", "x.json"), ("selftest",), ("compare", "a", "b")]
)
def test_cli_several_processes_of_torchrun_without_a_run_are_refused(argv, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert f"bitlog2 {argv[0]} must be run by one process, got WORLD_SIZE 2" in usage_error(
        capsys, *argv
    )


def test_cli_published_command_line_of_several_processes_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert test_quant.main(()) == 2
    assert "test_quant.py must be run by one process" in capsys.readouterr().err


def test_cli_device_may_have_a_number(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    told = usage_error(capsys, *QUICK, "--device", "cuda:2")
    assert "(2 found), got 'cuda:2'" in told


def test_cli_torchrun_takes_a_run_after_two_hyphens():
    """Without them torchrun takes `--run` for the beginning of its own `--run-path`."""
    words = ["--nproc-per-node", "2", "-m", "bitlog2", "--", "evaluate", "--run", "grid"]
    parsed = torchrun_parser().parse_args(words)
    assert (parsed.training_script, parsed.training_script_args) == ("bitlog2", words[5:])
