"""A register of the network that differs, computed again alone: by all three implementations."""

from itertools import product

import msgspec
import numpy as np
import pytest
import torch
from support.programs import PROGRAMS, images
from support.quick import quick_where

from bitlog2.models.network.check import NetworkChecker
from bitlog2.models.network.network import IntegerNetwork
from bitlog2.models.network.replay import PartRun, Place, inputs_of, replayed, write_replay
from bitlog2.models.sealed import write_sealed
from bitlog2.scripts.cli import main
from bitlog2.sim.network import simulator
from bitlog2.sim.network.simulator import Simulator


def on_tensors(pixels):
    return torch.from_numpy(pixels.astype(np.int32))


@pytest.mark.parametrize(
    ("name", "every"),
    quick_where(
        lambda *each: each in {("vit", 5), ("distilled", 20)}, product(PROGRAMS, (1, 5, 20))
    ),
)
def test_replay_gives_every_register_of_every_unit(name, every):
    """One place of each, or of one in so many, with its inputs."""
    program, rng, traced = PROGRAMS[name](), np.random.default_rng(5), {}
    pixels = images(program, 3)[2:]

    def keep(part, unit, registers):
        traced.update({(part, unit, register): x[0] for register, x in registers.items()})

    Simulator(program)(pixels, keep)
    network = IntegerNetwork(program)
    for (part, unit, register), values in list(traced.items())[::every]:
        index = tuple(int(rng.integers(side)) for side in values.shape)
        place = Place(0, part, unit, register, index)
        run = PartRun(program, place, inputs_of(network, on_tensors(pixels), place))
        found = [run.value(each()) for each in (run.specification, run.simulator, run.torch)]
        assert found == [values[index]] * 3, place
        assert run.values(run.simulator()) or unit == "norm_sums", place


def wrong_codes(acc, multiplier, shift, zero, top, codes):
    """The linear requantizer with a bit of channel 1 that is turned."""
    RIGHT(acc, multiplier, shift, zero, top, codes)
    codes[:, 1] ^= 1


RIGHT = simulator.linear_requantizer_kernel


@pytest.fixture
def mismatch(tmp_path, monkeypatch):
    """The file that an error of a kernel leaves, and the error."""
    monkeypatch.setattr(simulator, "linear_requantizer_kernel", wrong_codes)
    program, path = PROGRAMS["vit"](), tmp_path / "folder" / "m.json"
    checker = NetworkChecker(program)
    checker(on_tensors(images(program, 2)), [4, 9])
    assert checker.replay is not None
    write_replay(path, checker.replay)
    assert checker.first[0].inputs.keys() == {
        *("linear_acc", "linear_multiplier", "linear_shift", "linear_zero", "y_bits")
    }
    assert f"linear_zero {program.steps[1].q.params.linear_zero}, y_bits 4" in checker.lines()[0]
    return path, checker.replay


def test_replay_finds_the_planted_error_of_a_kernel(mismatch, capsys):
    path, written = mismatch
    assert main(["replay", str(path)]) == 1
    first, inputs, *values, verdict = capsys.readouterr().out.splitlines()
    place = "image 4 steps.1.q linear_requantizer linear_code token 0 channel 1"
    assert first == f"{place}; program of random"
    assert " linear_zero 7, y_bits 4" in inputs
    wrong, right = (f"{x} ({x:#x})" for x in (written.expected, written.found))
    assert wrong != right
    assert [line.split(maxsplit=1)[1] for line in values] == [
        right,
        f"{wrong}, was {wrong}",
        f"{right}, was {right}",
    ]
    assert verdict == "the three DIFFER"


def test_replay_agrees_once_the_error_is_gone(mismatch, monkeypatch, capsys):
    path, written = mismatch
    monkeypatch.undo()
    assert main(["replay", str(path)]) == 0
    assert capsys.readouterr().out.endswith("the three agree\n")
    assert replayed(path).simulator == written.found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "steps.1.z"}, r"part must be one of the program's 6 steps, got 'steps\.1\.z'"),
        ({"part": "steps.9.q"}, r"part must be one of the program's 6 steps, got 'steps\.9\.q'"),
        ({"register": "logit"}, r"register must be one of linear_acc, linear_code, got image 4"),
        ({"index": (0, 12)}, r"index must be within \(1, 12\), got image 4 .* channel 12"),
        ({"index": (0,)}, r"register must be one of"),
        ({"inputs": {}}, r"inputs of steps\.1\.q must have shapes \{'codes': \(1, 12\)\}, got"),
        ({"inputs": {"codes": [[1, 2]]}}, r"inputs of steps\.1\.q must have shapes"),
        ({"inputs": {"codes": [[1, 2], [3]]}}, r"codes must be integers in rows of one length"),
        ({"inputs": {"codes": [["a"] * 12]}}, r"codes must be integers in rows of one length"),
        ({"inputs": {"codes": [[256] * 12]}}, r"codes must be from 0 to 255"),
        ({"program": "AAAA"}, r"m\.json: "),
        ({"program": "?"}, r"m\.json: "),
    ],
)
def test_replay_of_a_file_that_contradicts_itself_is_refused(mismatch, change, message):
    path, written = mismatch
    write_sealed(path, msgspec.structs.replace(written, **change))
    with pytest.raises(ValueError, match=message):
        replayed(path)


def test_replay_of_an_edited_file_is_refused(mismatch, capsys):
    path, _ = mismatch
    path.write_text(path.read_text().replace('"image": 4', '"image": 5'))
    assert main(["replay", str(path)]) == 2
    assert "must be as it was written" in capsys.readouterr().err
