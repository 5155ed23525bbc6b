"""Old name of `support.models`."""

from support.models import images, quantized_swin, swin

__all__ = ["images", "quantized_swin", "swin"]
