"""`SHA256SUMS`: the checksums of a set, in the format of `sha256sum -c`."""

import hashlib
from collections.abc import Mapping

from .threads import each_part

__all__ = ["SUMS_NAME", "checksums", "names_in_sums", "render_checksums", "render_sums", "sha256"]

SUMS_NAME = "SHA256SUMS"


def sha256(data: bytes) -> str:
    """Return the SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return dict(zip(files, each_part(sha256, files.values()), strict=True))


def render_sums(files: Mapping[str, bytes]) -> bytes:
    """Return `SHA256SUMS` of these files, sorted by name; itself is left out."""
    return render_checksums(checksums(files))


def render_checksums(sums: Mapping[str, str]) -> bytes:
    """Return `SHA256SUMS` of files with these checksums, as `render_sums`."""
    names = sorted(name for name in sums if name != SUMS_NAME)
    return "".join(f"{sums[name]}  {name}\n" for name in names).encode()


def names_in_sums(data: bytes) -> set[str]:
    """Return the names that a `SHA256SUMS` lists, whatever their sums."""
    lines = data.decode("utf-8", "replace").splitlines()
    return {line[66:] for line in lines if line[64:66] == "  "}
