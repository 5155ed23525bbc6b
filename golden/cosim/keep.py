"""What a co-simulation leaves behind when it was asked to: waves, outputs, builds."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bitlog2.sim.files import write_whole

from ..replace import MANIFEST_NAME
from .recording import Recording

__all__ = ["Kept", "check_integer", "check_kept", "keep_outputs", "keep_waves"]


def check_integer(name: str, value: int, low: int, high: int) -> None:
    """Refuse what is no integer from `low` to `high`.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")


@dataclass(frozen=True)
class Kept:
    """Where things are kept; None for what is not.

    Attributes:
        waves: a VCD file, or a folder for `<unit>.vcd`.
        out: folder of the device's outputs.
        builds: folder of compiled devices.
        log: file of the transfers.
    """

    waves: Path | None
    out: Path | None
    builds: Path | None
    log: Path | None

    def waves_of(self, unit: str) -> Path | None:
        """Return the VCD file of a unit."""
        if self.waves is None or self.waves.suffix == ".vcd":
            return self.waves
        return self.waves / f"{unit}.vcd"


def check_kept(
    waves: str | Path | None,
    out: str | Path | None,
    builds: str | Path | None,
    log: str | Path | None,
    units: int,
) -> Kept:
    """Return where things are kept.

    Raises:
        ValueError: a place cannot be used: a vector set, a file that must be a folder, one VCD
            file for several units.
    """
    paths = [None if each is None else Path(each).resolve() for each in (waves, out, builds, log)]
    kept = Kept(*paths)
    for name in ("waves", "out", "builds", "log"):
        if (path := getattr(kept, name)) is None:
            continue
        single = name == "log" or (name == "waves" and path.suffix == ".vcd" and not path.is_dir())
        if name == "waves" and single and units > 1:
            raise ValueError(f"waves must be a folder for {units} units, got the file {path}")
        folder = path.parent if single else path
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{name} must be a folder, got the file {folder}")
        if (folder / MANIFEST_NAME).exists():
            raise ValueError(f"{name} must not be in a vector set, got {path}")
    return kept


def keep_outputs(out: Path, unit: str, profiles: Sequence[tuple[str, Recording]]) -> None:
    """Write a device's outputs as `<profile>/<unit>.<stream>.mem`."""
    for profile, recording in profiles:
        folder = out / profile
        folder.mkdir(parents=True, exist_ok=True)
        for stream, path in recording.files.items():
            write_whole(folder / f"{unit}.{stream}.mem", path.read_bytes())


def keep_waves(made: Path, wanted: Path) -> None:
    """Put a VCD file in its place in one step."""
    if not made.is_file():
        return
    wanted.parent.mkdir(parents=True, exist_ok=True)
    partial = wanted.with_name(f".{wanted.name}.{uuid4().hex}.partial")
    try:
        shutil.copyfile(made, partial)
        os.replace(partial, wanted)
    finally:
        partial.unlink(missing_ok=True)
