"""Post-training quantization of a network: quantizers, layers, attention, calibration."""
