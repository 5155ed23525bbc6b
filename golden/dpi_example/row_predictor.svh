// What a row must give, by the C model through DPI-C: the specification's second voice.
class row_predictor;
  chandle model;
  mailbox #(row_item) inputs;
  mailbox #(result_item) expected;

  // Opens a model with the configuration of the set's package.
  function new(mailbox#(row_item) inputs, mailbox#(result_item) expected);
    this.inputs = inputs;
    this.expected = expected;
    must("open", bl2_open(model, SCHEME, Q_BITS, K_BITS, V_BITS, O_BITS,
                          MAX_HEAD_DIM, MAX_TOKENS, FRACTION_BITS, TABLE_BITS, DISTANCE_INT_BITS,
                          M_BITS, MAX_N, M2_BITS, MAX_N2, T_BITS));
  endfunction

  task run();
    row_item item;
    forever begin
      inputs.get(item);
      expected.put(predict(item));
    end
  endtask

  function result_item predict(row_item item);
    result_item made = new;
    made.tokens = item.tokens;
    made.masked = item.masked;
    must("load", bl2_load(model, item.m, item.n, item.m2, item.n2, 0, 0, item.zv, item.zo));
    must("row", bl2_attention_row_from_scores(
                    model, item.tokens, D, item.score, item.v, item.masked, item.bias, made.t,
                    made.row_max, made.d, made.e, made.row_sum, made.level, made.nibble, made.flag,
                    made.acc, made.o));
    if (made.row_sum == 0) begin  // RowMax
      must("weight sum", bl2_weight_sum(model, item.tokens, made.level, made.weight_sum));
      must("row multiplier",
           bl2_row_multiplier(model, made.weight_sum, made.m2_row, made.n2_row));
    end
    return made;
  endfunction

  // A refusal of the model is a fault of the stimulus.
  function void must(string what, int status);
    if (status != BL2_OK) $fatal(1, "predictor, %s: %s", what, bl2_status_text(status));
  endfunction

  function void close();
    bl2_close(model);
  endfunction
endclass
