"""Proofs of the RTL refute a planted error in every module."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.defects import planted
from support.proofs import assert_refuted, refuted_by_units
from support.quick import one_in
from test_proof_rows import PLANTED as OF_ROWS

from bitlog2.golden.assurance.modules import modules_within
from bitlog2.golden.assurance.proof import CLAIMS, Setting, decide
from bitlog2.golden.assurance.proof.rtl_terms import RtlTerms, export
from bitlog2.golden.testbench.files import RTL
from bitlog2.sim import AttentionConfig

BY_NAME = {claim.name: claim for claim in CLAIMS}
HALF, SINGLE, HALF_16 = "BitLog2_Half_17", "BitLog2_Single_16", "BitLog2_Half_16"
ROW_MAX = "RowMax_16"
#: Claim, module, what stands there, what is planted, scheme.
PLANTED = [
    ("rtl_leading_one", "leading_one", "rest >> (1 << step)", "rest >> step", HALF),
    ("rtl_score_requantizer", "score_requantizer_pipe", "product_1 + half_1", "product_1",
     HALF),
    ("rtl_score_requantizer", "score_requantizer_pipe", "t = LOWEST",
     "t = sum_4[T_WIDTH-1:0]", HALF),
    ("rtl_score_requantizer", "score_requantizer_pipe", "{1'b0, m}", "{1'b0, m} + 1'b1", HALF),
    ("rtl_distance", "distance", "wide > LARGEST", "wide >= LARGEST - 1'b1", HALF),
    ("rtl_exp2", "exp2", "entry = TABLE[fraction*E_WIDTH+:E_WIDTH]",
     "entry = TABLE[fraction*E_WIDTH+:E_WIDTH] ^ E_WIDTH'(fraction == 7)", HALF),
    ("rtl_exp2", "exp2", " + E_WIDTH'(shifted[0])", "", HALF),
    ("rtl_exp2", "exp2", ">> shift", ">> (shift + 1'b1)", HALF),
    ("rtl_exp2", "exp2", "mask ? '0 : ", "", HALF),
    ("rtl_log2_quantizer", "log2_quantizer_pipe", "below_6 ? aligned_6 << 1",
     "below_6 ? aligned_6", HALF),
    ("rtl_log2_quantizer", "log2_quantizer_pipe", "aligned_5 < (C", "aligned_5 <= (C", HALF_16),
    ("rtl_log2_quantizer", "log2_quantizer_pipe", "k_7 >= K_WIDTH'(TOP_LEVEL)", "1'b0", SINGLE),
    ("rtl_log2_quantizer_divide", "log2_quantizer_divide", "p >> (k - K_WIDTH'(1))", "p >> k",
     HALF),
    ("rtl_log2_quantizer_divide", "log2_quantizer_divide", "* WIDTH'(INT_MAX)",
     "* WIDTH'(INT_MAX + 1)", SINGLE),
    ("rtl_code_register", "code_register", "level - LEVEL_WIDTH'(1)", "level", HALF),
    ("rtl_shift_add_lane", "shift_add_lane", "shifted >>> 1", "shifted >>> 2", HALF),
    ("rtl_shift_add_lane", "shift_add_lane", "level - 5'd1", "level", SINGLE),
    ("rtl_output_requantizer", "output_requantizer_pipe", "<< n2) >> 1", "<< n2)", HALF),
    ("rtl_output_requantizer", "output_requantizer_pipe", "o = '1", "o = sum_4[O_WIDTH-1:0]",
     SINGLE),
    ("rtl_row_max", "row_max", "!mask && ", "", HALF),
    ("rtl_distance_quantizer", "distance_quantizer", "> {1'b0, FULL_STEP}", ">= {1'b0, FULL_STEP}",
     ROW_MAX),
    ("rtl_distance_quantizer", "distance_quantizer", "mask || ", "", ROW_MAX),
    ("rtl_weight_sum", "weight_sum", "first ? '0 : m_axis_tdata", "m_axis_tdata", ROW_MAX),
    ("rtl_row_multiplier", "row_multiplier", "(quotient >> 1) + (M2_WIDTH + 1)'(quotient[0])",
     "quotient >> 1", ROW_MAX),
    ("rtl_row_multiplier", "row_multiplier", "remainder >= {1'b0, divisor}",
     "remainder > {1'b0, divisor}", ROW_MAX),
    ("rtl_row_max", "row_max", "last_index <= index", "last_index <= index + 1'b1", HALF),
    ("rtl_code_memory", "code_memory", "{nibble, low_nibble}", "{low_nibble, nibble}", HALF),
    ("rtl_code_memory", "code_memory", "s_axis_tlast || place == 3'd7);", "place == 3'd7);", HALF),
    ("rtl_score_accumulator", "score_accumulator", "first ? term : m_axis_tdata + term",
     "m_axis_tdata + term", HALF),
    ("rtl_row_sum", "row_sum", "first <= s_axis_tlast", "first <= 1'b0", HALF),
    ("rtl_row_sum", "row_sum", "!m_axis_tvalid || m_axis_tready", "1'b1", HALF),
    ("rtl_shift_add", "shift_add", "first ? term : acc + term", "acc + term", HALF),
]  # fmt: skip
NAMES = [f"{module}-{i}" for i, (_, module, *_) in enumerate(PLANTED)]


@pytest.mark.parametrize(("claim", "module", "old", "new", "scheme"), one_in(12, PLANTED, NAMES))
def test_proof_refutes_a_broken_module(
    tmp_path: Path, claim: str, module: str, old: str, new: str, scheme: str
) -> None:
    assert_refuted(tmp_path, claim, module, (old, new), AttentionConfig(scheme=scheme))


def test_proof_every_netlist_claim_has_a_planted_error() -> None:
    """Here, with the rows, or by `assert_refuted(tmp_path, "rtl_...", ...)` with its unit."""
    claims = {name for name in BY_NAME if name.startswith("rtl_")}
    of_rows = {claim for _, claim, *_ in OF_ROWS}
    assert of_rows | {claim for claim, *_ in PLANTED} | refuted_by_units().keys() == claims


def test_proof_a_counterexample_shows_the_inputs_in_both_bases(tmp_path: Path) -> None:
    planted(tmp_path, "exp2", ("mask ? '0 : ", ""))
    line = decide(BY_NAME["rtl_exp2"], Setting(AttentionConfig(), tmp_path), 60)
    assert line.detail.startswith("e: mask = 1 (0x1), d = ")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "fields",
    [
        {"scheme": HALF, "max_tokens": 3, "table_bits": 4, "fraction_bits": 1, "m_bits": 4},
        {"scheme": HALF, "q_bits": 8, "k_bits": 8, "v_bits": 8, "o_bits": 8, "table_bits": 20,
         "max_head_dim": 1024, "m_bits": 24, "m2_bits": 24, "t_bits": 24},
        {"scheme": HALF_16, "max_tokens": 1, "table_bits": 12, "fraction_bits": 4,
         "distance_int_bits": 6, "max_n": 48, "max_n2": 48},
        {"scheme": SINGLE, "max_tokens": 65536, "table_bits": 20, "max_n": 1, "max_n2": 0},
        {"scheme": HALF, "score_bits": 30, "product_bits": 60, "distance_bits": 14, "exp_bits": 24,
         "sum_bits": 40, "compare_bits": 50, "acc_bits": 30, "out_product_bits": 62},
        {"scheme": ROW_MAX, "max_tokens": 3, "fraction_bits": 1, "m_bits": 4, "m2_bits": 4},
        {"scheme": ROW_MAX, "q_bits": 8, "k_bits": 8, "v_bits": 8, "o_bits": 8, "fraction_bits": 8,
         "max_tokens": 4096, "m_bits": 24, "m2_bits": 24, "t_bits": 24, "max_n2": 48},
        {"scheme": ROW_MAX, "max_tokens": 1, "distance_int_bits": 2, "max_n2": 10},
    ],
    ids=["small", "wide", "one_key", "many_keys", "pinned", "row_max_small", "row_max_wide",
         "row_max_one_key"],
)  # fmt: skip
def test_proof_modules_of_other_configurations(fields: dict) -> None:
    setting = Setting(AttentionConfig(**fields))
    names = {f"rtl_{name}" for name in modules_within(setting.config)}
    apart = {"rtl_leading_one", "rtl_shift_add", *(claim for _, claim, *_ in OF_ROWS)}
    for name, claim in BY_NAME.items():
        if name in names - apart:
            line = decide(claim, setting, 300)
            assert (line.claim, line.result, line.detail) == (name, "proved", "")


def test_proof_a_wire_or_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    planted(tmp_path, "")
    source = tmp_path / "score_accumulator.sv"
    source.write_text(source.read_text().replace("term", "product"))
    with pytest.raises(ValueError, match="must have a wire term, found none"):
        decide(BY_NAME["rtl_score_accumulator"], Setting(AttentionConfig(), tmp_path), 60)
    (tmp_path / "exp2.sv").unlink()
    with pytest.raises(ValueError, match=r"must hold exp2\.sv"):
        decide(BY_NAME["rtl_exp2"], Setting(AttentionConfig(), tmp_path), 60)


def test_proof_netlist_takes_parameters() -> None:
    narrow, wide = export(AttentionConfig(), RTL, "leading_one", [{"WIDTH": 3}, {"WIDTH": 40}])
    assert (narrow["x"].size(), wide["x"].size()) == (3, 40)


def test_proof_netlist_names_inputs_and_registers() -> None:
    net: RtlTerms = Setting(AttentionConfig()).terms("row_sum")
    assert set(net.registers) == {"first", "m_axis_tdata", "m_axis_tvalid"}
    assert {"s_axis_tdata", "s_axis_tlast", "rst_n"} <= set(net.inputs)
