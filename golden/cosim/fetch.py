"""The vectors of a device, read from a set that was verified."""

from pathlib import Path

from ..fields import unpack
from ..reading import image_of, open_set
from ..target import Target
from ..unit import Tables
from ..units import UNITS
from .channels import Device

__all__ = ["fetch_tables"]


def fetch_tables(folder: Path, device: Device) -> tuple[Target, Tables]:
    """Return the target of a set and the streams of a device, as its files give them.

    Raises:
        ValueError: the set cannot be used.
        OSError: a file cannot be read.
    """
    manifest = open_set(folder)
    unit = UNITS[device.contract.unit]
    tables: Tables = {}
    for stream in unit.streams:
        path = folder / unit.file_name(stream)
        words = manifest.words[path.name]
        image = image_of(path.read_bytes(), path, manifest.target, stream, words)
        tables[stream.name] = unpack(stream.fields(manifest.target), image.digits)
    return manifest.target, device.tables(tables)
