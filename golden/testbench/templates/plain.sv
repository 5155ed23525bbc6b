@ports@

  `DUT dut (
@pins@
`ifdef MUTANTS
      .mutsel(mutsel),
`endif
@last_pin@
  );

@show@

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
      while (word < @stream@_WORDS && !(stop && errors != 0)) begin
        given = stimulus[word][@given@:0];
        #1;
        care = ~@zero@;
        if (((expected[word][@high@:0] ^ found) & care) !== @zero@) show(expected[word][@high@:0], found, care, row, key);
        @step@
        word = word + 1;
      end
      compared = word;
      report;
    end
    $finish(0);
  end
