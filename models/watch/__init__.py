"""Watchers of a running datapath: checks, watermarks, digests, captures."""

from bitlog2.extras import EXTRAS, require

require("bitlog2.models", *EXTRAS["models"])
