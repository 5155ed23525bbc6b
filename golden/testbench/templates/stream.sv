  localparam integer DRAIN = 100;  // cycles after the last word, in which no more may come
  localparam integer ABORTS = 8;  // starts that a reset breaks off, before the whole run

  reg clk, rst_n;
  integer cycle, quiet, stall, seed, idle, turn, start, limit, drained;
  reg finished;

  initial begin
    clk   = 1'b0;
    rst_n = 1'b0;
    start = 0;
  end
  always #5 clk = !clk;

  // The same numbers in every simulator.
  function [31:0] random_after(input [31:0] state);
    reg [31:0] x;
    begin
      x = state ^ (state << 13);
      x = x ^ (x >> 17);
      random_after = x ^ (x << 5);
    end
  endfunction

  // Of 256 cycles, how many a stream pauses; drawn again every 64 cycles.
  function [7:0] pauses(input [31:0] random);
    begin
      if (stall >= 0) pauses = (stall * 256) / 100;
      else
        case (random[10:8])
          3'd0, 3'd1, 3'd2: pauses = 8'd0;
          3'd3: pauses = 8'd32;
          3'd4: pauses = 8'd96;
          3'd5: pauses = 8'd160;
          3'd6: pauses = 8'd208;
          default: pauses = 8'd240;
        endcase
    end
  endfunction

@opened@

@streams@

@opening@

  `DUT
@override@
      dut (
      .clk(clk),
      .rst_n(rst_n),
@pins@
`ifdef MUTANTS
      .mutsel(mutsel),
`endif
@last_pin@
  );

  wire moved = @moved@;
  wire complete = @complete@;

  always @(posedge clk) begin
    cycle <= rst_n ? cycle + 1 : 0;
    quiet <= rst_n && !moved ? quiet + 1 : 0;
  end

  task reset;
    begin
      @(negedge clk) rst_n = 1'b0;
      repeat (4) @(negedge clk);
      rst_n = 1'b1;
    end
  endtask

  // Runs until everything was given and taken, or `cycles` are over, or nothing moves any more.
  task run(input integer cycles);
    begin
      reset;
      finished = 1'b0;
      drained  = 0;
      while (!finished) begin
        @(posedge clk);
        drained = complete ? drained + 1 : 0;
        finished = drained > DRAIN || cycle >= cycles || (stop && errors != 0);
        if (!finished && quiet > idle) begin
          finished = 1'b1;
          if (counted()) $display("  @module@: no transfer for %0d cycles, time %0d", idle, $time);
        end
      end
    end
  endtask

  initial begin
    read_plusargs;
    if (!$value$plusargs("seed=%d", seed)) seed = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = -1;
    if (!$value$plusargs("idle=%d", idle)) idle = @idle@;
    if (stall > 99) begin
      $display("FAIL @module@: +stall must be at most 99, got %0d", stall);
      $fatal(0);
    end
    read_vectors;
    limit = (seed ^ 32'h2545f491) | 1;
    for (turn = 0; turn < mutants; turn = turn + 1) begin
      mutsel = mutant + turn;
      errors = 0;
      for (start = 0; start < ABORTS && !(stop && errors != 0); start = start + 1) begin
        limit = random_after(limit);
        run({25'd0, limit[14:8]});
      end
      if (!(stop && errors != 0)) run(32'h7fffffff);
      compared = @compared@;
      report;
    end
    $finish(0);
  end
