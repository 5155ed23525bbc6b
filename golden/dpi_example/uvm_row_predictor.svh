// Not compiled here: there is no UVM library among the tools of this package. The predictor of
// row_predictor.svh as a UVM component, to be included in a package after `import uvm_pkg::*` and
// the imports of row_env_pkg. row_item and result_item extend uvm_sequence_item there, with the
// usual `uvm_object_utils; the model's calls are those of the plain class, line for line.
//
//   monitor.inputs.connect(predictor.analysis_export);
//   predictor.expected.connect(scoreboard.expected);
class uvm_row_predictor extends uvm_subscriber #(row_item);
  `uvm_component_utils(uvm_row_predictor)

  uvm_analysis_port #(result_item) expected;
  chandle model;

  function new(string name, uvm_component parent);
    super.new(name, parent);
  endfunction

  virtual function void build_phase(uvm_phase phase);
    super.build_phase(phase);
    expected = new("expected", this);
    must("open", bl2_open(model, SCHEME, Q_BITS, K_BITS, V_BITS, O_BITS,
                          MAX_HEAD_DIM, MAX_TOKENS, FRACTION_BITS, TABLE_BITS, DISTANCE_INT_BITS,
                          M_BITS, MAX_N, M2_BITS, MAX_N2, T_BITS));
  endfunction

  virtual function void write(row_item t);
    result_item made = result_item::type_id::create("made");
    made.tokens = t.tokens;
    made.masked = t.masked;
    must("load", bl2_load(model, t.m, t.n, t.m2, t.n2, 0, 0, t.zv, t.zo));
    must("row", bl2_attention_row_from_scores(
                    model, t.tokens, D, t.score, t.v, t.masked, t.bias, made.t, made.row_max,
                    made.d, made.e, made.row_sum, made.level, made.nibble, made.flag, made.acc,
                    made.o));
    if (made.row_sum == 0) begin  // RowMax
      must("weight sum", bl2_weight_sum(model, t.tokens, made.level, made.weight_sum));
      must("row multiplier",
           bl2_row_multiplier(model, made.weight_sum, made.m2_row, made.n2_row));
    end
    expected.write(made);
  endfunction

  virtual function void final_phase(uvm_phase phase);
    super.final_phase(phase);
    bl2_close(model);
  endfunction

  // A refusal of the model is a fault of the stimulus.
  function void must(string what, int status);
    if (status != BL2_OK)
      `uvm_fatal("BITLOG2", $sformatf("%s: %s", what, bl2_status_text(status)))
  endfunction
endclass
