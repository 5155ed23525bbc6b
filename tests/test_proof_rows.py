"""Proofs of the rows refute a planted error."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.proofs import assert_refuted

from bitlog2.sim import AttentionConfig

LONG = pytest.mark.long
#: What is refuted at once.
QUICK = ("room for a third row",)
HALF, ROW_MAX = "BitLog2_Half_17", "RowMax_16"
ORDER, ORDER_ROW_MAX, DATA, ATTENTION = (
    "rtl_softmax_row_order", "rtl_softmax_row_order_row_max", "rtl_softmax_row",
    "rtl_attention_row",
)  # fmt: skip
#: Name, claim, module, what stands there, what is planted, scheme.
PLANTED = [
    ("a lost beat", ORDER_ROW_MAX, "softmax_row", "coding <= {coding[OUT-1:0], state == CODE}",
     "coding <= {coding[OUT-1:0], state == CODE && count != '0}", ROW_MAX),
    ("a repeated row", ORDER_ROW_MAX, "softmax_row", "waiting <= (waiting && !taken) ||",
     "waiting <= waiting ||", ROW_MAX),
    ("tlast early", ORDER, "softmax_row", "last_index <= write_index;",
     "last_index <= write_index - 1'b1;", HALF),
    ("tlast of another beat", ORDER, "softmax_row", ".d({at_end, read_max})",
     ".d({count == '0, read_max})", HALF),
    ("a register that is not reset", ORDER_ROW_MAX, "softmax_row",
     "waiting <= 1'b0;\n      largest", "largest", ROW_MAX),
    ("room for a third row", ORDER_ROW_MAX, "softmax_row", "s_axis_score_tready = !rows[1]",
     "s_axis_score_tready = !(&rows)", ROW_MAX),
    ("back-pressure that changes tdata", ORDER_ROW_MAX, "softmax_row",
     "assign advance = !m_axis_tvalid || m_axis_tready;", "assign advance = 1'b1;", ROW_MAX),
    ("rows that hang", ORDER_ROW_MAX, "softmax_row", "if (at_end) state <=",
     "if (at_end && !m_axis_tvalid) state <=", ROW_MAX),
    ("tkeep dropped", DATA, "softmax_row", "{kept_before, masked, t}", "{1'b1, masked, t}",
     ROW_MAX),
    ("wrong bank read", DATA, "softmax_row", "buffer[{read_bank, count",
     "buffer[{!read_bank, count", ROW_MAX),
    ("a maximum with masked keys", DATA, "softmax_row", "{kept, mask || !kept}", "{kept, !kept}",
     ROW_MAX),
    ("a maximum of the last row", DATA, "softmax_row", "if (write_index == '0 || beat_max",
     "if (beat_max", ROW_MAX),
    ("a beat that is not stored", DATA, "softmax_row", "if (loading[OF_MAX]) buffer",
     "if (loading[OF_MAX] && !lasts[OF_MAX]) buffer", ROW_MAX),
    ("a level of a masked key", DATA, "softmax_row",
     ".mask(mask),\n          .d(d),\n          .l", ".mask(1'b0), .d(d), .l", ROW_MAX),
    ("a sum that starts from the last row's", DATA, "softmax_row", "(firsts[OF_SUM] ? '0 : sum)",
     "(firsts[OF_SUM] && !rows[1] ? '0 : sum)", HALF),
    ("codes before the sum is there", DATA, "softmax_row", "GAP_CYCLES = TREE + 2",
     "GAP_CYCLES = TREE + 1", HALF),
    ("a key not added", ORDER, "softmax_row", "state == SUM}", "state == SUM && !at_end}", HALF),
    ("a lost beat of codes", ATTENTION, "attention_row", "adding <= {adding[OF_SUM-1:0], fire}",
     "adding <= {adding[OF_SUM-1:0], fire && !code_last}", HALF),
    ("rows that run together", ATTENTION, "attention_row", "(first ? '0 : acc)",
     "(first && left != '0 ? '0 : acc)", HALF),
    ("room for a third row of codes", ATTENTION, "attention_row", "room = !rows[1]",
     "room = !(&rows)", HALF),
    ("a row that is lost while it waits", ATTENTION, "attention_row",
     "complete <= (complete && !ready) ||", "complete <=", HALF),
    ("a term of a key that is not there", ATTENTION, "attention_row", "keep_0[lane] ? term : '0",
     "term", HALF),
    ("an output that does not wait", ATTENTION, "attention_row",
     "if (m_axis_tready) m_axis_tvalid <= 1'b0;", "m_axis_tvalid <= 1'b0;", HALF),
    ("a row not held while it is divided", ATTENTION, "attention_row",
     "if (complete && ready) begin", "if (complete) begin", ROW_MAX),
    ("truncation in t", DATA, "score_requantizer_pipe", "product_1 + half_1", "product_1", ROW_MAX),
]  # fmt: skip


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("claim", "module", "old", "new", "scheme"),
    [
        pytest.param(*rest, id=name.replace(" ", "_"), marks=() if name in QUICK else LONG)
        for name, *rest in PLANTED
    ],
)
def test_proof_rows_refutes(
    tmp_path: Path, claim: str, module: str, old: str, new: str, scheme: str
) -> None:
    assert_refuted(tmp_path, claim, module, (old, new), AttentionConfig(scheme=scheme))
