"""Files of the idx format: an array of bytes behind its sizes."""

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an idx file of bytes, compressed by gzip or not.

    Raises:
        OSError: no such file.
        ValueError: another type than unsigned bytes, or another number of bytes than its header
            gives.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError) as error:
            raise ValueError(f"idx file {path} must be whole gzip data: {error}") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise ValueError(
            f"idx file {path} must be of unsigned bytes, got magic {content[:4].hex()}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"idx file {path} must hold {content[3]} sizes, got {len(content)} bytes")
    shape = np.frombuffer(content[4:start], ">u4").astype(np.int64)
    values = np.frombuffer(content[start:], np.uint8)
    if values.size != math.prod(shape.tolist()):
        raise ValueError(
            f"idx file {path} must hold {shape.tolist()} bytes after its header, got {values.size}"
        )
    return values.reshape(shape)
