"""Networks the simulator runs on, and where their weights come from."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models", *EXTRAS["models"])
