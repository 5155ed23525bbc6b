// Self-checking testbench of @module@, made with the vectors of @unit@: specification version @spec@.
//
// It drives a device with the words of @inputs@
// and compares every word of @outputs@.
// The last line is "PASS @module@: N words compared", or "FAIL @module@: ..." and the exit status
// is then not 0. The page of the set's format, FORMAT.md, says how to run it.
//
// Macros:   DUT        name of the device's module (@module@)
@macros@
//           MUTANTS    the device has one more input, mutsel[31:0]
// Plusargs: +dir=PATH  where the .mem files lie (.)
//           +stop      stop at the first difference; without it the first ten are shown, then counted
@plusargs@
//           +mutant=N +mutants=COUNT  drive mutsel with N, then N + 1, ...: a line for each
`timescale 1ns / 1ps
`ifndef DUT
`define DUT @module@
`endif
@defines@

module @module@_tb;
@sizes@

  // One bit wider than the words: the bit stays 1 where the file has no word.
@memories@

  integer errors, compared, shown, mutant, mutants;
  reg [31:0] mutsel;
  reg many, stop;
  string dir;

  task read_plusargs;
    begin
      if (!$value$plusargs("dir=%s", dir)) dir = ".";
      if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;
      many = $value$plusargs("mutants=%d", mutants) != 0;
      if (!many) mutants = 1;
      stop = $test$plusargs("stop") != 0;
      shown = many ? 0 : 10;
    end
  endtask

  task read_vectors;
    integer index, missing;
    begin
      missing = 0;
@loads@
      if (missing != 0) begin
        $display("FAIL @module@: 0 words compared, %0d words of the vector files are missing", missing);
        $fatal(0);
      end
    end
  endtask

  // Counts a difference; 1 where it is to be shown.
  function counted();
    begin
      errors  = errors + 1;
      counted = errors <= shown && !(stop && errors > 1);
    end
  endfunction

  task report;
    begin
      if (many) begin
        if (errors == 0 && compared == WORDS)
          $display("mutant %0d: PASS, %0d words compared", mutsel, compared);
        else
          $display(
              "mutant %0d: FAIL, %0d of %0d words compared, %0d differences",
              mutsel, compared, WORDS, errors
          );
      end else if (errors == 0 && compared == WORDS) begin
        $display("PASS @module@: %0d words compared", compared);
      end else begin
        if (errors > shown) $display("  ... %0d differences", errors);
        $display(
            "FAIL @module@: %0d of %0d words compared, %0d differences", compared, WORDS, errors
        );
        $fatal(0);
      end
    end
  endtask

@body@
endmodule
