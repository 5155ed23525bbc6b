// Drives rows into the device with random gaps; the parameters are held until the row's output is
// taken, so a row begins when the one before it is over.
class row_driver;
  virtual row_if vif;
  mailbox #(row_item) rows;
  int gap_percent = 30;

  function new(virtual row_if vif, mailbox#(row_item) rows);
    this.vif = vif;
    this.rows = rows;
  endfunction

  task run();
    row_item item;
    fork
      drive_ready();
    join_none
    forever begin
      rows.get(item);
      vif.m  <= M_WIDTH'(item.m);
      vif.n  <= N_WIDTH'(item.n);
      vif.m2 <= M2_WIDTH'(item.m2);
      vif.n2 <= N2_WIDTH'(item.n2);
      vif.zv <= V_WIDTH'(item.zv);
      vif.zo <= O_WIDTH'(item.zo);
      fork
        drive_scores(item);
        drive_values(item);
      join
      while (!(vif.m_axis_tvalid && vif.m_axis_tready)) @(posedge vif.clk);
    end
  endtask

  task drive_ready();
    forever begin
      @(posedge vif.clk);
      vif.m_axis_tready <= row_item::between(1, 100) > gap_percent;
    end
  endtask

  task gap();
    while (row_item::between(1, 100) <= gap_percent) @(posedge vif.clk);
  endtask

  // Bit i is 1 where lane i of the beat that begins at key j has a key.
  static function logic [LANES-1:0] keep(int tokens, int j);
    for (int lane = 0; lane < LANES; lane++) keep[lane] = j + lane < tokens;
  endfunction

  task drive_scores(row_item item);
    logic [LANES*KEY_WIDTH-1:0] beat;
    for (int j = 0; j < item.tokens; j += LANES) begin
      beat = '0;
      for (int lane = 0; lane < LANES && j + lane < item.tokens; lane++)
        beat[lane*KEY_WIDTH+:KEY_WIDTH] = {
          item.masked[j+lane][0], SCORE_WIDTH'(item.score[j+lane]), T_WIDTH'(item.bias[j+lane])
        };
      gap();
      vif.s_axis_score_tvalid <= 1'b1;
      vif.s_axis_score_tdata  <= beat;
      vif.s_axis_score_tkeep  <= keep(item.tokens, j);
      vif.s_axis_score_tlast  <= j + LANES >= item.tokens;
      do @(posedge vif.clk); while (!vif.s_axis_score_tready);
      vif.s_axis_score_tvalid <= 1'b0;
    end
  endtask

  task drive_values(row_item item);
    logic [LANES*D*V_WIDTH-1:0] beat;
    for (int j = 0; j < item.tokens; j += LANES) begin
      beat = '0;
      for (int i = 0; i < LANES * D && j * D + i < item.tokens * D; i++)
        beat[i*V_WIDTH+:V_WIDTH] = V_WIDTH'(item.v[j*D+i]);
      gap();
      vif.s_axis_v_tvalid <= 1'b1;
      vif.s_axis_v_tdata  <= beat;
      vif.s_axis_v_tkeep  <= keep(item.tokens, j);
      vif.s_axis_v_tlast  <= j + LANES >= item.tokens;
      do @(posedge vif.clk); while (!vif.s_axis_v_tready);
      vif.s_axis_v_tvalid <= 1'b0;
    end
  endtask
endclass
