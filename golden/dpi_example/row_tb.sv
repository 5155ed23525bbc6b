// Random rows through attention_row, held against the C model; +rows=N says how many (100).
`timescale 1ns / 1ps
module row_tb;
  import row_env_pkg::*;

  localparam int IDLE_CYCLES = 20 * bitlog2_pkg::MAX_TOKENS + 1000;

  logic clk = 1'b0;
  row_if pins (clk);
  row_env env;
  int rows = 100;

  always #5 clk = !clk;

  attention_row #(
      .LANES(row_dims_pkg::LANES)
  ) device (
      .clk(clk),
      .rst_n(pins.rst_n),
      .m(pins.m),
      .n(pins.n),
      .m2(pins.m2),
      .n2(pins.n2),
      .zv(pins.zv),
      .zo(pins.zo),
      .s_axis_score_tvalid(pins.s_axis_score_tvalid),
      .s_axis_score_tready(pins.s_axis_score_tready),
      .s_axis_score_tdata(pins.s_axis_score_tdata),
      .s_axis_score_tkeep(pins.s_axis_score_tkeep),
      .s_axis_score_tlast(pins.s_axis_score_tlast),
      .s_axis_v_tvalid(pins.s_axis_v_tvalid),
      .s_axis_v_tready(pins.s_axis_v_tready),
      .s_axis_v_tdata(pins.s_axis_v_tdata),
      .s_axis_v_tkeep(pins.s_axis_v_tkeep),
      .s_axis_v_tlast(pins.s_axis_v_tlast),
      .m_axis_tvalid(pins.m_axis_tvalid),
      .m_axis_tready(pins.m_axis_tready),
      .m_axis_tdata(pins.m_axis_tdata),
      .tap_keys_tvalid(pins.tap_keys_tvalid),
      .tap_keys_tdata(pins.tap_keys_tdata),
      .tap_keys_tkeep(pins.tap_keys_tkeep),
      .tap_keys_tlast(pins.tap_keys_tlast),
      .tap_rows_tvalid(pins.tap_rows_tvalid),
      .tap_rows_tdata(pins.tap_rows_tdata)
  );

  // Bits of an output that is too wide would be cut off without a word.
  function automatic void check_width(string name, int width, int wanted);
    if (width != wanted)
      $fatal(1, "port %s of the device has %0d bits, must have %0d", name, width, wanted);
  endfunction

  // Rows that came out, or fewer if the device gave none for IDLE_CYCLES.
  task automatic wait_for_rows();
    int seen = 0;
    int idle = 0;
    while (env.scoreboard.rows < rows && idle < IDLE_CYCLES) begin
      @(posedge clk);
      idle = env.scoreboard.rows == seen ? idle + 1 : 0;
      seen = env.scoreboard.rows;
    end
  endtask

  task automatic send_rows();
    row_item item;
    repeat (rows) begin
      item = new;
      item.fill();
      env.rows.put(item);
    end
  endtask

  initial begin
    if ($value$plusargs("rows=%d", rows)) $display("%0d rows", rows);
    check_width("m_axis_tdata", $bits(device.m_axis_tdata), $bits(pins.m_axis_tdata));
    check_width("tap_keys_tdata", $bits(device.tap_keys_tdata), $bits(pins.tap_keys_tdata));
    check_width("tap_rows_tdata", $bits(device.tap_rows_tdata), $bits(pins.tap_rows_tdata));
    env = new(pins);
    repeat (3) @(posedge clk);
    pins.rst_n <= 1'b1;
    @(posedge clk);
    env.run();
    fork
      send_rows();
    join_none
    wait_for_rows();
    env.predictor.close();
    if (env.scoreboard.rows < rows)
      $display("FAIL %0d of %0d rows came out", env.scoreboard.rows, rows);
    else if (env.scoreboard.mismatches > 0)
      $display("FAIL %0d of %0d rows differ", env.scoreboard.mismatches, rows);
    else $display("PASS %0d rows", rows);
    if (env.scoreboard.rows < rows || env.scoreboard.mismatches > 0) $fatal(1, "row_tb failed");
    $finish;
  end
endmodule
