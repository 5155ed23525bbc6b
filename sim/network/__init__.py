"""The network around attention in integers: from pixels to logits.

`NetworkConfig` is what the hardware is built with. A `program` is what a network loads, with its
file (`program_file`); `walk` takes an image through it in the specification, `simulator` a batch in
numba, `execution` files. `parameters` and `spec` are of the units.
"""

from .config import NetworkConfig
from .datapath import NETWORK, NETWORK_VERSION

__all__ = ["NETWORK", "NETWORK_VERSION", "NetworkConfig"]
