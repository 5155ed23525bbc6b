"""The check of the torch network against the simulator: it passes, and reports what is planted."""

import numpy as np
import pytest
import torch
from support.programs import PROGRAMS, images

from bitlog2.models.network import check
from bitlog2.models.network.check import Mismatch, NetworkChecker
from bitlog2.models.network.replay import Place


def on_tensors(pixels):
    return torch.from_numpy(pixels.astype(np.int32))


@pytest.mark.parametrize("name", PROGRAMS)
def test_network_check_passes_and_counts_every_value(name):
    program = PROGRAMS[name]()
    pixels, checker, traced = images(program, 2), NetworkChecker(program), []
    logits = checker(on_tensors(pixels))
    simulator = check.Simulator(program)
    found = simulator(
        pixels, lambda _part, _unit, registers: traced.extend(x.size for x in registers.values())
    )
    assert np.array_equal(logits.numpy(), found.logits)
    assert (checker.compared, checker.mismatched, checker.first) == (sum(traced), 0, [])
    assert checker.lines() == [f"registers: {sum(traced):,} values compared, 0 mismatches"]


def test_network_check_reports_the_first_unit_that_differs():
    """A bias of one channel is one too large: every token of the second image, and what follows."""
    program = PROGRAMS["vit"]()
    checker = NetworkChecker(program)
    checker.network.steps[2].fc1.constant[3] += 1
    checker(on_tensors(images(program, 2))[1:], [7])
    first = checker.first[0]
    assert first.place == Place(7, "steps.2.fc1", "linear_accumulator", "linear_acc", (0, 3))
    assert first.found == first.expected + 1
    assert checker.mismatched >= 19  # of the class token, two registers and 16 patches
    assert len(checker.first) == 5
    assert checker.lines()[-1].endswith(f", {checker.mismatched:,} mismatches")


def test_network_check_names_place_and_values():
    of_linear = Mismatch(Place(3, "steps.2.fc1", "activation", "u", (5, 7)), 12, -13)
    assert str(of_linear) == (
        "image 3 steps.2.fc1 activation u token 5 channel 7: expected 12 (0xc), got -13 (-0xd)"
    )
    row = Place(0, "steps.1.attention", "attention_row", "t", (1, 2, 3))
    of_attention = Mismatch(row, 0, 1, {"m": 5, "n": 6})
    assert str(of_attention).endswith(
        " t group 1 row 2 key or channel 3: expected 0 (0x0), got 1 (0x1); inputs: m 5, n 6"
    )


def test_network_check_refuses_registers_that_only_one_has(monkeypatch):
    program = PROGRAMS["vit"]()
    checker = NetworkChecker(program)
    forward = checker.network.steps[3].norm.normalizer.forward
    monkeypatch.setattr(
        checker.network.steps[3].norm.normalizer,
        "forward",
        lambda x, part: forward(x, part._replace(observe=None)),
    )
    checker(on_tensors(images(program, 1)))
    with pytest.raises(ValueError, match=r"^register steps\.3\.norm .* both, torch has none"):
        checker.finish()


def test_network_check_refuses_registers_that_only_torch_has(monkeypatch):
    program = PROGRAMS["vit"]()
    checker = NetworkChecker(program)
    step = checker.network.steps[3].norm
    forward = step.forward

    def with_another(x, part):
        part.keep("norm_requantizer", other=x)
        return forward(x, part)

    monkeypatch.setattr(step, "forward", with_another)
    checker(on_tensors(images(program, 1)))
    with pytest.raises(ValueError, match=r"^register steps\.3\.norm .* the simulator has none"):
        checker.finish()
