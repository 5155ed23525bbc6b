"""How many threads compare registers where nothing is asked for."""

import pytest
import torch

from bitlog2.models.watch import check as module
from bitlog2.models.watch.check import check_threads
from bitlog2.scripts.cli import main


@pytest.mark.parametrize(
    ("device", "processors", "processes", "torch_threads", "threads"),
    [
        ("cpu", 1, 1, 1, 1),  # never none: inference would wait for every comparison
        ("cpu", 2, 1, 1, 1),
        ("cpu", 2, 1, 2, 1),
        ("cpu", 4, 1, 1, 3),
        ("cpu", 16, 1, 1, 4),  # memory
        ("cpu", 16, 4, 1, 3),
        ("cpu", 16, 1, 16, 1),
        ("cuda", 16, 1, 16, 4),
        ("cuda", 16, 8, 16, 1),
    ],
)
def test_check_threads_are_those_that_torch_leaves_free(
    monkeypatch, device, processors, processes, torch_threads, threads
):
    monkeypatch.setattr(module, "_processors", lambda: processors)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch, "get_num_threads", lambda: torch_threads)
    assert check_threads(device) == threads
    assert check_threads(device, 7) == 7


@pytest.mark.parametrize("asked", [0, -1, 257])
def test_check_threads_out_of_range_are_refused(asked):
    with pytest.raises(ValueError, match=f"check threads must be from 1 to 256, got {asked}"):
        check_threads("cpu", asked)


@pytest.mark.parametrize("command", [["evaluate"], ["resume", "run"], ["sweep", "--run", "run"]])
def test_check_threads_option_is_refused_out_of_range(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--check-threads", "0"])
    assert stopped.value.code == 2
    assert "--check-threads" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
