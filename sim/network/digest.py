"""The digest of logits."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def logits_digest(logits: NDArray[np.int32]) -> str:
    """Return the SHA-256 of logits (images, classes): int32, little endian, image by image."""
    return hashlib.sha256(np.ascontiguousarray(logits, "<i4").tobytes()).hexdigest()
