"""The network around attention in integers: from pixels to logits.

`NetworkConfig` is what the hardware is built with; `parameters` what layers load; `spec` the
specification, one value or token at a time; `block` a block of a ViT in it.
"""

from .config import NetworkConfig
from .datapath import NETWORK, NETWORK_VERSION

__all__ = ["NETWORK", "NETWORK_VERSION", "NetworkConfig"]
