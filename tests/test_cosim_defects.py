"""One planted defect in each module of the reference RTL: co-simulation finds every one."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_golden_helpers import SMALL

from bitlog2.golden import emit
from bitlog2.golden.cosim import DEVICES, Rtl, cosim
from bitlog2.golden.eda import icarus_found
from bitlog2.golden.testbench import reference_files

FAST = "icarus" if icarus_found() else "verilator"
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


@pytest.mark.long
@pytest.mark.parametrize(("unit", "file", "old", "new"), DEFECTS, ids=list(DEVICES))
def test_cosim_defects_are_found(
    folder: Path, tmp_path: Path, unit: str, file: str, old: str, new: str
) -> None:
    rtl = []
    for path in reference_files():
        text = path.read_text()
        if path.stem == file:
            assert old in text
            text = text.replace(old, new)
        rtl.append(tmp_path / path.name)
        rtl[-1].write_text(text)
    result = cosim(folder, unit, rtl=Rtl(rtl), simulator=FAST, idle=500)
    assert result.status == 1, "\n".join(result.lines())
    assert result.units[0].profiles
