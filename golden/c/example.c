/* The row worked in section 7 of the specification. */
#include <stdio.h>

#include "bitlog2.h"

int main(void)
{
    const uint8_t q[4] = {1, 13, 15, 14};
    const uint8_t k[32] = {11, 7, 12, 8, 3, 10, 6, 7,  15, 6, 4, 11, 2,  11, 0,  15,
                           13, 14, 11, 11, 3, 9, 11, 9, 2, 7, 8, 1,  11, 11, 10, 1};
    const uint8_t v[16] = {13, 2, 0, 7, 4, 15, 0, 6, 6, 8, 13, 11, 10, 0, 7, 12};
    const uint8_t masked[8] = {0, 0, 0, 0, 0, 1, 0, 0};
    const int32_t bias[8] = {0, 12, -20, 0, 35, -7, 0, 64};
    const bl2_row row = {8, 4, 2, q, k, v, masked, bias};
    const bl2_params params = {47274, 14, 43691, 23, 7, 8, 6, 7}; /* m n m2 n2 zq zk zv zo */
    int32_t score[8], t[8], acc[2] = {0};
    uint32_t d[8], e[8];
    uint8_t level[8], nibble[8], flag[8], o[2] = {0};
    bl2_registers registers = {score, t, d, e, level, nibble, flag, acc, o, 0, 0, 0, 0, 0};
    const bl2_config config = bl2_default_config(BL2_HALF_17);
    bl2_model model;
    bl2_status status = bl2_model_init(&model, &config);

    if (status == BL2_OK) {
        status = bl2_attention_row(&model, &params, &row, &registers);
    }
    printf("%s: acc %d %d, o %d %d\n", bl2_status_text(status), acc[0], acc[1], o[0], o[1]);
    return status != BL2_OK;
}
