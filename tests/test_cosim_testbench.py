"""The classes for testbenches of one's own: their words, their model, the example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.defects import planted
from test_golden_helpers import SMALL, hand_row

import bitlog2.golden.cosim
from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES
from bitlog2.golden.cosim.model import AttentionModel, Model, Words, beats_of_row
from bitlog2.golden.cosim.testbench import Scoreboard
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.stimulus.unit import Target
from bitlog2.sim import AttentionConfig

EXAMPLE = Path(bitlog2.golden.cosim.__file__).parent / "example"
TARGET = Target(AttentionConfig(), 2)


def words_of(unit: str, prefix: str, ends: tuple[int, ...] = ()) -> Words:
    device = DEVICES[unit]
    channel = next(each for each in device.contract.outputs if each.prefix == prefix)
    return Words(device.words(channel, TARGET), ends)


def test_cosim_beats_put_lane_0_lowest_and_keep_the_low_lanes_of_the_last() -> None:
    beats = beats_of_row([0x11, 0x22, 0x33], 8, 2, lambda bits: (1 << bits) - 1)
    assert [(each.data, each.keep, each.last) for each in beats] == [
        (0x2211, 0b11, 0),
        (0xFF33, 0b01, 1),
    ]


def test_cosim_words_take_kept_lanes_in_order_with_last_on_the_highest() -> None:
    words = words_of("softmax_row", "m_axis")
    words.take("0001000001", "11", "0", 5)
    words.take("1111100011", "01", "1", 15)
    assert words.file() == b"01\n02\n23\n"
    assert words.times == [5, 5, 15]
    assert words.failures == []


def test_cosim_words_show_unknown_bits_as_x() -> None:
    words = words_of("exp2", "m_axis")
    words.take("0" * 12 + "0x0z1", "1", "1", 0)
    assert words.file() == b"0000x\n"


@pytest.mark.parametrize(
    ("keep", "last"), [("10", "1"), ("00", "1"), ("01", "0"), ("0x", "1")], ids=range(4)
)
def test_cosim_words_report_a_tkeep_that_is_not_the_low_lanes(keep: str, last: str) -> None:
    words = words_of("softmax_row", "m_axis")
    words.take("0001000001", keep, last, 7)
    assert words.failures == [f"m_axis_tkeep is {keep} with tlast {last} at 7 ns"]


def test_cosim_words_report_a_tlast_in_the_wrong_place() -> None:
    words = words_of("row_max", "m_axis_keys", (0, 1))
    words.take("0" * 10, "1", "1", 3)
    words.take("0" * 10, "1", "1", 4)
    assert words.failures == ["m_axis_keys_tlast is 1 with word 0 at 3 ns, must be 0"]


def test_cosim_model_of_own_rows_gives_beats_and_ends() -> None:
    model = AttentionModel(AttentionConfig(), [hand_row(), hand_row()])
    assert [len(row) for row in model.beats("s_axis_score", 4)] == [1, 1]
    assert model.ends("tap_keys") == [2, 4]
    assert model.ends("m_axis") == [1, 2]
    assert model.params[0] == (1, 0, 1, 8, 0, 0)


def test_cosim_model_refuses_what_it_has_not() -> None:
    model = AttentionModel(AttentionConfig(), [hand_row()])
    with pytest.raises(ValueError, match="prefix must be one of s_axis_score, s_axis_v, m_axis"):
        model.ends("m_axis_o")
    with pytest.raises(ValueError, match="rows must hold at least one row"):
        AttentionModel(AttentionConfig(), [])


def test_cosim_scoreboard_accepts_the_right_words_and_no_others(tmp_path: Path) -> None:
    emit(tmp_path / "set", SMALL, units=["exp2"], sources=("random",), random_cases=5)
    model = Model.of_set(tmp_path / "set", "exp2")
    expected = model.vectors.tables["expected"]["e"]
    for change, ok in ((0, True), (1, False)):
        board = Scoreboard(model)
        words = model.words("m_axis")
        for value in np.bitwise_xor(expected, change).tolist():
            words.take(f"{value:07b}", "1", "1", 0)
        board.words.append(words)
        assert board.result().ok == ok
    with pytest.raises(AssertionError, match=r"exp2\.expected case 0 e"):
        board.check()


SIMULATORS = ["icarus", pytest.param("verilator", marks=pytest.mark.long)]


def run_example(simulator: str, build: Path, *rtl: Path) -> dict[str, bool]:
    """Return the tests of the example, and whether each passes."""
    if simulator == "icarus" and not icarus_found():
        pytest.skip("Icarus Verilog is not found")
    command = [sys.executable, str(EXAMPLE / "run.py"), "--sim", simulator, "--build", str(build)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(
        [*command, *map(str, rtl)], env=environment, capture_output=True, text=True, check=False
    )
    report = build / simulator / "results.xml"
    assert report.exists(), done.stdout + done.stderr
    cases = {
        case.get("name", ""): case.find("failure") is None
        for case in ElementTree.parse(report).iter("testcase")
    }
    assert (done.returncode == 0) == all(cases.values()), done.stdout + done.stderr
    return cases


@pytest.mark.long
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_cosim_examples_pass_on_the_reference(simulator: str, tmp_path: Path) -> None:
    """The agents of cocotbext-axi, which others wrote, drive the reference RTL too."""
    assert run_example(simulator, tmp_path) == {"rows_agree": True, "axi_agents_agree": True}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_cosim_examples_fail_on_a_broken_device(simulator: str, tmp_path: Path) -> None:
    """Its output codes are cut off, not rounded."""
    sources = planted(tmp_path, "output_requantizer_pipe", ("product_1 + half_1", "product_1"))
    found = run_example(simulator, tmp_path / "build", *sources)
    assert found == {"rows_agree": False, "axi_agents_agree": False}


def test_cosim_example_has_thirty_lines() -> None:
    """What golden/README.md says of it."""
    lines = (EXAMPLE / "test_attention_row.py").read_text().splitlines()
    assert len(lines) <= 30
