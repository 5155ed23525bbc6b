"""The kernels: the specification's units under the same names, in numba, on rows of arrays."""
