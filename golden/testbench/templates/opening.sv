  always @(posedge clk)
    if (!rst_n) opened <= base;
    else if (opened < params_WORDS && (opened == @completed@ || params[opened][@high@:0] == layer)) begin
      layer  <= params[opened][@high@:0];
      opened <= opened + 1;
    end
