"""Evaluations: request, folder of a run, execution and result."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models", *EXTRAS["models"])
