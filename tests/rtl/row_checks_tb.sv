// Drives row_checks through a row of three keys, the second masked, with the fault that
// +fault=NAME asks for; +sixteen drives the checks of a scheme of 16 levels instead, +by_distance
// those of a scheme whose level is read from the distance.
`timescale 1ns / 1ps
module row_checks_tb;
  reg clk = 1'b0;
  reg rst_n = 1'b0;
  reg score_taken = 1'b0;
  reg [1:0] score_mask = 2'b00;
  reg [1:0] score_tkeep = 2'b11;
  reg score_tlast = 1'b0;
  reg shown = 1'b0;
  reg [1:0] keys_tkeep = 2'b11;
  reg keys_tlast = 1'b0;
  reg [109:0] keys_tdata = 110'd0;
  reg summed = 1'b0;
  reg [74:0] rows_tdata = 75'd0;
  reg [8*16-1:0] fault = "none";
  reg sixteen = 1'b0;
  reg by_distance = 1'b0;
  wire [75:0] distance_keys = {keys_tdata[109:82], keys_tdata[64:55], keys_tdata[54:27],
                               keys_tdata[9:0]};  // without e
  reg [86:0] distance_rows = 87'd0;

  row_checks #(
    .LANES(2), .CHANNELS(2), .MAX_TOKENS(4), .TABLE_BITS(16), .DISTANCE_MAX(1000), .TOP_LEVEL(16),
    .ZERO_FLAG(1), .V_BITS(4), .INT_MAX(384), .T_WIDTH(18), .D_WIDTH(10), .E_WIDTH(17),
    .ROW_SUM_WIDTH(27), .ACC_WIDTH(15)
  ) seventeen_levels (
    .keys_tvalid(shown && !sixteen && !by_distance), .rows_tvalid(summed && !sixteen && !by_distance),
    .*
  );
  row_checks #(
    .LANES(2), .CHANNELS(2), .MAX_TOKENS(4), .TABLE_BITS(16), .DISTANCE_MAX(1000), .TOP_LEVEL(15),
    .ZERO_FLAG(0), .V_BITS(4), .INT_MAX(256), .T_WIDTH(18), .D_WIDTH(10), .E_WIDTH(17),
    .ROW_SUM_WIDTH(27), .ACC_WIDTH(15)
  ) sixteen_levels (
    .keys_tvalid(shown && sixteen), .rows_tvalid(summed && sixteen), .*
  );
  row_checks #(
    .LANES(2), .CHANNELS(2), .MAX_TOKENS(4), .DISTANCE_MAX(1000), .ROW_MAX(1), .OCTAVE_LEVELS(7),
    .TOP_LEVEL(15), .ZERO_FLAG(0), .V_BITS(4), .INT_MAX(1024), .T_WIDTH(18), .D_WIDTH(10),
    .WEIGHT_SUM_WIDTH(13), .M2_WIDTH(16), .N2_WIDTH(6), .ACC_WIDTH(17)
  ) levels_by_distance (
    .keys_tvalid(shown && by_distance), .rows_tvalid(summed && by_distance),
    .keys_tdata(distance_keys), .rows_tdata(distance_rows), .*
  );

  always #5 clk = !clk;

  // ---- what a fault changes ----
  wire [9:0] d = fault == "d" ? 10'd1001 : 10'd1000;
  wire [16:0] top = fault == "e" ? 17'd65537 : fault == "sum" ? 17'd1 : 17'd65536;
  wire [9:0] masked_d = fault == "unasked" ? 10'd1000 : 10'd1001;
  wire [16:0] masked = fault == "masked" ? 17'd1 : 17'd0;
  wire [4:0] largest = sixteen || by_distance ? 5'd15 : 5'd16;
  wire [4:0] level = fault == "values" ? 5'd14 : largest + (fault == "level" ? 5'd1 : 5'd0);
  wire [3:0] nibble = fault == "nibble" ? 4'd3 : fault == "values" ? 4'd14 : 4'd15;
  wire [4:0] masked_level = fault == "masked_level" ? 5'd1 : 5'd0;
  wire none = !sixteen && !by_distance;  // a zero has a flag
  wire [4:0] zero = fault == "flag" ? {4'd1, 1'b1} :
      {masked_level[3:0], fault == "flag_16" || none};
  wire [17:0] t = fault == "t" ? {18{1'bx}} : 18'd5;
  wire [17:0] row_max = fault == "row_max" ? {18{1'bx}} : 18'd5;
  wire [26:0] row_sum = fault == "s_low" ? 27'd65535 : fault == "s_high" ? 27'd262145 : 27'd65536;
  wire signed [14:0] bound = sixteen ? 15'sd3840 : 15'sd5760;
  wire signed [14:0] high = fault == "acc_high" ? bound + 15'sd1 : bound;
  wire signed [14:0] low = fault == "acc_low" ? -bound - 15'sd1 : -bound;
  wire [12:0] weight_sum = fault == "w_low" ? 13'd1023 : fault == "w_high" ? 13'd4097 : 13'd4096;
  wire [15:0] m2_row = fault == "m2" ? 16'd0 : 16'd1;
  wire [5:0] n2_row = fault == "n2" ? 6'd37 : 6'd36;
  wire signed [16:0] wide_high = fault == "acc_high" ? 17'sd61441 : 17'sd61440;
  wire signed [16:0] wide_low = fault == "acc_low" ? -17'sd61441 : -17'sd61440;

  task automatic scores(input [1:0] mask, input [1:0] keep, input last);
    score_taken <= 1'b1;
    score_mask  <= mask;
    score_tkeep <= keep;
    score_tlast <= last;
    @(posedge clk);
    score_taken <= 1'b0;
  endtask

  task automatic keys(input [54:0] upper, input [54:0] lower, input [1:0] keep, input last);
    shown      <= fault == "unknown" ? 1'bx : 1'b1;
    keys_tkeep <= keep;
    keys_tlast <= last;
    keys_tdata <= {upper, lower};
    @(posedge clk);
    shown <= 1'b0;
  endtask

  task automatic row;
    if (fault != "unasked") begin
      scores(2'b10, 2'b11, 1'b0);
      repeat (fault == "ahead" ? 26 : 0) scores(2'b00, 2'b11, 1'b0);
      repeat (fault == "long" ? 1 : 0) scores(2'b00, 2'b11, 1'b0);
      scores(2'b00, 2'b01, 1'b1);
    end
    keys({18'd9, masked_d, masked, masked_level, zero}, {t, 10'd0, top, level, nibble, 1'b0}, 2'b11, 1'b0);
    repeat (fault == "long" ? 1 : 0) keys(55'h01, 55'h01, 2'b11, 1'b0);
    keys(55'd0, {18'd5, d, 17'd0, 5'd0, 4'd0, none}, 2'b01, fault != "framing");
  endtask

  initial if ($test$plusargs("row_checks") != 0) begin
    if ($value$plusargs("fault=%s", fault)) $display("fault %0s", fault);
    sixteen = $test$plusargs("sixteen") != 0;
    by_distance = $test$plusargs("by_distance") != 0;
    repeat (3) @(posedge clk);
    rst_n <= 1'b1;
    @(posedge clk);
    row();
    row();
    rows_tdata <= {row_max, row_sum, high, low};
    distance_rows <= {row_max, weight_sum, m2_row, n2_row, wide_high, wide_low};
    summed     <= fault == "unknown_row" ? 1'bx : 1'b1;
    @(posedge clk);
    summed <= 1'b0;
    @(posedge clk);
    $display("DONE");
    $finish;
  end
endmodule
