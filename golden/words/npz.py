"""`vectors.npz`: the numbers of a set for Python, the same bytes every time."""

import io
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fields import Field

#: The earliest time that a zip file can hold: no clock in the bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o100644 << 16


def smallest_dtype(field: Field) -> np.dtype[Any]:
    """Return the smallest little-endian integer type that holds a lane of `field`."""
    size = next(size for size in (1, 2, 4, 8) if field.bits <= 8 * size)
    return np.dtype(f"<{'i' if field.signed else 'u'}{size}")


def render_npz(arrays: Iterable[tuple[str, NDArray[Any]]]) -> bytes:
    """Return an uncompressed `.npz`: compressed bytes would differ between builds of zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            entry.create_system, entry.external_attr = 3, _REGULAR_FILE
            values = np.ascontiguousarray(array)
            header = _header(values)
            entry.file_size = len(header) + values.nbytes
            with archive.open(entry, "w") as file:
                file.write(header)
                file.write(values.reshape(-1).view(np.uint8).data)
    return buffer.getvalue()


def _header(array: NDArray[Any]) -> bytes:
    """Return what an `.npy` file holds before its values."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue()
