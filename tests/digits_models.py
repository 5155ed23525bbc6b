"""Old name of `support.models`."""

from support.models import digits_task, quantized_digits

__all__ = ["digits_task", "quantized_digits"]
