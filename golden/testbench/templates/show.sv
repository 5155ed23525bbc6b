  task @name@(
      input [@high@:0] wanted, input [@high@:0] actual, input [@high@:0] checked,
      input integer row, input integer key
  );
    integer lane;
    begin
      differs(row);
@fields@
    end
  endtask
