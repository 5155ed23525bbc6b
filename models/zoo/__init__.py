"""Networks that can be evaluated: their names, weights, checkpoints and files."""
