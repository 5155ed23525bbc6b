"""Small devices for the co-simulation tests: a row sum, and what can be wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

ROW_SUM = """\
module my_sum (
    input logic clk,
    input logic rst_n,
    input logic s_axis_tvalid,
    output logic s_axis_tready,
    input logic [bitlog2_pkg::E_WIDTH-1:0] s_axis_tdata,
    input logic s_axis_tlast,
    output logic m_axis_tvalid,
    input logic m_axis_tready,
    output logic [bitlog2_pkg::S_WIDTH-1:0] m_axis_tdata
);
  logic [bitlog2_pkg::S_WIDTH-1:0] sum;
  logic [31:0] rows;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  always_ff @(posedge clk)
    if (!rst_n) begin
      m_axis_tvalid <= 0;
      m_axis_tdata <= 0;
      sum <= 0;
      rows <= 0;
    end else begin
      if (m_axis_tready) m_axis_tvalid <= 0;
      if (s_axis_tvalid && s_axis_tready) begin
        sum <= s_axis_tlast ? 0 : sum + s_axis_tdata;
        if (s_axis_tlast) begin
          rows <= rows + 1;
          m_axis_tdata <= sum + s_axis_tdata;
          m_axis_tvalid <= 1;
        end
      end
    end
endmodule
"""

#: The same without back-pressure: it always takes a beat, and its outputs are always taken.
NEVER_STALLED = re.sub(r" *(in|out)put logic [sm]_axis_tready,\n", "", ROW_SUM).replace(
    "  assign s_axis_tready",
    "  wire m_axis_tready = 1;\n  wire s_axis_tready;\n  assign s_axis_tready",
)

#: What is put in the place of what, to make a device that is wrong.
DEFECTS: dict[str, tuple[str, str]] = {
    "silent": ("m_axis_tvalid <= 1;", "m_axis_tvalid <= 0;"),
    "short": ("m_axis_tvalid <= 1;", "m_axis_tvalid <= rows < 5;"),
    "too_many": (
        "if (m_axis_tready) m_axis_tvalid <= 0;",
        "if (m_axis_tready && rows < 12) m_axis_tvalid <= 0;",
    ),
    "endless": ("m_axis_tvalid <= 0;", "m_axis_tvalid <= 1;"),
    "hang": ("!m_axis_tvalid || m_axis_tready;", "(!m_axis_tvalid || m_axis_tready) && rows < 3;"),
    "wrong": ("m_axis_tdata <= sum + s_axis_tdata;", "m_axis_tdata <= sum + s_axis_tdata + 1;"),
    "unstable": (
        "if (m_axis_tready) m_axis_tvalid <= 0;",
        "if (m_axis_tready) m_axis_tvalid <= 0; else m_axis_tdata <= m_axis_tdata + 1;",
    ),
    "withdrawn": ("if (m_axis_tready) m_axis_tvalid <= 0;", "m_axis_tvalid <= 0;"),
    "unframed": ("sum <= s_axis_tlast ? 0 :", "sum <= "),
    "no_valid": ("if (s_axis_tvalid && s_axis_tready)", "if (s_axis_tready)"),
    "unknown": ("m_axis_tdata <= sum + s_axis_tdata;", "m_axis_tdata <= 'x;"),
    "spin": ("always_ff", "initial forever #0;\n  always_ff"),
    "no_last": ("    input logic s_axis_tlast,\n", "    input logic other,\n"),
    "narrow": ("[bitlog2_pkg::S_WIDTH-1:0] m_axis", "[bitlog2_pkg::S_WIDTH-2:0] m_axis"),
    "syntax": ("endmodule", "endmodul"),
    "unreset": ("      sum <= 0;\n", ""),
    "error": ("rows <= rows + 1;", 'rows <= rows + 1; $error("row taken");'),
}


def write_device(folder: Path, defect: str | None = None) -> Path:
    """Write the row sum with that defect; return its file."""
    text = ROW_SUM
    if defect is not None:
        old, new = DEFECTS[defect]
        assert old in text, defect
        text = text.replace(old, new)
        if defect == "no_last":
            text = text.replace("s_axis_tlast", "other")
    path = folder / f"my_sum_{defect or 'right'}.sv"
    path.write_text(text)
    return path


#: exp2 with a register in front and a stream around it: what a pipelined device looks like.
PIPELINED = """\
module my_exp2 (
    input logic clk,
    input logic rst_n,
    input logic s_axis_tvalid,
    output logic s_axis_tready,
    input logic [bitlog2_pkg::D_WIDTH:0] s_axis_tdata,
    output logic m_axis_tvalid,
    input logic m_axis_tready,
    output logic [bitlog2_pkg::E_WIDTH-1:0] m_axis_tdata
);
  logic [bitlog2_pkg::D_WIDTH:0] held;
  assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
  exp2 table_and_shift (
      .mask(held[bitlog2_pkg::D_WIDTH]),
      .d(held[bitlog2_pkg::D_WIDTH-1:0]),
      .e(m_axis_tdata)
  );
  always_ff @(posedge clk)
    if (!rst_n) m_axis_tvalid <= 0;
    else if (s_axis_tready) begin
      m_axis_tvalid <= s_axis_tvalid;
      held <= s_axis_tdata;
    end
endmodule
"""
