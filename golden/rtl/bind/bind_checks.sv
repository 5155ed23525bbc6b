// Binds the checks to the reference rows. For a device of your own that has the ports of the
// contract, write its module's name in place of `attention_row`; where a tap is missing, bind
// axis_checks to each stream, as in README.md.
//
// Not for Icarus and Yosys, which have no bind: there, place the checks beside the device.
bind softmax_row softmax_row_checks #(
    .LANES(LANES),
    .MAX_TOKENS(MAX_TOKENS)
) bitlog2_checks (.*);

bind attention_row attention_row_checks #(
    .LANES(LANES),
    .HEAD_DIM(HEAD_DIM),
    .MAX_TOKENS(MAX_TOKENS)
) bitlog2_checks (.*);
