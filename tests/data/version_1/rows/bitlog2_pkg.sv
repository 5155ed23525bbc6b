// BitLog2_Half_17, specification version 1: made with the vectors.
package bitlog2_pkg;

  // Scheme: A, and what the code register holds.
  localparam integer SPEC_VERSION = 1;
  localparam integer INT_MAX = 384;
  localparam integer ODD_FACTOR = 3;
  localparam integer BASE_SHIFT = 7;
  localparam integer HALF = 1;
  localparam integer LEVELS = 17;
  localparam integer TOP_LEVEL = 16;
  localparam integer ZERO_FLAG = 1;
  localparam integer STORAGE_BITS = 5;

  // What the hardware is built with.
  localparam integer HEAD_DIM = 32;
  localparam integer MAX_HEAD_DIM = 128;
  localparam integer MAX_TOKENS = 1024;
  localparam integer Q_BITS = 4;
  localparam integer K_BITS = 4;
  localparam integer V_BITS = 4;
  localparam integer O_BITS = 4;
  localparam integer FRACTION_BITS = 5;
  localparam integer TABLE_BITS = 16;
  localparam integer TABLE_ENTRIES = 32;
  localparam integer DISTANCE_INT_BITS = 5;
  localparam integer DISTANCE_MAX = 1023;
  localparam integer M_BITS = 16;
  localparam integer MAX_N = 28;
  localparam integer M2_BITS = 16;
  localparam integer MAX_N2 = 36;
  localparam integer T_BITS = 18;

  // Register widths.
  localparam integer SCORE_WIDTH = 16;
  localparam integer PRODUCT_WIDTH = 32;
  localparam integer T_WIDTH = 18;
  localparam integer ROW_MAX_WIDTH = 18;
  localparam integer D_WIDTH = 10;
  localparam integer E_WIDTH = 17;
  localparam integer ROW_SUM_WIDTH = 27;
  localparam integer COMPARE_WIDTH = 28;
  localparam integer ACC_WIDTH = 14;
  localparam integer OUT_PRODUCT_WIDTH = 37;
  localparam integer O_WIDTH = 4;

  // Ports that are no registers.
  localparam integer LAST_WIDTH = 1;
  localparam integer MASK_WIDTH = 1;
  localparam integer M_WIDTH = 16;
  localparam integer N_WIDTH = 5;
  localparam integer M2_WIDTH = 16;
  localparam integer N2_WIDTH = 6;
  localparam integer ZQ_WIDTH = 4;
  localparam integer ZK_WIDTH = 4;
  localparam integer ZV_WIDTH = 4;
  localparam integer ZO_WIDTH = 4;
  localparam integer Q_WIDTH = 4;
  localparam integer K_WIDTH = 4;
  localparam integer V_WIDTH = 4;
  localparam integer BIAS_WIDTH = 18;
  localparam integer S_WIDTH = 27;
  localparam integer LEVEL_WIDTH = 5;
  localparam integer NIBBLE_WIDTH = 4;
  localparam integer FLAG_WIDTH = 1;
  localparam integer NIBBLE_WRITE_WIDTH = 1;
  localparam integer NIBBLE_BYTE_WIDTH = 8;
  localparam integer FLAG_WRITE_WIDTH = 1;
  localparam integer FLAG_BYTE_WIDTH = 8;

  // Words of the vector files.
  localparam integer ATTENTION_ROW_PARAMS_WIDTH = 51;
  localparam integer ATTENTION_ROW_STIMULUS_WIDTH = 164;
  localparam integer ATTENTION_ROW_EXPECTED_WIDTH = 128;
  localparam integer ATTENTION_ROW_KEYS_WIDTH = 56;
  localparam integer ATTENTION_ROW_ROWS_WIDTH = 493;

  // Lowest bit of each field in its word.
  localparam integer ATTENTION_ROW_PARAMS_M_LSB = 35;
  localparam integer ATTENTION_ROW_PARAMS_N_LSB = 30;
  localparam integer ATTENTION_ROW_PARAMS_M2_LSB = 14;
  localparam integer ATTENTION_ROW_PARAMS_N2_LSB = 8;
  localparam integer ATTENTION_ROW_PARAMS_ZV_LSB = 4;
  localparam integer ATTENTION_ROW_PARAMS_ZO_LSB = 0;
  localparam integer ATTENTION_ROW_STIMULUS_LAST_LSB = 163;
  localparam integer ATTENTION_ROW_STIMULUS_MASK_LSB = 162;
  localparam integer ATTENTION_ROW_STIMULUS_SCORE_LSB = 146;
  localparam integer ATTENTION_ROW_STIMULUS_BIAS_LSB = 128;
  localparam integer ATTENTION_ROW_STIMULUS_V_LSB = 0;
  localparam integer ATTENTION_ROW_EXPECTED_O_LSB = 0;
  localparam integer ATTENTION_ROW_KEYS_LAST_LSB = 55;
  localparam integer ATTENTION_ROW_KEYS_T_LSB = 37;
  localparam integer ATTENTION_ROW_KEYS_D_LSB = 27;
  localparam integer ATTENTION_ROW_KEYS_E_LSB = 10;
  localparam integer ATTENTION_ROW_KEYS_LEVEL_LSB = 5;
  localparam integer ATTENTION_ROW_KEYS_NIBBLE_LSB = 1;
  localparam integer ATTENTION_ROW_KEYS_FLAG_LSB = 0;
  localparam integer ATTENTION_ROW_ROWS_ROW_MAX_LSB = 475;
  localparam integer ATTENTION_ROW_ROWS_ROW_SUM_LSB = 448;
  localparam integer ATTENTION_ROW_ROWS_ACC_LSB = 0;

  // T[f] = RND(2**P * 2**(-f / 2**F)), entry f in bits [f*E_WIDTH +: E_WIDTH].
  localparam [543:0] EXP2_TABLE =
    544'h4167216ad11308b9647522471129ea98384dc6a7bd544e0a5ff54d0ab5616248b5055c7e2f4258258c56764dd33895a550d7456dfe38335cb72eac177f2bd495f5090000;
endpackage
