// Both benches of the checkers in one program: +axis_checks or +row_checks says which one runs.
`timescale 1ns / 1ps
module checks_tb;
  axis_checks_tb axis ();
  row_checks_tb row ();
endmodule
