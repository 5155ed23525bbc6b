"""Old name of `support.weights`."""

from support.weights import random_checkpoint

__all__ = ["random_checkpoint"]
