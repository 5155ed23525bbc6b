"""The whole network in integers: lowering of a calibrated model, and its torch network."""
