"""Image encoders of Hugging Face's transformers, with the integer datapath as their attention.

To import this registers the attention `bitlog2` with the library. `quantize` calibrates a model for
it: from then on each attention layer has q, k and v as codes, runs the datapath, and gives what its
output codes stand for. All else, the projections too, stays float32.
"""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models.huggingface", *EXTRAS["models"], *EXTRAS["huggingface"])

from .encoders import NAME, attend, quantize

__all__ = ["NAME", "attend", "quantize"]
