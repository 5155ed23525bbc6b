"""How devices are simulated, and what is kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bitlog2.names import IDLE_CYCLES, LIMIT_SECONDS, STALL_PERCENT
from bitlog2.sim.checks import check_int

from ..package.manifest import MANIFEST_NAME

_PLACES = ("waves", "out", "builds", "log")
#: Files of waves by their endings.
WAVES = (".vcd", ".fst")


@dataclass(frozen=True)
class CosimOptions:
    """How devices are simulated, and what is kept of it.

    Attributes:
        simulator: `verilator` or `icarus`.
        seed: seed of the stalls, 0 to 2**63 - 1.
        stall: chance in percent that a beat waits a cycle, 0 to 90; 0 for the run without alone.
        idle: cycles without a transfer after which a device counts as stuck, 10 to 10**9.
        limit: seconds after which a simulator is ended.
        lanes: keys per beat, the parameter LANES of the rows, 1 to 64; None for its own default.
        cases: cases in the order of play; None for all. Needs a single unit.
        profiles: names of `PROFILES`: the runs; None for all.
        stop_first: whether the first difference ends everything.
        waves: a file of `WAVES`, or a folder for `<unit>.vcd`; None for none.
        out: folder for the outputs, `<profile>/<unit>.<stream>.mem`; must not be a vector set.
        builds: folder in which compiled devices are kept and used again; None for none.
        log: file that gets a line per transfer: time, stream, case, beat, fields; None for none.

    Raises:
        TypeError, ValueError: a number is out of range.
    """

    simulator: str = "verilator"
    seed: int = 0
    stall: int = STALL_PERCENT
    idle: int = IDLE_CYCLES
    limit: float = LIMIT_SECONDS
    lanes: int | None = None
    cases: Sequence[int] | None = None
    profiles: Sequence[str] | None = None
    stop_first: bool = False
    waves: str | Path | None = None
    out: str | Path | None = None
    builds: str | Path | None = None
    log: str | Path | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("seed", 0, 2**63 - 1), ("stall", 0, 90), ("idle", 10, 10**9)):
            check_int(name, getattr(self, name), low, high)
        check_int("lanes", 1 if self.lanes is None else self.lanes, 1, 64)
        if not self.limit > 0:
            raise ValueError(f"limit must be above 0 seconds, got {self.limit}")

    @property
    def wave_format(self) -> str:
        """Return `vcd` or `fst`; nothing where no waves are written."""
        if self.waves is None:
            return ""
        suffix = Path(self.waves).suffix
        return suffix[1:] if suffix in WAVES else WAVES[0][1:]

    def path(self, name: str) -> Path | None:
        """Return the whole path of `waves`, `out`, `builds` or `log`."""
        value = getattr(self, name)
        return None if value is None else Path(value).resolve()

    def resolved(self, units: int) -> "CosimOptions":
        """Return the same with whole paths, for this number of units.

        Raises:
            ValueError: a place cannot be used: a vector set, a file that must be a folder, another
                file of waves than of `WAVES`, one for several units.
        """
        waves, out, builds, log = (self.path(name) for name in _PLACES)
        for name, path in zip(_PLACES, (waves, out, builds, log), strict=True):
            if path is None:
                continue
            file = name == "waves" and path.suffix != "" and not path.is_dir()
            if file and path.suffix not in WAVES and not path.is_file():
                legal = " or ".join(WAVES)
                raise ValueError(f"waves must be a file in {legal}, or a folder, got {path}")
            file = file and path.suffix in WAVES
            if file and units > 1:
                raise ValueError(f"waves must be a folder for {units} units, got the file {path}")
            folder = path.parent if file or name == "log" else path
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"{name} must be a folder, got the file {folder}")
            if (folder / MANIFEST_NAME).exists():
                raise ValueError(f"{name} must not be in a vector set, got {path}")
        return replace(self, waves=waves, out=out, builds=builds, log=log)

    def waves_of(self, unit: str) -> Path | None:
        """Return the file of a unit's waves."""
        waves = self.path("waves")
        return waves if waves is None or waves.suffix in WAVES else waves / f"{unit}.vcd"
