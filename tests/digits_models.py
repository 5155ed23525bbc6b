"""Old name of `support.models`."""

from support.models import digits_task, observed, quantized_digits, run_watched

__all__ = ["digits_task", "observed", "quantized_digits", "run_watched"]
