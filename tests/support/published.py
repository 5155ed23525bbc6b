"""Inputs and outputs of the published quantizers, as data (float32, CPU).

Keys: `input/attn_flat`, `input/attn_peaky`; SCHEME/INPUT/{delta, output, p, dequantized};
`uniform/{w2d, a3d}/x` and `uniform/NAME/b{4, 8}/per_{tensor, channel}/{delta, zero_point, out}`.
"""

from pathlib import Path

import numpy as np

PUBLISHED = np.load(Path(__file__).parent.parent / "data" / "published_quantizers.npz")
