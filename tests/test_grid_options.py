"""`bitlog2 evaluate`: the request that the command line makes, and what it refuses."""

import pytest
import torch

from bitlog2.flow import evaluation
from bitlog2.names import CODED, CONTROLS, NORMALIZED, USUAL_SCHEMES, ZOO
from bitlog2.scripts.cli import main

#: The schemes that have a form in integer attention: those of the datapath, and the controls.
ATTENTION = (*CODED, *CONTROLS)


@pytest.fixture
def request_of(monkeypatch):
    """What makes a request of a command line, and evaluates nothing."""
    made = []
    monkeypatch.setattr(evaluation, "evaluated", lambda _, request, *__: made.append(request) or 0)

    def request(*words):
        assert main(["evaluate", *words]) == 0
        return made[-1]

    return request


def test_grid_options_lists_become_cells(request_of):
    words = ["--models", "digits", "--schemes", "BitLog2_Half_17,none", "--seeds", "3,5"]
    words += ["--bits", "4/4,6/5", "--arithmetic", "attention,float", "--check", "sample:2"]
    request = request_of(*words, "--digest", "all", "--threads", "2", "--limit", "9")
    assert len(request.cells()) == 1 + 2 * 2 * 2 * 2
    assert request.cells()[1].name == "digits-BitLog2_Half_17-attention-w4a4-seed3"
    assert request.cells()[-1].name == "digits-none-float-w6a5-seed5"
    assert (request.check, request.digest, request.threads) == ("sample:2", "all", 2)
    assert request.limit == 9


def test_grid_options_all_models_are_the_pretrained_ones(request_of):
    request = request_of(
        "--models",
        "all",
        "--schemes",
        "all",
        "--arithmetic",
        "float,attention,integer",
        "--data",
        "/x",
    )
    assert request.models == tuple(ZOO)
    cells = request.cells_of("vit_small")
    assert len(cells) == 1 + len(USUAL_SCHEMES) + len(ATTENTION) + len(CODED)
    assert request.workers > 0


@pytest.mark.parametrize(
    ("arithmetic", "schemes"),
    [("float", USUAL_SCHEMES), ("attention", ATTENTION), ("integer", CODED)],
)
def test_grid_options_all_schemes_are_those_of_the_arithmetic(request_of, arithmetic, schemes):
    words = ["--check", "none"] if arithmetic == "float" else []
    request = request_of("--schemes", "all", "--arithmetic", arithmetic, *words)
    assert [cell.spec.scheme for cell in request.cells()[1:]] == list(schemes)


def test_grid_options_normalized_schemes_are_row_max_and_its_controls(request_of):
    request = request_of("--schemes", "normalized", "--arithmetic", "attention", "--limit", "1")
    assert [cell.spec.scheme for cell in request.cells()[1:]] == ["RowMax_16", *NORMALIZED]


def test_grid_options_weights_of_several_models(request_of):
    words = ["--models", "vit_small,deit_tiny", "--data", "/x"]
    request = request_of(*words, "--checkpoints", "deit_tiny=/w/d.pth")
    assert request.checkpoints == (("deit_tiny", "/w/d.pth"),)
    assert request_of("--model", "deit_tiny", "--data", "/x", "--checkpoint", "/w").models == (
        "deit_tiny",
    )


def test_grid_options_threads_are_torchs_own_choice_without_a_folder(request_of):
    """The order of a float sum may depend on them: a run is the same on every machine."""
    alone, of_run = request_of(), request_of("--run", "folder")
    assert (alone.threads, of_run.threads) == (torch.get_num_threads(), 1)
    assert (alone.statistics, of_run.statistics) == (False, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bits", "4/4,6/6", "--save", "q"], "save must go with one scheme and one seed, got 2"),
        (["--load", "x", "--bits", "4/4"], "--bits must be left out with --load"),
        (["--run", "x", "--ema"], "ema must go with a checkpoint"),
        (["--run", "x", "--arithmetic", "float", "--check", "all"], "check must be none for float"),
        (["--run", "x", "--models", "digits", "--model", "digits"], "--model must be left out"),
        (
            ["--run", "x", "--models", "vit_small,deit_tiny", "--checkpoint", "w"],
            "--checkpoints MODEL=FILE must be used",
        ),
        (["--run", "x", "--checkpoints", "vit_small=w"], "checkpoints must be one of digits"),
        (
            ["--run", "x", "--schemes", "RowMax_8"],
            "arithmetic must be float or attention for RowMax_8, got 'integer': its map is a "
            "control of attention that the integer network has no unit for",
        ),
        (
            ["--run", "x", "--schemes", "Sqrt2_16"],
            "arithmetic must be float for Sqrt2_16",
        ),
        (["--run", "x", "--data", "/nowhere"], "data must be left out for digits"),
    ],
)
def test_grid_options_that_do_not_go_together_are_refused(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_grid_options_error_in_a_run_that_has_begun_leaves_it(tmp_path, capsys):
    run = tmp_path / "run"
    words = ["evaluate", "--run", str(run), "--limit", "4", "--batch-size", "4"]
    assert main(words) == 0
    before = sorted(run.rglob("*"))
    assert main([*words, "--data", "/nowhere"]) == 2
    assert "was asked for something else" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "digits,digits"], "each once"),
        (["--models", "vit"], "must be one of digits"),
        (["--bits", "4"], "must be W/A pairs"),
        (["--bits", "4/9"], "from 2 to 8"),
        (["--checkpoints", "vit_small"], "must be MODEL=FILE"),
        (["--threads", "0"], "from 1 to 256"),
        (["--check", "sample:0"], "sample:K"),
    ],
)
def test_grid_options_malformed_are_refused(words, message, capsys):
    assert main(["evaluate", "--run", "x", *words]) == 2
    assert message in capsys.readouterr().err
