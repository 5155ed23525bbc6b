// Holds each result against its prediction, in order.
class row_scoreboard;
  mailbox #(result_item) expected;
  mailbox #(result_item) actual;
  int rows = 0;
  int mismatches = 0;

  function new(mailbox#(result_item) expected, mailbox#(result_item) actual);
    this.expected = expected;
    this.actual = actual;
  endfunction

  task run();
    result_item wanted, found;
    string text;
    forever begin
      actual.get(found);
      expected.get(wanted);
      text = wanted.difference(found);
      if (text != "") begin
        mismatches++;
        if (mismatches <= 5) $display("%0t: row %0d: %s", $time, rows, text);
      end
      rows++;
    end
  endtask
endclass
