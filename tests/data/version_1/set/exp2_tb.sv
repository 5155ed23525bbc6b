// Self-checking testbench of exp2, made with the vectors of exp2: specification version 1.
//
// It drives a device with the words of exp2.stimulus.mem
// and compares every word of exp2.expected.mem.
// The last line is "PASS exp2: N words compared, ...", or "FAIL exp2: ..." and the exit
// status is then not 0. The page of the set's format, FORMAT.md, says how to run it.
//
// Macros:   DUT        name of the device's module (exp2)
//           MUTANTS    the device has one more input, mutsel[31:0]
// Plusargs: +dir=PATH  where the .mem files lie (.)
//           +stop      stop at the first difference; without it the first ten are shown, then counted
//           +mutant=N +mutants=COUNT  drive mutsel with N, then N + 1, ...: a line for each
`timescale 1ns / 1ps
`ifndef DUT
`define DUT exp2
`endif

module exp2_tb;
  localparam integer stimulus_WORDS = 2148;
  localparam integer expected_WORDS = 2148;
  localparam integer WORDS = expected_WORDS;

  // One bit wider than the words: the bit stays 1 where the file has no word.
  reg [11:0] stimulus[0:stimulus_WORDS-1];
  reg [17:0] expected[0:expected_WORDS-1];

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
      for (index = 0; index < stimulus_WORDS; index = index + 1) stimulus[index] = {1'b1, 11'd0};
      $readmemh({dir, "/exp2.stimulus.mem"}, stimulus, 0, stimulus_WORDS - 1);
      for (index = 0; index < stimulus_WORDS; index = index + 1)
        if (stimulus[index][11] !== 1'b0) missing = missing + 1;
      for (index = 0; index < expected_WORDS; index = index + 1) expected[index] = {1'b1, 17'd0};
      $readmemh({dir, "/exp2.expected.mem"}, expected, 0, expected_WORDS - 1);
      for (index = 0; index < expected_WORDS; index = index + 1)
        if (expected[index][17] !== 1'b0) missing = missing + 1;
      if (missing != 0) begin
        $display("FAIL exp2: 0 words compared, %0d words of the vector files are missing", missing);
        $fatal(0);
      end
      cases = 0;
      begins[0] = 0;
      for (index = 0; index < stimulus_WORDS; index = index + 1)
        if (1'b1) begin
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
      $display("  exp2: port %0s of the device has %0d bits, must have %0d", name, width, wanted);
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
        $write("PASS exp2: %0d words compared, %0d cases", compared, cases);
        $display("");
      end else begin
        if (errors > shown) $display("  ... %0d more differences", errors - shown);
        $write("FAIL exp2: ");
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

  reg [10:0] given;
  wire [16:0] found;
  reg [16:0] care;

  `DUT dut (
      .mask(given[10:10]),
      .d(given[9:0]),
`ifdef MUTANTS
      .mutsel(mutsel),
`endif
      .e(found[16:0])
  );

  task show(
      input [16:0] wanted, input [16:0] actual, input [16:0] checked,
      input integer row, input integer key
  );
    integer lane;
    begin
      differs(row);
      for (lane = 0; lane < 1; lane = lane + 1)
        if (((wanted[lane*17+0+:17] ^ actual[lane*17+0+:17]) & checked[lane*17+0+:17]) !== 17'd0)
          if (counted())
            $display("  exp2.expected case %0d e: expected 0x%h, actual 0x%h, time %0d", row, wanted[lane*17+0+:17], actual[lane*17+0+:17], $time);
    end
  endtask

  integer word, row, key, turn;

  initial begin
    read_plusargs;
    check_ports;
    read_vectors;
    for (turn = 0; turn < mutants; turn = turn + 1) begin
      mutsel = mutant + turn;
      clear;
      row = 0;
      key = 0;
      word = 0;
      while (word < stimulus_WORDS && !(stop && errors != 0)) begin
        given = stimulus[word][10:0];
        #1;
        care = ~{17{1'b0}};
        if (((expected[word][16:0] ^ found) & care) !== {17{1'b0}}) show(expected[word][16:0], found, care, row, key);
        row = row + 1;
        word = word + 1;
      end
      compared = word;
      report;
    end
    $finish(0);
  end

  // Refuses a device whose ports are not those of the contract.
  task check_ports;
    begin
      misfits = 0;
      port("mask", $bits(dut.mask), 1);
      port("d", $bits(dut.d), 10);
      port("e", $bits(dut.e), 17);
      if (misfits != 0) begin
        $write("FAIL exp2: 0 words compared, %0d ports of the device do not fit", misfits);
        $display("");
        $fatal(0);
      end
    end
  endtask
endmodule
