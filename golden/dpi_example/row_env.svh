// Driver, monitor, predictor and scoreboard, connected by mailboxes.
class row_env;
  mailbox #(row_item) rows = new(1);
  mailbox #(row_item) inputs = new;
  mailbox #(result_item) expected = new;
  mailbox #(result_item) actual = new;
  row_driver driver;
  row_monitor monitor;
  row_predictor predictor;
  row_scoreboard scoreboard;

  function new(virtual row_if vif);
    driver = new(vif, rows);
    monitor = new(vif, inputs, actual);
    predictor = new(inputs, expected);
    scoreboard = new(expected, actual);
  endfunction

  task run();
    fork
      driver.run();
      monitor.run();
      predictor.run();
      scoreboard.run();
    join_none
  endtask
endclass
