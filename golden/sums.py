"""`SHA256SUMS`: the checksums of a set, in the format of `sha256sum -c`."""

import hashlib
from collections.abc import Mapping

__all__ = ["SUMS_NAME", "names_in_sums", "render_sums", "sha256"]

SUMS_NAME = "SHA256SUMS"


def sha256(data: bytes) -> str:
    """Return the SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def render_sums(files: Mapping[str, bytes]) -> bytes:
    """Return `SHA256SUMS` of these files, sorted by name; itself is left out."""
    names = sorted(name for name in files if name != SUMS_NAME)
    return "".join(f"{sha256(files[name])}  {name}\n" for name in names).encode()


def names_in_sums(data: bytes) -> set[str]:
    """Return the names that a `SHA256SUMS` lists, whatever their sums."""
    lines = data.decode("utf-8", "replace").splitlines()
    return {line[66:] for line in lines if line[64:66] == "  "}
