// Reads rows and results off the pins. It knows nothing of the driver: what the predictor is given
// is what the device was given.
class row_monitor;
  virtual row_if vif;
  mailbox #(row_item) inputs;
  mailbox #(result_item) outputs;

  function new(virtual row_if vif, mailbox#(row_item) inputs, mailbox#(result_item) outputs);
    this.vif = vif;
    this.inputs = inputs;
    this.outputs = outputs;
  endfunction

  task run();
    fork
      watch_inputs();
      watch_outputs();
    join
  endtask

  task watch_inputs();
    row_item item = new;
    int values = 0;
    bit scored = 1'b0, valued = 1'b0;
    forever begin
      @(posedge vif.clk);
      if (vif.rst_n && vif.s_axis_score_tvalid && vif.s_axis_score_tready) begin
        take_scores(item);
        scored = vif.s_axis_score_tlast;
      end
      if (vif.rst_n && vif.s_axis_v_tvalid && vif.s_axis_v_tready) begin
        take_values(item, values);
        valued = vif.s_axis_v_tlast;
      end
      if (scored && valued) begin
        inputs.put(item);
        item = new;
        values = 0;
        {scored, valued} = 2'b00;
      end
    end
  endtask

  function void take_scores(row_item item);
    if (item.tokens == 0) begin
      item.m  = int'(vif.m);
      item.n  = int'(vif.n);
      item.m2 = int'(vif.m2);
      item.n2 = int'(vif.n2);
      item.zv = int'(vif.zv);
      item.zo = int'(vif.zo);
    end
    for (int lane = 0; lane < LANES; lane++) begin
      logic [KEY_WIDTH-1:0] key = vif.s_axis_score_tdata[lane*KEY_WIDTH+:KEY_WIDTH];
      if (vif.s_axis_score_tkeep[lane] && item.tokens < N_MAX) begin
        item.masked[item.tokens] = 8'(key[KEY_WIDTH-1]);
        item.score[item.tokens]  = int'($signed(key[T_WIDTH+:SCORE_WIDTH]));
        item.bias[item.tokens]   = int'($signed(key[T_WIDTH-1:0]));
        item.tokens++;
      end
    end
  endfunction

  function void take_values(row_item item, ref int values);
    for (int lane = 0; lane < LANES; lane++) begin
      if (vif.s_axis_v_tkeep[lane] && values < N_MAX) begin
        for (int c = 0; c < D; c++)
          item.v[values*D+c] = 8'(vif.s_axis_v_tdata[(lane*D+c)*V_WIDTH+:V_WIDTH]);
        values++;
      end
    end
  endfunction

  task watch_outputs();
    result_item item = new;
    forever begin
      @(posedge vif.clk);
      if (vif.rst_n && vif.tap_keys_tvalid) take_keys(item);
      if (vif.rst_n && vif.tap_rows_tvalid) take_row(item);
      if (vif.rst_n && vif.m_axis_tvalid && vif.m_axis_tready) begin
        for (int c = 0; c < D; c++) item.o[c] = 8'(vif.m_axis_tdata[c*O_WIDTH+:O_WIDTH]);
        outputs.put(item);
        item = new;
      end
    end
  endtask

  function void take_keys(result_item item);
    for (int lane = 0; lane < LANES; lane++) begin
      logic [TAP_WIDTH-1:0] key = vif.tap_keys_tdata[lane*TAP_WIDTH+:TAP_WIDTH];
      if (vif.tap_keys_tkeep[lane] && item.tokens < N_MAX) begin
        item.t[item.tokens]      = int'($signed(key[TAP_WIDTH-1-:T_WIDTH]));
        item.d[item.tokens]      = 32'(key[10+KEY_OWN_WIDTH+:D_WIDTH]);
`ifndef ROW_MAX
        item.e[item.tokens]      = 32'(key[10+:E_WIDTH]);
`endif
        item.level[item.tokens]  = 8'(key[9:5]);
        item.nibble[item.tokens] = 8'(key[4:1]);
        item.flag[item.tokens]   = 8'(key[0]);
        item.tokens++;
      end
    end
  endfunction

  function void take_row(result_item item);
    item.row_max = int'($signed(vif.tap_rows_tdata[ROW_TAP_WIDTH-1-:T_WIDTH]));
`ifdef ROW_MAX
    item.n2_row = int'(vif.tap_rows_tdata[D*ACC_WIDTH+:N2_ROW_WIDTH]);
    item.m2_row = int'(vif.tap_rows_tdata[D*ACC_WIDTH+N2_ROW_WIDTH+:M2_ROW_WIDTH]);
    item.weight_sum =
        32'(vif.tap_rows_tdata[D*ACC_WIDTH+N2_ROW_WIDTH+M2_ROW_WIDTH+:WEIGHT_SUM_WIDTH]);
`else
    item.row_sum = 64'(vif.tap_rows_tdata[D*ACC_WIDTH+:S_WIDTH]);
`endif
    for (int c = 0; c < D; c++)
      item.acc[c] = int'($signed(vif.tap_rows_tdata[c*ACC_WIDTH+:ACC_WIDTH]));
  endfunction
endclass
