"""`vectors.npz`: the bytes of numpy's own writer in a plain zip file."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from bitlog2.golden.words.npz import render_npz

ARRAYS = {
    "a.b": np.arange(70000, dtype="<i4"),
    "lanes": np.arange(12, dtype="<u1").reshape(4, 3),
    "columns first": np.asfortranarray(np.arange(12, dtype="<i8").reshape(4, 3)),
    "every second": np.arange(12, dtype="<i2")[::2],
    "none": np.zeros(0, "<u2"),
    "no rows": np.zeros((0, 5), "<i8"),
}


def plain_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in ARRAYS.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0))
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def test_golden_npz_has_the_bytes_of_a_plain_writer() -> None:
    assert render_npz(ARRAYS.items()) == plain_npz()


@pytest.mark.parametrize("name", ARRAYS)
def test_golden_npz_is_read_by_numpy(name: str) -> None:
    with np.load(io.BytesIO(render_npz(ARRAYS.items()))) as arrays:
        assert np.array_equal(arrays[name], ARRAYS[name])
        assert arrays[name].dtype == ARRAYS[name].dtype
