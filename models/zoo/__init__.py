"""Networks that can be evaluated: their names, weights, checkpoints and files."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models", *EXTRAS["models"])
