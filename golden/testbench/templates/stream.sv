  localparam integer DRAIN = 100;  // cycles after the last word, in which no more may come
  localparam integer SPAN = @span@;  // cycles of the longest run that a reset breaks off

  reg clk, rst_n;
  integer cycle, quiet, stall, seed, idle, turn, draw, limit, drained;
  reg finished;

  initial begin
    clk   = 1'b0;
    rst_n = 1'b0;
    base  = 0;
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

  // Runs from a row on until all was given and taken, `cycles` are over or nothing moves any more.
  task run(input integer row, input integer cycles);
    begin
      base  = row;
      rst_n = 1'b0;
      repeat (4) @(negedge clk);
      rst_n = 1'b1;
      finished = 1'b0;
      drained  = 0;
      while (!finished) begin
        @(posedge clk);
        drained = complete ? drained + 1 : 0;
        finished = drained > DRAIN || cycle >= cycles || (stop && errors != 0);
        if (!finished && quiet > idle) begin
          finished = 1'b1;
          if (fault()) $display("  @module@: no transfer for %0d cycles, time %0d", idle, $time);
        end
      end
      @(negedge clk);
    end
  endtask

  initial begin
    read_plusargs;
    if (!$value$plusargs("seed=%d", seed)) seed = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = -1;
    if (!$value$plusargs("idle=%d", idle)) idle = @idle@;
    if (!$value$plusargs("resets=%d", resets)) resets = 64;
    if (stall > 99) begin
      $display("FAIL @module@: +stall must be at most 99, got %0d", stall);
      $fatal(0);
    end
    check_ports;
    read_vectors;
    draw = (seed ^ 32'h2545f491) | 1;
    for (turn = 0; turn < mutants; turn = turn + 1) begin
      mutsel = mutant + turn;
      clear;
      @(negedge clk) run(0, 32'h7fffffff);
      compared = @compared@;
      while (errors == 0 && start < resets) begin
        {from, broken} = {base, cycle};
        start = start + 1;
        draw  = random_after(draw);
        limit = draw[30:8] % (SPAN >> draw[2:0]);
        draw  = random_after(draw);
        run(draw[30:0] % cases, limit);
      end
      report;
    end
    $finish(0);
  end
