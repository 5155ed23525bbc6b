"""The checkers that users bind: each check fires on what it forbids, none on what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.rtl import CHECKS_FILE, RTL, write_package
from support.shared import made_once

from bitlog2.golden.simulation.tools import (
    finished,
    icarus_found,
    run_tool,
    verilator_command,
    verilator_environment,
)
from bitlog2.golden.testbench.files import UNOPTIMIZED
from bitlog2.sim import AttentionConfig

BENCHES = Path(__file__).parent / "rtl"
Run = Callable[..., str]

#: Fault of the stream -> what the check says.
STREAM = {
    "reset": "tvalid must be low during reset",
    "drop": "tvalid must stay until tready",
    "data": "tdata must be stable until tready",
    "keep": "tkeep must be stable until tready",
    "last": "tlast must be stable until tready",
    "hole": "kept lanes must be the lowest, got tkeep 101",
    "no_lane": "kept lanes must be the lowest, got tkeep 000",
    "early": "only a last beat leaves lanes out, got tkeep 011",
}
#: Fault of a row of 17 levels -> what the check says.
ROW = {
    "d": "BL2-MAX-03: d is at most 1000, got 1001",
    "e": "BL2-EXP2-05: e is at most 65536, got 65537",
    "masked": "BL2-EXP2-04: e of a masked key must be 0, got 1",
    "sum": "BL2-SUM-02: the e of a row must sum to at least 65536, got 1",
    "s_low": "BL2-SUM-02: s is at least 65536, got 65535",
    "s_high": "BL2-SUM-01: s is at most 262144, got 262145",
    "level": "BL2-LOG2-05: level is at most 16, got 17",
    "nibble": "BL2-CODE-02: level 16 has nibble 3, flag 0",
    "flag": "BL2-CODE-02: flag must come with nibble 0, got nibble 1",
    "acc_high": "BL2-ACC-02: acc is from -5760 to 5760, got 5761",
    "acc_low": "BL2-ACC-02: acc is from -5760 to 5760, got -5761",
    "framing": "BL2-ROW-01: tlast and tkeep of a beat of keys must be its scores'",
    "unasked": "BL2-ROW-01: a beat of keys must follow its beat of scores",
    "ahead": "BL2-ROW-01: scores are more than 24 beats ahead of keys",
    "long": "BL2-ROW-01: a row has at most 4 keys, got 5",
}
#: The same for 16 levels.
ROW_16 = {
    "flag_16": "BL2-CODE-01: flag must be 0 where codes have 16 levels",
    "nibble": "BL2-CODE-01: nibble must be level 15, got 3",
    "level": "BL2-LOG2-05: level is at most 15, got 16",
    "acc_high": "BL2-ACC-02: acc is from -3840 to 3840, got 3841",
}
#: The same where a level is read from the distance.
BY_DISTANCE = {
    "d": "BL2-MAX-03: d is at most 1000, got 1001",
    "masked_level": "BL2-DIST-03: level of a masked key must be 0, got 1",
    "level": "BL2-DIST-02: level is at most 15, got 16",
    "values": "BL2-WEIGHT-02: values of a row sum to at least 1024, got 768",
    "w_low": "BL2-WEIGHT-02: w is from 1024 to 4096, got 1023",
    "w_high": "BL2-WEIGHT-02: w is from 1024 to 4096, got 4097",
    "m2": "BL2-ROWMUL-02: m2 of a row must not be 0",
    "n2": "BL2-ROWMUL-02: n2 of a row is at most 36, got 37",
    "acc_high": "BL2-ACC-03: acc is from -61440 to 61440, got 61441",
    "acc_low": "BL2-ACC-03: acc is from -61440 to 61440, got -61441",
}
#: Where a simulator knows x.
UNKNOWN = {
    ("axis_checks", "unknown"): "tvalid must be known after reset",
    ("row_checks", "unknown"): "BL2-ROW-01: the tap of keys must be known after reset",
    ("row_checks", "unknown_row"): "BL2-ROW-01: the tap of rows must be known after reset",
    ("row_checks", "t"): "BL2-REQ-01: t must be known",
    ("row_checks", "row_max"): "BL2-MAX-01: row max must be known",
}


def sources(folder: Path) -> list[Path]:
    package = write_package(folder, AttentionConfig())
    return [package, RTL / CHECKS_FILE, *sorted(BENCHES.glob("*checks_tb.sv"))]


def printed_by(*command: str | Path) -> str:
    """Everything that a simulation prints; Verilator ends one with a status at an error."""
    return finished(command, timeout=60)[1]


@pytest.fixture(scope="session")
def verilated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    words = ["--binary", "--timing", "--assert", "-Wno-fatal", "-CFLAGS", "-std=c++20"]
    words += [*UNOPTIMIZED, "--timescale", "1ns/1ps", "--top-module", "checks_tb"]
    command = [verilator_command(), *words]

    def build(folder: Path) -> None:
        environment = verilator_environment()
        run_tool([*command, *sources(folder)], folder, environment=environment, timeout=240)

    folder = made_once(tmp_path_factory, "checks_verilator", build)
    return lambda *plusargs: printed_by(folder / "obj_dir" / "Vchecks_tb", *plusargs)


@pytest.fixture(scope="module")
def icarus(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if not icarus_found():
        pytest.skip("no Icarus: iverilog")
    folder = tmp_path_factory.mktemp("icarus")
    words = ["iverilog", "-g2012", "-s", "checks_tb", "-o", "checks.vvp"]
    run_tool([*words, *sources(folder)], folder, timeout=60)
    return lambda *plusargs: printed_by("vvp", "-n", folder / "checks.vvp", *plusargs)


CASES = (
    [("axis_checks", [fault], text) for fault, text in STREAM.items()]
    + [("row_checks", [fault], text) for fault, text in ROW.items()]
    + [("row_checks", [fault, "sixteen"], text) for fault, text in ROW_16.items()]
    + [("row_checks", [fault, "by_distance"], text) for fault, text in BY_DISTANCE.items()]
)


def fires(run: Run, checker: str, words: list[str], text: str) -> bool:
    return text in run(f"+{checker}", f"+fault={words[0]}", *(f"+{word}" for word in words[1:]))


@pytest.mark.parametrize("simulator", ["verilated", "icarus"])
@pytest.mark.parametrize(("checker", "words", "text"), CASES, ids=lambda x: str(x)[:24])
def test_rtl_checks_fire(
    checker: str, words: list[str], text: str, simulator: str, request: pytest.FixtureRequest
) -> None:
    assert fires(request.getfixturevalue(simulator), checker, words, text)


@pytest.mark.parametrize(("where", "text"), UNKNOWN.items(), ids=str)
def test_rtl_checks_see_an_unknown_value(where: tuple[str, str], text: str, icarus: Run) -> None:
    assert fires(icarus, where[0], [where[1]], text)


@pytest.mark.parametrize(
    "words",
    [("axis_checks",), ("row_checks",), ("row_checks", "sixteen"), ("row_checks", "by_distance")],
)
def test_rtl_checks_are_silent_on_what_is_allowed(
    words: tuple[str, ...], verilated: Run, icarus: Run
) -> None:
    for run in (verilated, icarus):
        printed = run(*(f"+{word}" for word in words))
        assert "DONE" in printed
        assert "error" not in printed.lower()


def test_rtl_checks_every_message_is_of_a_planted_violation() -> None:
    """A check that nothing planted makes fire would be a line that nobody has seen work."""
    text = (RTL / CHECKS_FILE).read_text(encoding="utf-8")
    shown = (STREAM, ROW, ROW_16, BY_DISTANCE, UNKNOWN)
    seen = [message for messages in shown for message in messages.values()]
    beginnings = re.findall(r'\$error\("%m: (?:AXI-Stream: )?([^"%]+)', text)
    assert len(beginnings) == text.count("assert (")
    unseen = {each for each in beginnings if not any(each in message for message in seen)}
    assert unseen == set()
