"""Old name of `support.weights`."""

from support.weights import assert_loads, weights, write

__all__ = ["assert_loads", "weights", "write"]
