"""Planted defects of the reference RTL, state that is not reset: co-simulation finds every one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES, CosimOptions, Rtl, cosim
from bitlog2.golden.simulation import icarus_found
from bitlog2.golden.testbench import reference_files

FAST = "icarus" if icarus_found() else "verilator"
LONG = pytest.mark.long
FLAGGED = replace(SMALL, scheme="BitLog2_Single_17")
#: Unit, file, what is replaced, by what.
DEFECTS = [
    ("score_accumulator", "score_accumulator", "first ? term :", "first ? '0 :"),
    ("score_requantizer", "score_requantizer", "(product + half) >>> n", "product >>> n"),
    ("row_max", "distance", "(wide > LARGEST) ? D_WIDTH'(DISTANCE_MAX) :", "1'b0 ? '0 :"),
    ("exp2", "exp2", "{entry, 1'b0} >> shift", "{entry, 1'b0} >> (shift + 1'b1)"),
    ("row_sum", "row_sum", "fire && s_axis_tlast;", "fire && s_axis_tlast && !first;"),
    ("log2_quantizer", "log2_quantizer", "COMPARE_WIDTH'(s) << 1);", "COMPARE_WIDTH'(s) << 2);"),
    (
        "log2_quantizer_divide",
        "log2_quantizer_divide",
        "WIDTH'(INT_MAX)) /",
        "WIDTH'(INT_MAX-1)) /",
    ),
    ("code_register", "code_register", "assign flag = zero;", "assign flag = 1'b0;"),
    ("code_memory", "code_memory", "{nibble, low_nibble}", "{low_nibble, nibble}"),
    ("shift_add", "shift_add_lane", "shifted >>> 1", "shifted >>> 2"),
    ("output_requantizer", "output_requantizer", "+ SUM_WIDTH'(zero)", "- SUM_WIDTH'(zero)"),
    ("softmax_row", "softmax_row", "at_end ? last_keep : '1", "'1"),
    ("attention_row", "attention_row", "fire && code_last;", "1'b0;"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of every unit, some random cases each."""
    out = tmp_path_factory.mktemp("cosim") / "set"
    emit(out, SMALL, head_dim=2, sources=("random",), random_cases=40)
    return out


def test_cosim_defects_cover_every_device() -> None:
    assert [unit for unit, *_ in DEFECTS] == list(DEVICES)


@LONG
@pytest.mark.parametrize(("unit", "file", "old", "new"), DEFECTS, ids=list(DEVICES))
def test_cosim_defects_are_found(
    folder: Path, tmp_path: Path, unit: str, file: str, old: str, new: str
) -> None:
    rtl = broken(tmp_path, file, (old, new))
    result = cosim(folder, unit, CosimOptions(simulator=FAST, idle=500), rtl=Rtl(rtl))
    assert result.status == 1, "\n".join(result.lines())
    assert result.units[0].profiles


#: Unit, file, what is not reset, of which register, what is replaced, by what.
RESETS = [
    ("row_max", "row_max", "bit 0", "index", " index <= '0;", " index[2:1] <= '0;"),
    ("row_max", "row_max", "bit 2", "index", " index <= '0;", " index[1:0] <= '0;"),
    ("row_max", "row_max", "all", "m_axis_tvalid", "m_axis_tvalid <= 1'b0;", ""),
    ("code_memory", "code_memory", "bit 0", "place", "place <= '0;", "place[2:1] <= '0;"),
    ("code_memory", "code_memory", "bit 2", "place", "place <= '0;", "place[1:0] <= '0;"),
    ("code_memory", "code_memory", "all", "low_flags", "low_flags <= '0;", ""),
    ("softmax_row", "softmax_row", "bit 0", "state", "state <= LOAD;", "state[1] <= 0;"),
    ("softmax_row", "softmax_row", "bit 1", "state", "state <= LOAD;", "state[0] <= 0;"),
    ("softmax_row", "softmax_row", "bit 0", "index", " index <= '0;", " index[1] <= '0;"),
    ("attention_row", "softmax_row", "bit 1", "state", "state <= LOAD;", "state[0] <= 0;"),
    ("attention_row", "attention_row", "all", "m_axis_tvalid", "m_axis_tvalid <= 1'b0;", ""),
]


def broken(folder: Path, file: str, *changes: tuple[str, str]) -> list[Path]:
    """Write the reference RTL with the first of each text in one file replaced."""
    for path in reference_files():
        text = path.read_text()
        for old, new in changes if path.stem == file else ():
            assert old in text, old
            text = text.replace(old, new, 1)
        (folder / path.name).write_text(text)
    return [folder / path.name for path in reference_files()]


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three units for a scheme with zero flags, and rows of few beats."""
    out = tmp_path_factory.mktemp("cosim") / "flagged"
    units = ["row_max", "code_register", "attention_row"]
    emit(out, FLAGGED, head_dim=2, units=units, sources=("random",), random_cases=40)
    return out


@pytest.mark.skipif(not icarus_found(), reason="Icarus Verilog is not found")
@pytest.mark.parametrize(
    ("unit", "file", "bits", "name", "old", "new"),
    [
        pytest.param(*each, id="-".join(each[:4]), marks=[] if n in (0, 4) else [LONG])
        for n, each in enumerate(RESETS)
    ],
)
def test_cosim_defects_of_a_reset_are_found(
    flagged: Path, tmp_path: Path, unit: str, file: str, bits: str, name: str, old: str, new: str
) -> None:
    """The state is 0 when the simulation begins: what follows a reset in a row shows it."""
    start = ("  always_ff", f"  initial {name} = '0;\n  always_ff")
    rtl = broken(tmp_path, file, (old, new), start)
    lanes = 2 if unit.endswith("_row") else None
    result = cosim(
        flagged, unit, CosimOptions(simulator="icarus", idle=500, lanes=lanes), rtl=Rtl(rtl)
    )
    wrong = [each.name for each in result.units[0].profiles if not each.ok]
    assert wrong[-1:] == ["reset"], "\n".join(result.lines())
    assert not set(wrong) & {"source", "sink", "both"}
    assert ", after reset " in "\n".join(result.lines())
