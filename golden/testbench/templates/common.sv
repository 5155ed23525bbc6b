// Self-checking testbench of @module@, made with the vectors of @unit@: specification version @spec@.
//
// It drives a device with the words of @inputs@
// and compares every word of @outputs@.
// The last line is "PASS @module@: N words compared, ...", or "FAIL @module@: ..." and the exit
// status is then not 0. The page of the set's format, FORMAT.md, says how to run it.
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

  integer errors, faults, compared, cases, shown, mutant, mutants, misfits;
  integer wrong_words, wrong_cases;
  integer start, resets;  // start 0 is the whole run; the others are short, each after a reset
  integer base;  // the case from which it runs
  integer from, broken;  // the start before it: its case, and the cycles after which it ended
  reg wrong[0:stimulus_WORDS-1];  // by case
  integer begins[0:stimulus_WORDS];  // the word with which each case begins
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
      cases = 0;
      begins[0] = 0;
      for (index = 0; index < stimulus_WORDS; index = index + 1)
        if (@last@) begin
          cases = cases + 1;
          begins[cases] = index + 1;
        end
    end
  endtask

  // Counts a difference; 1 where it is to be shown.
  function counted();
    begin
      errors  = errors + 1;
      counted = errors <= shown && !(stop && errors > 1);
@after@
    end
  endfunction

  // The same for a broken rule of a stream.
  function fault();
    begin
      faults = faults + 1;
      fault  = counted();
    end
  endfunction

  // Counts a word that differs, and its case where it is the first one of it.
  task differs(input integer row);
    begin
      wrong_words = wrong_words + 1;
      if (!wrong[row]) wrong_cases = wrong_cases + 1;
      wrong[row] = 1'b1;
    end
  endtask

  task clear;
    integer index;
    begin
      {start, errors, faults, compared, wrong_words, wrong_cases} = 0;
      for (index = 0; index < stimulus_WORDS; index = index + 1) wrong[index] = 1'b0;
    end
  endtask

  task port(input string name, input integer width, input integer wanted);
    if (width != wanted) begin
      misfits = misfits + 1;
      $display("  @module@: port %0s of the device has %0d bits, must have %0d", name, width, wanted);
    end
  endtask

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
        $write("PASS @module@: %0d words compared, %0d cases", compared, cases);
@remarks@
        $display("");
      end else begin
        if (errors > shown) $display("  ... %0d more differences", errors - shown);
        $write("FAIL @module@: ");
        if (start == 0)
          $write(
              "%0d of %0d words differ, in %0d of %0d cases",
              wrong_words, WORDS, wrong_cases, cases
          );
        else
          $write(
              "%0d words differ after reset %0d of %0d, none of %0d without one",
              wrong_words, start, resets, WORDS
          );
        if (compared != WORDS) $write("; %0d words not compared", WORDS - compared);
        if (faults != 0) $write("; %0d faults of the streams", faults);
        $display("");
        $fatal(0);
      end
    end
  endtask

@body@

  // Refuses a device whose ports are not those of the contract.
  task check_ports;
    begin
      misfits = 0;
@ports@
      if (misfits != 0) begin
        $write("FAIL @module@: 0 words compared, %0d ports of the device do not fit", misfits);
@lanes@
        $display("");
        $fatal(0);
      end
    end
  endtask
endmodule
