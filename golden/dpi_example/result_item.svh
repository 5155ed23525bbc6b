// The transaction of the outputs: what a row's keys and the row itself left in the registers. Those
// that the scheme's datapath lacks stay 0: e and row_sum in RowMax, or weight_sum, m2_row, n2_row.
class result_item;
  int tokens;
  byte unsigned masked[N_MAX];  // d and e of a masked key mean nothing
  int t[N_MAX];
  int unsigned d[N_MAX];
  int unsigned e[N_MAX];
  byte unsigned level[N_MAX];
  byte unsigned nibble[N_MAX];
  byte unsigned flag[N_MAX];
  int row_max;
  longint unsigned row_sum;
  int unsigned weight_sum;
  int m2_row;
  int n2_row;
  int acc[D];
  byte unsigned o[D];

  // The first register of the datapath that differs in `other`, in words; empty if none does.
  function string difference(result_item other);
    string text = first("", "framing: keys", 0, 64'(tokens), 64'(other.tokens));
    for (int j = 0; j < tokens; j++)
      text = first(text, "score_requantizer: t", j, 64'(t[j]), 64'(other.t[j]));
    text = first(text, "row_max: row max", 0, 64'(row_max), 64'(other.row_max));
    for (int j = 0; j < tokens; j++) begin
      if (masked[j] == 0) text = first(text, "distance: d", j, 64'(d[j]), 64'(other.d[j]));
      text = first(text, "exp2: e", j, 64'(e[j]), 64'(other.e[j]));
    end
    text = first(text, "row_sum: s", 0, row_sum, other.row_sum);
    for (int j = 0; j < tokens; j++) begin
      text = first(text, {level_unit(), ": level"}, j, 64'(level[j]), 64'(other.level[j]));
      text = first(text, "code_register: nibble", j, 64'(nibble[j]), 64'(other.nibble[j]));
      text = first(text, "code_register: flag", j, 64'(flag[j]), 64'(other.flag[j]));
    end
    text = first(text, "weight_sum: w", 0, 64'(weight_sum), 64'(other.weight_sum));
    text = first(text, "row_multiplier: m2_row", 0, 64'(m2_row), 64'(other.m2_row));
    text = first(text, "row_multiplier: n2_row", 0, 64'(n2_row), 64'(other.n2_row));
    for (int c = 0; c < D; c++)
      text = first(text, "shift_add: acc", c, 64'(acc[c]), 64'(other.acc[c]));
    for (int c = 0; c < D; c++)
      text = first(text, "output_requantizer: o", c, 64'(o[c]), 64'(other.o[c]));
    return text;
  endfunction

  // The unit that makes levels: RowMax has no row sum.
  function string level_unit();
    return row_sum == 0 ? "distance_quantizer" : "log2_quantizer";
  endfunction

  // `text` where it has something already, or where the two values are the same.
  static function string first(string text, string what, int place, longint expected,
                               longint found);
    if (text != "" || expected == found) return text;
    return $sformatf("%s, number %0d: expected 0x%0h (%0d), actual 0x%0h (%0d)", what, place,
                     expected, expected, found, found);
  endfunction
endclass
