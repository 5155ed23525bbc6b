"""One planted defect and more for each module of the reference RTL, in a copy of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtl_files import rtl_files

#: Modules with no vectors of their own name -> (unit of the vectors, module that they run on).
_THROUGH = {
    "distance": ("row_max", "row_max"),
    "leading_one": ("log2_quantizer", "log2_quantizer"),
    "log2_quantizer_divide": ("log2_quantizer", "log2_quantizer_divide"),
    "code_memory": ("code_register", "code_memory"),
    "shift_add_lane": ("shift_add", "shift_add"),
    "softmax_row": ("attention_row", "softmax_row"),
}


@dataclass(frozen=True)
class Defect:
    """A text of one file replaced by another.

    Attributes:
        module: what it is planted in.
        unit: whose vectors find it, with the default configuration.
        top: the module that these vectors are run on.
        file: the module's file.
        old: what is replaced; it is there once.
        new: what takes its place.
        what: the fault in words; two defects of a module differ in it.
    """

    module: str
    unit: str
    top: str
    file: str
    old: str
    new: str
    what: str

    def __str__(self) -> str:
        return f"{self.module}: {self.what}"


def _defect(module: str, what: str, old: str, new: str) -> Defect:
    unit, top = _THROUGH.get(module, (module, module))
    return Defect(module, unit, top, f"{module}.sv", old, new, what)


def broken_rtl(defect: Defect, folder: Path) -> list[Path]:
    """Copy all RTL into `folder` with the defect in it; return the files."""
    copies = []
    for path in rtl_files():
        text = path.read_text(encoding="utf-8")
        if path.name == defect.file:
            assert text.count(defect.old) == 1, defect
            text = text.replace(defect.old, defect.new)
        copies.append(folder / path.name)
        copies[-1].write_text(text, encoding="utf-8")
    return copies


_ARITHMETIC = (
    _defect("score_requantizer", "truncation for rounding", ">> 1;", ">> PRODUCT_WIDTH;"),
    _defect(
        "score_requantizer",
        "missing saturation",
        "if (sum > SUM_WIDTH'(HIGHEST)) t = HIGHEST;\n    else if",
        "if",
    ),
    _defect("distance", "missing saturation", "(wide > LARGEST)", "(LARGEST == '0)"),
    _defect("exp2", "shift off by one", ">> shift;", ">> shift >> 1;"),
    _defect(
        "exp2",
        "wrong table entry",
        "TABLE[fraction*E_WIDTH+:E_WIDTH]",
        "TABLE[fraction*E_WIDTH+:E_WIDTH] ^ E_WIDTH'(fraction == 3)",
    ),
    _defect("exp2", "truncation for rounding", "+ E_WIDTH'(shifted[0])", ""),
    _defect("leading_one", "upper half not searched", "POSITION_WIDTH - 1;", "POSITION_WIDTH - 2;"),
    _defect(
        "log2_quantizer", "tie goes down", "aligned < (COMPARE_WIDTH", "aligned <= (COMPARE_WIDTH"
    ),
    _defect(
        "log2_quantizer",
        "missing saturation",
        "(unclamped > K_WIDTH'(TOP_LEVEL))",
        "(unclamped > K_WIDTH'(TOP_LEVEL + 1))",
    ),
    _defect(
        "log2_quantizer_divide", "missing saturation", "P_WIDTH'(INT_MAX - 1)", "P_WIDTH'(INT_MAX)"
    ),
    _defect(
        "code_register", "nibble off by one", "4'(level - LEVEL_WIDTH'(1))", "4'(level)"
    ),
    _defect("code_register", "missing zero flag", "assign flag = zero;", "assign flag = 1'b0;"),
    _defect("shift_add_lane", "shift off by one", "<<< level[4:1]", "<<< level[4:1] <<< 1"),
    _defect("shift_add_lane", "half bit of level 1", "level[0] && level[4:1] != '0", "level[0]"),
    _defect("output_requantizer", "truncation for rounding", ">> 1;", ">> OUT_PRODUCT_WIDTH;"),
    _defect("output_requantizer", "missing saturation", "o = '1;", "o = sum[O_WIDTH-1:0];"),
)  # fmt: skip

_STREAMS = (
    _defect(
        "score_accumulator",
        "lost last beat",
        "m_axis_tdata <= first ? term : m_axis_tdata + term;",
        "if (!s_axis_tlast) m_axis_tdata <= first ? term : m_axis_tdata + term;",
    ),
    _defect(
        "score_accumulator", "hang", "m_axis_tvalid <= fire && s_axis_tlast;",
        "m_axis_tvalid <= 1'b0;",
    ),
    _defect("row_max", "masked key counted", "(!mask && t > m_axis_tdata)", "(t > m_axis_tdata)"),
    _defect(
        "row_max", "hang", "s_axis_tready = !m_axis_tvalid && !m_axis_keys_tvalid",
        "s_axis_tready = !m_axis_tvalid && index == '0",
    ),
    _defect(
        "row_sum",
        "lost last beat",
        "m_axis_tdata <= S_WIDTH",
        "if (!s_axis_tlast) m_axis_tdata <= S_WIDTH",
    ),
    _defect(
        "row_sum",
        "waits for tready",
        "s_axis_tready = !m_axis_tvalid || m_axis_tready",
        "s_axis_tready = m_axis_tready",
    ),
    _defect(
        "code_memory", "swapped nibble", "{nibble, low_nibble}", "{low_nibble, nibble}"
    ),
    _defect("code_memory", "lost last beat", "nibble_write = s_axis_tlast || place[0]",
            "nibble_write = place[0]"),
    _defect("shift_add", "lost last beat", "if (fire) acc", "if (fire && !s_axis_tlast) acc"),
    _defect(
        "softmax_row",
        "lost last beat",
        "row_sum <= beat_sum;",
        "if (!at_end) row_sum <= beat_sum;",
    ),
    _defect("softmax_row", "mask not kept", "{mask || !s_axis_score_tkeep[lane], t}",
            "{!s_axis_score_tkeep[lane], t}"),
    _defect(
        "attention_row", "rows run together", "first <= code_last;", "first <= 1'b0;"
    ),
    _defect(
        "attention_row", "hang", "code_ready = s_axis_v_tvalid && free",
        "code_ready = s_axis_v_tvalid && free && !code_last",
    ),
)  # fmt: skip

#: Every defect; each module has at least one.
DEFECTS: tuple[Defect, ...] = _ARITHMETIC + _STREAMS
