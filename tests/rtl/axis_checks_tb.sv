// Drives axis_checks through two beats of a stream, with the fault that +fault=NAME asks for.
`timescale 1ns / 1ps
module axis_checks_tb;
  reg clk = 1'b0;
  reg rst_n = 1'b0;
  reg tvalid = 1'b0;
  reg tready = 1'b0;
  reg [7:0] tdata = 8'h00;
  reg [2:0] tkeep = 3'b111;
  reg tlast = 1'b0;
  reg [8*16-1:0] fault = "none";

  axis_checks #(
    .WIDTH(8),
    .LANES(3)
  ) checks (.*);

  always #5 clk = !clk;

  task automatic beat(input [7:0] data, input [2:0] keep, input last);
    tvalid <= fault == "unknown" ? 1'bx : 1'b1;
    tdata  <= data;
    tkeep  <= fault == "hole" ? 3'b101 : fault == "no_lane" ? 3'b000 : keep;
    tlast  <= last;
    @(posedge clk);
    if (fault == "drop") tvalid <= 1'b0;
    if (fault == "data") tdata <= data + 8'd1;
    if (fault == "keep") tkeep <= 3'b001;
    if (fault == "last") tlast <= !last;
    @(posedge clk);
    tready <= 1'b1;
    @(posedge clk);
    tvalid <= 1'b0;
    tready <= 1'b0;
  endtask

  initial if ($test$plusargs("axis_checks") != 0) begin
    if ($value$plusargs("fault=%s", fault)) $display("fault %0s", fault);
    if (fault == "reset") tvalid <= 1'b1;
    repeat (3) @(posedge clk);
    tvalid <= 1'b0;
    @(posedge clk);
    rst_n <= 1'b1;
    @(posedge clk);
    beat(8'h12, fault == "early" ? 3'b011 : 3'b111, 1'b0);
    beat(8'h34, 3'b011, 1'b1);
    @(posedge clk);
    $display("DONE");
    $finish;
  end
endmodule
