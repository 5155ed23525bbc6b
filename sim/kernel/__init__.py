"""What `attention` runs: the units' kernels one after another, and fused where that is faster.

Fused: units 1 and 8 as products of matrices in vectors (`lane_product`), units 4 and 5 with unit
6's logarithm as one table (`units/exp2.py`: `sum_of_exp2`), unit 11 with the weights of unit 8
(`rows.py`: `row_weights`). Golden vectors are made by the kernel of each unit alone;
tests/test_attention.py holds them equal in every register.
"""
