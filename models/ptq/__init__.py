"""Post-training quantization of a network: quantizers, layers, attention, calibration."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models", *EXTRAS["models"])
