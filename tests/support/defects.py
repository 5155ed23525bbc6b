"""Defects of the reference RTL, planted in a copy of its files: one catalogue for every prover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from support.rtl import HALF_17, ROW_MAX_16, rtl_files

#: Modules without vectors of their own -> the device that they are a part of.
_PART_OF = {
    "delay_line": "softmax_row",
    "distance": "row_max",
    "leading_one": "log2_quantizer",
    "log2_quantizer_pipe": "log2_quantizer",
    "output_requantizer_pipe": "output_requantizer",
    "score_requantizer_pipe": "score_requantizer",
    "shift_add_lane": "shift_add",
    "level_value": "weight_sum",
}


def planted(folder: Path, module: str, *changes: tuple[str, str]) -> list[Path]:
    """Copy the reference RTL with the first place of each text in a module replaced."""
    copies = []
    for path in rtl_files():
        text = path.read_text(encoding="utf-8")
        for old, new in changes if path.stem == module else ():
            assert old in text, (module, old)
            text = text.replace(old, new, 1)
        copies.append(folder / path.name)
        copies[-1].write_text(text, encoding="utf-8")
    return copies


@dataclass(frozen=True)
class Defect:
    """A text of a module replaced by another.

    Testbenches with the default set and co-simulation find each.

    Attributes:
        module: what it is planted in.
        what: the fault in words; two defects of a module differ in it.
        old: what is replaced; it is there once.
        new: what takes its place.
        scheme: of the vectors; those of another need not find it.
    """

    module: str
    what: str
    old: str
    new: str
    scheme: str = HALF_17

    def __str__(self) -> str:
        return f"{self.module}: {self.what}"

    @property
    def top(self) -> str:
        """The device whose vectors find it."""
        return _PART_OF.get(self.module, self.module)

    def planted(self, folder: Path) -> list[Path]:
        """Copy all RTL into a folder with the defect in it."""
        return planted(folder, self.module, (self.old, self.new))


def defect_named(name: str) -> Defect:
    """Return the defect with this text: `module: what`."""
    return next(each for each in DEFECTS if str(each) == name)


@dataclass(frozen=True)
class Forgotten:
    """State that reset does not set.

    Attributes:
        module: what it is planted in.
        register: the state.
        bits: those that are forgotten, in words.
        old: its reset.
        new: what takes the place of that.
        found_by: testbench (on the small set), cosim; none where it means nothing after reset.
        tops: what is run; empty for the module itself.
        scheme: of the vectors.
        begins: its value after the first reset.
        why: why nothing finds it, where that is so.
    """

    module: str
    register: str
    bits: str
    old: str
    new: str
    found_by: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    scheme: str = HALF_17
    begins: str = "'0"
    why: str = ""

    def __str__(self) -> str:
        return f"{self.module}-{self.bits}-{self.register}-{self.scheme}"

    def planted(self, folder: Path) -> list[Path]:
        """Copy all RTL into a folder with the first reset alone setting the state.

        What it is computed from is unknown until then.
        """
        once = f"initial begin wait (!rst_n); wait (rst_n); {self.register} = {self.begins}; end"
        start = ("endmodule", f"{once}\nendmodule")
        return planted(folder, self.module, (self.old, self.new), start)


_ARITHMETIC = (
    Defect("score_requantizer", "no bias", ".bias(bias)", ".bias('0)"),
    Defect("score_requantizer_pipe", "truncation for rounding", ">> 1;", ">> PRODUCT_WIDTH;"),
    Defect(
        "score_requantizer_pipe",
        "missing saturation",
        "if (sum_4 > SUM_WIDTH'(HIGHEST)) t = HIGHEST;\n    else if",
        "if",
    ),
    Defect("distance", "missing saturation", "(wide > LARGEST)", "(LARGEST == '0)"),
    Defect("exp2", "shift off by one", ">> shift;", ">> shift >> 1;"),
    Defect(
        "exp2",
        "wrong table entry",
        "TABLE[fraction*E_WIDTH+:E_WIDTH]",
        "TABLE[fraction*E_WIDTH+:E_WIDTH] ^ E_WIDTH'(fraction == 3)",
    ),
    Defect("exp2", "truncation for rounding", "+ E_WIDTH'(shifted[0])", ""),
    Defect("leading_one", "upper half not searched", "POSITION_WIDTH - 1;", "POSITION_WIDTH - 2;"),
    Defect("log2_quantizer", "leading one of e", ".x(s)", ".x(S_WIDTH'(e))"),
    Defect(
        "log2_quantizer_pipe", "tie goes down", "aligned_5 < (COMPARE_WIDTH",
        "aligned_5 <= (COMPARE_WIDTH",
    ),
    Defect(
        "log2_quantizer_pipe",
        "missing saturation",
        "(unclamped > K_WIDTH'(TOP_LEVEL))",
        "(unclamped > K_WIDTH'(TOP_LEVEL + 1))",
    ),
    Defect(
        "log2_quantizer_pipe", "four times s", "WIDTH'(s_5) << 1);", "WIDTH'(s_5) << 2);"
    ),
    Defect("log2_quantizer_divide", "A - 1", "WIDTH'(INT_MAX)) /", "WIDTH'(INT_MAX-1)) /"),
    Defect(
        "log2_quantizer_divide", "missing saturation", "P_WIDTH'(INT_MAX - 1)", "P_WIDTH'(INT_MAX)"
    ),
    Defect(
        "code_register", "nibble off by one", "4'(level - LEVEL_WIDTH'(1))", "4'(level)"
    ),
    Defect("code_register", "missing zero flag", "assign flag = zero;", "assign flag = 1'b0;"),
    Defect("shift_add_lane", "shift off by one", "shift = level[4:1]", "shift = level[4:1] + 4'd1"),
    Defect("shift_add_lane", "quarter for half", "shifted >>> 1", "shifted >>> 2"),
    Defect("shift_add_lane", "half bit of level 1", "level[0] && level[4:1] != '0", "level[0]"),
    Defect("output_requantizer", "no zero point", ".zo(zo)", ".zo('0)"),
    Defect("output_requantizer_pipe", "truncation for rounding", ">> 1;", ">> OUT_PRODUCT_WIDTH;"),
    Defect("output_requantizer_pipe", "zero point subtracted", "+ SUM_WIDTH'(z", "- SUM_WIDTH'(z"),
    Defect("output_requantizer_pipe", "missing saturation", "o = '1;", "o = sum_4[O_WIDTH-1:0];"),
)  # fmt: skip

_STREAMS = (
    Defect("score_accumulator", "lost first beat", "first ? term :", "first ? '0 :"),
    Defect("row_sum", "no rows of one beat", "&& s_axis_tlast;", "&& s_axis_tlast && !first;"),
    Defect("delay_line", "a register too few", "places[LINE*WIDTH+:WIDTH]",
           "places[(LINE-1)*WIDTH+:WIDTH]"),
    Defect("softmax_row", "all lanes kept", "{kept_before, masked, t}", "{1'b1, masked, t}"),
    Defect(
        "score_accumulator",
        "lost last beat",
        "m_axis_tdata <= first ? term : m_axis_tdata + term;",
        "if (!s_axis_tlast) m_axis_tdata <= first ? term : m_axis_tdata + term;",
    ),
    Defect(
        "score_accumulator", "hang", "m_axis_tvalid <= fire && s_axis_tlast;",
        "m_axis_tvalid <= 1'b0;",
    ),
    Defect("row_max", "masked key counted", "(!mask && t > m_axis_tdata)", "(t > m_axis_tdata)"),
    Defect(
        "row_max", "hang", "s_axis_tready = !m_axis_tvalid && !m_axis_keys_tvalid",
        "s_axis_tready = !m_axis_tvalid && index == '0",
    ),
    Defect(
        "row_sum",
        "lost last beat",
        "m_axis_tdata <= S_WIDTH",
        "if (!s_axis_tlast) m_axis_tdata <= S_WIDTH",
    ),
    Defect(
        "row_sum",
        "waits for tready",
        "s_axis_tready = !m_axis_tvalid || m_axis_tready",
        "s_axis_tready = m_axis_tready",
    ),
    Defect(
        "code_memory", "swapped nibble", "{nibble, low_nibble}", "{low_nibble, nibble}"
    ),
    Defect("code_memory", "lost last beat", "nibble_write = s_axis_tlast || place[0]",
            "nibble_write = place[0]"),
    Defect("shift_add", "lost last beat", "if (fire) acc", "if (fire && !s_axis_tlast) acc"),
    Defect(
        "softmax_row",
        "lost last beat",
        "state == SUM}",
        "state == SUM && !at_end}",
    ),
    Defect("softmax_row", "mask not kept", "{kept, mask || !kept}", "{kept, !kept}"),
    Defect(
        "attention_row", "rows run together", "first <= sum_last;", "first <= 1'b0;"
    ),
    Defect(
        "attention_row", "hang", "code_ready = s_axis_v_tvalid && room",
        "code_ready = s_axis_v_tvalid && room && !code_last",
    ),
)  # fmt: skip

#: In what RowMax_16 alone has.
_ROW_MAX = tuple(
    Defect(*each, scheme=ROW_MAX_16)
    for each in (
        ("distance_quantizer", "threshold not included",
         "({1'b0, fraction} > {1'b0, WHOLE_STEP})", "({1'b0, fraction} >= {1'b0, WHOLE_STEP})"),
        ("distance_quantizer", "half step left out",
         "-\n        LEVEL_WIDTH'({1'b0, fraction} > {1'b0, FULL_STEP})", ""),
        ("distance_quantizer", "no zeros", "(mask || distance > FARTHEST)", "(mask)"),
        ("distance_quantizer", "mask left out", "(mask || d", "(d"),
        ("level_value", "half bit left out", "({1'b1, half_step})", "({1'b1, 1'b0})"),
        ("weight_sum", "lost last beat", "m_axis_tdata <= WEIGHT_SUM_WIDTH",
         "if (!s_axis_tlast) m_axis_tdata <= WEIGHT_SUM_WIDTH"),
        ("row_multiplier", "truncation for rounding",
         "(quotient >> 1) + (M2_WIDTH + 1)'(quotient[0])", "quotient >> 1"),
        ("row_multiplier", "a step too few", "integer STEPS = M2_WIDTH + 3",
         "integer STEPS = M2_WIDTH + 2"),
        ("row_multiplier", "w not aligned", "<< (WIDTH - 1 - 32'(k))",
         "<< (WIDTH - 1 - 32'(k) - 1)"),
        ("row_multiplier", "hang", "m_axis_tvalid <= 1'b1;", "m_axis_tvalid <= 1'b0;"),
        ("shift_add_lane", "shift of the half steps off by one",
         "6'(OCTAVE_LEVELS - 1) + (above >> 1)", "6'(OCTAVE_LEVELS) + (above >> 1)"),
        ("softmax_row", "mask left out of the level",
         ".mask(mask),\n          .d(d),\n          .level", ".mask(1'b0), .d(d), .level"),
        ("attention_row", "row not held while it is divided",
         "if (complete && ready) begin", "if (complete) begin"),
        ("attention_row", "room for a third row", "room = !rows[1]", "room = !(&rows)"),
        ("attention_row", "weights of rows run together",
         "(first ? '0 : weight_sum)", "weight_sum"),
    )
)  # fmt: skip

#: Every defect; each module has at least one.
DEFECTS: tuple[Defect, ...] = _ARITHMETIC + _STREAMS + _ROW_MAX

_BENCH, _COSIM = ("testbench",), ("cosim",)
_BOTH = _BENCH + _COSIM
_ROWS = ("softmax_row", "attention_row")
#: Why a register need not be reset.
_NO_VALID = "payload: it means nothing while its tvalid is 0"
_FIRST = "the first beat of a row replaces it"
_WRITTEN = "it is written before it is read: {}"

#: Every register that reset sets, and single bits of some.
FORGOTTEN = (
    *(
        each
        for module, total in (("score_accumulator", "m_axis_tdata"), ("row_sum", "m_axis_tdata"),
                              ("weight_sum", "m_axis_tdata"), ("shift_add", "acc"))
        for scheme in ((ROW_MAX_16 if module == "weight_sum" else HALF_17),)
        for each in (
            Forgotten(module, "m_axis_tvalid", "all", "m_axis_tvalid <= 1'b0;", "", _COSIM,
                      scheme=scheme),
            Forgotten(module, "first", "all", " first <= 1'b1;", "", scheme=scheme, begins="1'b1",
                      why="the sum is reset, too, and a row added to 0 is as one that begins"),
            Forgotten(module, total, "all", f"{total} <= '0;", ";", scheme=scheme, why=_FIRST),
        )
    ),
    Forgotten("row_max", "index", "all", "index <= '0;", "", _BENCH),
    Forgotten("row_max", "index", "bit 0", " index <= '0;", " index[2:1] <= '0;", _COSIM),
    Forgotten("row_max", "index", "bit 2", " index <= '0;", " index[1:0] <= '0;", _COSIM),
    Forgotten("row_max", "m_axis_tvalid", "all", "m_axis_tvalid <= 1'b0;", "", _BOTH),
    Forgotten("row_max", "m_axis_keys_tvalid", "all", "m_axis_keys_tvalid <= 1'b0;", "", _BENCH),
    Forgotten("row_max", "m_axis_tdata", "all", "m_axis_tdata <= LOWEST;", "", why=_FIRST),
    Forgotten("row_max", "last_index", "all", "last_index <= '0;", "",
              why=_WRITTEN.format("by the last beat, which lets distances begin")),
    Forgotten("code_memory", "place", "all", "place <= '0;", "", _BENCH),
    Forgotten("code_memory", "place", "bit 0", "place <= '0;", "place[2:1] <= '0;", _COSIM),
    Forgotten("code_memory", "place", "bit 2", "place <= '0;", "place[1:0] <= '0;", _COSIM),
    Forgotten("code_memory", "low_flags", "all", "low_flags <= '0;", "", _BOTH),
    Forgotten("code_memory", "m_axis_memory_tvalid", "all", "m_axis_memory_tvalid <= 1'b0;", "",
              _COSIM),
    Forgotten("code_memory", "low_nibble", "all", "low_nibble <= '0;", "",
              why=_WRITTEN.format("by the key before the second one of a byte")),
    Forgotten("code_memory", "m_axis_memory_tdata", "all", "m_axis_memory_tdata <= '0;", "",
              why=_NO_VALID),
    Forgotten("code_memory", "m_axis_memory_tlast", "all", "m_axis_memory_tlast <= 1'b0;", "",
              why=_NO_VALID),
    Forgotten("softmax_row", "rows", "all", " rows <= '0;", "", _BOTH),
    Forgotten("softmax_row", "rows", "bit 1", " rows <= '0;", " rows[0] <= 1'b0;", _COSIM, _ROWS),
    Forgotten("softmax_row", "rows", "bit 0", " rows <= '0;", " rows[1] <= 1'b0;",
              why="one row too many is counted for good: a second one waits for the end of the "
              "first, and all words are right"),
    Forgotten("softmax_row", "loading", "all", "loading <= '0;", "", _BOTH, _ROWS),
    Forgotten("softmax_row", "loading", "bit 3", "loading <= '0;",
              "{loading[OF_MAX:4], loading[2:0]} <= '0;", _COSIM),
    Forgotten("softmax_row", "lasts", "all", "lasts <= '0;", "", _BOTH),
    Forgotten("softmax_row", "write_bank", "all", "write_bank <= 1'b0;", "", _BOTH),
    Forgotten("softmax_row", "write_index", "all", "write_index <= '0;", "", _BOTH),
    Forgotten("softmax_row", "write_index", "bit 0", "write_index <= '0;",
              "write_index[1] <= 1'b0;", _COSIM),
    Forgotten("softmax_row", "waiting", "all", "waiting <= 1'b0;", "", _BOTH),
    Forgotten("softmax_row", "largest", "all", "largest <= '0;", "", why=_FIRST),
    Forgotten("softmax_row", "last_index", "all", "last_index <= '0;", "",
              why=_WRITTEN.format("by the last beat, which sets waiting")),
    Forgotten("softmax_row", "state", "all", "state <= IDLE;", "", _BOTH),
    Forgotten("softmax_row", "state", "bit 0", "state <= IDLE;", "state[1] <= 1'b0;", _COSIM),
    Forgotten("softmax_row", "state", "bit 1", "state <= IDLE;", "state[0] <= 1'b0;", _COSIM,
              _ROWS),
    Forgotten("softmax_row", "count", "all", " count <= '0;", "", _COSIM),
    Forgotten("softmax_row", "count", "bit 0", " count <= '0;", " count[1] <= 1'b0;", _COSIM),
    Forgotten("softmax_row", "read_bank", "all", "read_bank <= 1'b0;", "", _COSIM),
    *(
        Forgotten("softmax_row", name, "all", f"{name} <= '0;", "",
                  why=_WRITTEN.format("as a row is taken, which begins the passes"))
        for name in ("read_max", "read_last")
    ),
    Forgotten("softmax_row", "coding", "all", "coding <= '0;", "", _COSIM),
    Forgotten("softmax_row", "coding", "bit 1", "coding <= '0;",
              "{coding[OUT:2], coding[0]} <= '0;", _COSIM),
    *(
        Forgotten("softmax_row", f"g_quotient.{name}", "all", f" {name} <= '0;", "",
                  why="beats of a row cut off are added to a sum that the next row's first beat, "
                  "behind them, replaces")
        for name in ("summing", "firsts", "sum")
    ),
    Forgotten("attention_row", "adding", "all", "adding <= '0;", "", _COSIM),
    Forgotten("attention_row", "adding", "last bit", "adding <= '0;",
              "adding[OF_SUM-1:0] <= '0;", _COSIM),
    Forgotten("attention_row", "first", "all", "first <= 1'b1;", "", _COSIM, begins="1'b1"),
    Forgotten("attention_row", "rows", "all", " rows <= '0;", "", _COSIM),
    *(
        Forgotten("attention_row", name, "all", f"{name} <= 1'b0;", "",
                  why="it follows left a cycle later, and moves what no row has written")
        for name in ("turning", "taking")
    ),
    Forgotten("attention_row", "idle", "all", "idle <= 1'b1;", "",
              begins="1'b1", why="it follows left a cycle later, when no row is complete yet"),
    *(
        each
        for scheme in (HALF_17, ROW_MAX_16)
        for each in (
            Forgotten("attention_row", "complete", "all", "complete <= 1'b0;", "",
                      _BOTH if scheme == ROW_MAX_16 else _COSIM, scheme=scheme),
            Forgotten("attention_row", "left", "all", "left <= '0;", "", _COSIM, scheme=scheme),
            Forgotten("attention_row", "left", "bit 0", "left <= '0;",
                      "left[LEFT_WIDTH-1:1] <= '0;", _COSIM, scheme=scheme),
        )
    ),
    Forgotten("attention_row", "m_axis_tvalid", "all", "m_axis_tvalid <= 1'b0;", "", _BOTH),
    *(
        Forgotten("attention_row", name, "all", f"{name.rpartition('.')[2]} <= '0;", ";",
                  why=_WRITTEN.format("as a complete row is taken, which its tap follows"),
                  scheme=ROW_MAX_16 if "row_max." in name else HALF_17)
        for name in ("held_row_max", "finished", "g_quotient.held_row_sum",
                     "g_row_max.held_weight_sum")
    ),
    Forgotten("row_multiplier", "left", "all", "left <= '0;", "", _BOTH, scheme=ROW_MAX_16),
    Forgotten("row_multiplier", "left", "bit 0", "left <= '0;", "left[COUNT_WIDTH-1:1] <= '0;",
              _COSIM, scheme=ROW_MAX_16),
    Forgotten("row_multiplier", "m_axis_tvalid", "all", "m_axis_tvalid <= 1'b0;", "", _COSIM,
              scheme=ROW_MAX_16),
    *(
        Forgotten("row_multiplier", name, "all", f"{name} <= '0;", "",
                  why=_WRITTEN.format("as a word is taken, which begins its division"),
                  scheme=ROW_MAX_16)
        for name in ("k", "divisor", "remainder", "layer_n2", "quotient", "n2_row")
    ),
)  # fmt: skip


def forgotten_by(prover: str) -> list[tuple[Forgotten, str]]:
    """Return what that prover finds, with each module that it is run in."""
    return [
        (each, top)
        for each in FORGOTTEN
        if prover in each.found_by
        for top in each.tops or (each.module,)
    ]
