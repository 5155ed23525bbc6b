// The alternatives of golden/assurance/cost/sv: equal to what they stand beside, or their outputs in files.
`timescale 1ns / 1ps

// Comparing form, dividing form and restoring array of the log2 quantizer, on every e and s of a small width and on random ones.
module quantizers_tb #(
    parameter integer S_WIDTH = 27,
    parameter integer E_WIDTH = 17,
    parameter integer TABLE_BITS = 16,
    parameter integer INT_MAX = 384,
    parameter integer ODD_FACTOR = 3,
    parameter integer BASE_SHIFT = 7,
    parameter integer HALF = 1,
    parameter integer TOP_LEVEL = 16,
    parameter integer ZERO_FLAG = 1
);
  localparam integer ONE = 1 << TABLE_BITS;
  logic [S_WIDTH-1:0] s;
  logic [E_WIDTH-1:0] e;
  logic [4:0] comparing, dividing, restoring;
  logic [3:0] nibble, other_nibble, third_nibble;
  logic flag, other_flag, third_flag;
  integer cases, wrong, high;

  log2_quantizer #(
      .S_WIDTH(S_WIDTH), .E_WIDTH(E_WIDTH), .COMPARE_WIDTH(S_WIDTH + 1), .ODD_FACTOR(ODD_FACTOR),
      .BASE_SHIFT(BASE_SHIFT), .HALF(HALF), .TOP_LEVEL(TOP_LEVEL), .ZERO_FLAG(ZERO_FLAG)
  ) compare (.s(s), .e(e), .level(comparing), .nibble(nibble), .flag(flag));
  log2_quantizer_divide #(
      .S_WIDTH(S_WIDTH), .E_WIDTH(E_WIDTH), .INT_MAX(INT_MAX), .HALF(HALF), .ZERO_FLAG(ZERO_FLAG)
  ) divide (.s(s), .e(e), .level(dividing), .nibble(other_nibble), .flag(other_flag));

  log2_quantizer_restoring #(
      .S_WIDTH(S_WIDTH), .E_WIDTH(E_WIDTH), .INT_MAX(INT_MAX), .ODD_FACTOR(ODD_FACTOR),
      .BASE_SHIFT(BASE_SHIFT), .HALF(HALF), .ZERO_FLAG(ZERO_FLAG)
  ) restore (.s(s), .e(e), .level(restoring), .nibble(third_nibble), .flag(third_flag));

  task automatic check;
    #1;
    cases++;
    if (comparing != dividing || nibble != other_nibble || flag != other_flag) wrong++;
    else if (comparing != restoring || nibble != third_nibble || flag != third_flag) wrong++;
  endtask

  task automatic run;
    cases = 0;
    wrong = 0;
    high = 1 << (S_WIDTH - 1);
    if (S_WIDTH < 12) begin
      for (int i = ONE; i <= high; i++) begin
        for (int j = 0; j <= ONE; j++) begin
          s = S_WIDTH'(i);
          e = E_WIDTH'(j);
          check();
        end
      end
    end else begin
      for (int i = 0; i < 20000; i++) begin
        s = S_WIDTH'(ONE + ($urandom() % ((high - ONE) >> (i % 11))));
        e = E_WIDTH'($urandom() % ((ONE >> (i % 17)) + 1));
        check();
      end
    end
    $display("quantizers A=%0d S_WIDTH=%0d: %0d cases, %0d wrong", INT_MAX, S_WIDTH, cases, wrong);
  endtask
endmodule

// The lane with a multiplier and the shift-and-add lane, on every code, value and zero point.
module lanes_tb #(
    parameter integer ACC_WIDTH = 14,
    parameter integer HALF = 1,
    parameter integer ZERO_FLAG = 1
);
  logic [3:0] nibble, v, zv;
  logic flag;
  logic signed [ACC_WIDTH-1:0] shifted, multiplied, uniform_term;
  integer cases, wrong;

  shift_add_lane #(.V_WIDTH(4), .ACC_WIDTH(ACC_WIDTH), .HALF(HALF), .ZERO_FLAG(ZERO_FLAG))
  shift_add (.clk(1'b0), .advance(1'b0), .nibble(nibble), .flag(flag), .v(v), .zv(zv), .term(shifted));
  value_multiply_lane #(.V_WIDTH(4), .ACC_WIDTH(ACC_WIDTH), .HALF(HALF), .ZERO_FLAG(ZERO_FLAG))
  multiply (.nibble(nibble), .flag(flag), .v(v), .zv(zv), .term(multiplied));
  code_multiply_lane #(.V_WIDTH(4), .ACC_WIDTH(ACC_WIDTH))
  uniform_code (.code(nibble), .v(v), .zv(zv), .term(uniform_term));

  task automatic run;
    cases = 0;
    wrong = 0;
    for (int code = 0; code < 16 + ZERO_FLAG; code++) begin
      for (int pair = 0; pair < 256; pair++) begin
        {nibble, flag} = (code == 16) ? 5'b00001 : {4'(code), 1'b0};
        {v, zv} = 8'(pair);
        #1;
        cases++;
        if (shifted != multiplied) wrong++;
        if (int'(uniform_term) != int'(nibble) * (int'(v) - int'(zv))) wrong++;
      end
    end
    $display("lanes HALF=%0d ZERO_FLAG=%0d: %0d cases, %0d wrong", HALF, ZERO_FLAG, cases, wrong);
  endtask
endmodule

// The accumulator of the online form: where rise is r, the floor of the sum over 2^r, then the term.
module online_tb;
  logic clk = 0, take, first, flag;
  logic [3:0] nibble, v, zv, rise;
  logic signed [13:0] acc, term;
  integer cases, wrong, expected, power;

  online_accumulator #(.RISE_WIDTH(4)) online (
      .clk(clk), .take(take), .first(first), .nibble(nibble), .flag(flag), .v(v), .zv(zv),
      .rise(rise), .acc(acc));
  shift_add_lane lane (.clk(1'b0), .advance(1'b0), .nibble(nibble), .flag(flag), .v(v), .zv(zv),
      .term(term));

  task automatic run;
    cases = 0;
    wrong = 0;
    expected = 0;
    for (int i = 0; i < 5000; i++) begin
      {nibble, v, zv, rise} = 16'($urandom());
      if (i % 3 != 0) rise = '0;
      flag = nibble == 0 && i[0];
      take = i % 7 != 6;
      first = i % 20 == 0;
      #1;
      power = 1 << rise;
      if (take) begin
        if (first) expected = 0;
        else expected = (expected - ((expected % power + power) % power)) / power;
        expected = expected + 32'(term);
      end
      clk = 1;
      #1;
      clk = 0;
      cases++;
      if (32'(acc) != expected) wrong++;
    end
    $display("online: %0d cases, %0d wrong", cases, wrong);
  endtask
endmodule

module cost_tb;
  localparam integer WORDS = `FLOAT_WORDS;
  logic [61:0] pairs[0:WORDS-1];
  logic [30:0] a, b, product, quotient;
  logic [4:0] level;
  logic [3:0] nibble;
  logic flag, mask;
  logic [9:0] d;
  logic [16:0] e;
  integer file;

  exp2_linear linear (.mask(mask), .d(d), .e(e));
  float32_multiply multiply (.a(a), .b(b), .y(product));
  float32_divide divide (.a(a), .b(b), .y(quotient));
  float32_log2_quantizer quantizer (.e(a), .s(b), .level(level), .nibble(nibble), .flag(flag));

  quantizers_tb #(.INT_MAX(32768), .ODD_FACTOR(1), .BASE_SHIFT(15), .HALF(0), .TOP_LEVEL(15),
                  .ZERO_FLAG(0)) single_16 ();
  quantizers_tb #(.INT_MAX(65536), .ODD_FACTOR(1), .BASE_SHIFT(16), .HALF(0)) single_17 ();
  quantizers_tb #(.INT_MAX(256), .ODD_FACTOR(1), .BASE_SHIFT(8), .TOP_LEVEL(15),
                  .ZERO_FLAG(0)) half_16 ();
  quantizers_tb half_17 ();
  quantizers_tb #(.S_WIDTH(9), .E_WIDTH(7), .TABLE_BITS(6), .INT_MAX(32768), .ODD_FACTOR(1),
                  .BASE_SHIFT(15), .HALF(0), .TOP_LEVEL(15), .ZERO_FLAG(0)) small_single_16 ();
  quantizers_tb #(.S_WIDTH(9), .E_WIDTH(7), .TABLE_BITS(6), .INT_MAX(65536), .ODD_FACTOR(1),
                  .BASE_SHIFT(16), .HALF(0)) small_single_17 ();
  quantizers_tb #(.S_WIDTH(9), .E_WIDTH(7), .TABLE_BITS(6), .INT_MAX(256), .ODD_FACTOR(1),
                  .BASE_SHIFT(8), .TOP_LEVEL(15), .ZERO_FLAG(0)) small_half_16 ();
  quantizers_tb #(.S_WIDTH(9), .E_WIDTH(7), .TABLE_BITS(6)) small_half_17 ();

  lanes_tb #(.ACC_WIDTH(20), .HALF(0), .ZERO_FLAG(0)) lane_single_16 ();
  lanes_tb #(.ACC_WIDTH(21), .HALF(0)) lane_single_17 ();
  lanes_tb #(.ACC_WIDTH(13), .ZERO_FLAG(0)) lane_half_16 ();
  lanes_tb lane_half_17 ();
  online_tb online ();

  initial begin
    single_16.run();
    single_17.run();
    half_16.run();
    half_17.run();
    small_single_16.run();
    small_single_17.run();
    small_half_16.run();
    small_half_17.run();
    lane_single_16.run();
    lane_single_17.run();
    lane_half_16.run();
    lane_half_17.run();
    online.run();
    file = $fopen("linear.mem", "w");
    for (int i = 0; i < 2048; i++) begin
      {mask, d} = 11'(i);
      #1;
      $fdisplay(file, "%h", e);
    end
    $fclose(file);
    $readmemh("pairs.mem", pairs);
    file = $fopen("floats.mem", "w");
    for (int i = 0; i < WORDS; i++) begin
      {a, b} = pairs[i];
      #1;
      $fdisplay(file, "%h %h %h %h %h", product, quotient, level, nibble, flag);
    end
    $fclose(file);
    $finish;
  end
endmodule
