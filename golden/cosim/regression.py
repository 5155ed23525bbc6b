"""The reference RTL, or a user's, in many configurations, by small vector sets."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..package.emission import emit
from ..package.vector_set import PACKAGE_NAME
from ..simulation import Rtl
from ..stimulus.unit import Progress, no_progress
from .job import CONFIGURATIONS, DEVICES, RegressionPoint, device_named
from .options import CosimOptions
from .result import CosimResult
from .run import cosim

_ROW = "attention_row"
#: Units other than the row that each configuration builds.
_OTHERS = 2
#: The corners of these are many: so they get random cases.
_RANDOM = {"score_accumulator": 64}


@dataclass(frozen=True)
class RegressionResult:
    """What came of every configuration.

    Attributes:
        runs: the configuration, and its units' results.
    """

    runs: tuple[tuple[RegressionPoint, tuple[CosimResult, ...]], ...]

    @property
    def ok(self) -> bool:
        """Whether every unit of every configuration agreed."""
        return bool(self.runs) and all(each.ok for _, found in self.runs for each in found)

    @property
    def status(self) -> int:
        """Exit status: 0 when `ok`, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """Return the report: a line a configuration, more where something differs."""
        lines = []
        for number, (point, found) in enumerate(self.runs):
            units = [unit for each in found for unit in each.units]
            what = ", ".join(f"{unit.unit} {unit.cases} cases" for unit in units)
            ok = all(each.ok for each in found)
            lines.append(f"{number}: {point}: {what}: {'agrees' if ok else 'DIFFERS'}")
            lines += [f"  {line}" for each in found if not each.ok for line in each.lines()]
        return [*lines, "agrees" if self.ok else "DIFFERS"]


def units_of(number: int) -> tuple[str, ...]:
    """Return the units of the configuration of that number: the row, and two others in turn."""
    others = [name for name in DEVICES if name != _ROW]
    return (_ROW, *(others[(_OTHERS * number + i) % len(others)] for i in range(_OTHERS)))


def run_point(
    point: RegressionPoint,
    units: Sequence[str],
    options: CosimOptions | None = None,
    *,
    rtl: Rtl | None = None,
) -> tuple[CosimResult, ...]:
    """Return the results of one configuration, a set of corner cases for each unit.

    Args:
        point: the configuration.
        units: names of `DEVICES`.
        options: as `cosim`, without lanes.
        rtl: the device, built with `bitlog2_pkg.sv` of each set, and with the parameter LANES where
            it has lanes; None for the reference.

    Raises:
        ValueError: the device has other ports than the configuration asks for.
        ToolError: the simulator is not there, or the RTL does not compile.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="bitlog2-regression-") as scratch:
        for name in units:
            source, folder = DEVICES[name].contract.unit, Path(scratch) / name
            cases = _RANDOM.get(source)
            emit(
                folder,
                point.config,
                head_dim=point.head_dim,
                units=[source],
                sources=("corners",) if cases is None else ("random",),
                random_cases=cases,
            )
            lanes = point.lanes if DEVICES[name].wide else None
            used = replace(options or CosimOptions(), lanes=lanes)
            found.append(cosim(folder, name, used, rtl=rtl))
    return tuple(found)


def regression(
    unit: str | None = None,
    options: CosimOptions | None = None,
    *,
    rtl: Rtl | None = None,
    progress: Progress = no_progress,
) -> RegressionResult:
    """Simulate the reference RTL, or a user's, in every configuration of `CONFIGURATIONS`.

    Args:
        unit: a name of `DEVICES`; None for the row and two others in turn.
        options: as `run_point`.
        rtl: as `run_point`; None for the reference.
        progress: as `cosim`.

    Raises:
        ValueError: there is no such unit, or the device does not follow the package.
        ToolError: the simulator is not there, or the RTL does not compile.
    """
    if rtl is not None and unit is None:
        raise ValueError("unit must be given with rtl")
    if rtl is not None and any(Path(each).name == PACKAGE_NAME for each in rtl.sources):
        raise ValueError(f"rtl must leave {PACKAGE_NAME} to the sets of the regression")
    units = None if unit is None else (device_named(unit).name,)
    runs = []
    for number, point in enumerate(progress(CONFIGURATIONS, "configurations", len(CONFIGURATIONS))):
        try:
            found = run_point(point, units or units_of(number), options, rtl=rtl)
        except ValueError as error:
            raise ValueError(f"configuration {number}, {point}: {error}") from None
        runs.append((point, found))
    return RegressionResult(tuple(runs))
