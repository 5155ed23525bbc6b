"""The reference RTL, or a user's, in many configurations, by small vector sets."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bitlog2.sim import SCHEMES, AttentionConfig

from ..junit import JunitSuite
from ..package.comparison import cases_of
from ..package.emission import emit
from ..package.vector_set import PACKAGE_NAME
from ..simulation import Rtl
from ..stimulus.unit import Progress, no_progress
from .model import DEVICES, device_named, devices_within
from .options import CosimOptions
from .result import CosimResult
from .run import cosim

_ROW = "attention_row"
#: Units other than the row that each configuration builds.
_OTHERS = 2
#: The corners of these are many: so they get random cases.
_RANDOM = {"score_accumulator": 64}


@dataclass(frozen=True)
class RegressionPoint:
    """One configuration.

    Attributes:
        scheme: scheme of the map.
        fraction_bits: F.
        table_bits: P.
        code_bits: width of q, k, v and o.
        lanes: keys per beat.
        max_tokens: largest N; rows of one key are in every set.
        head_dim: D.
    """

    scheme: str
    fraction_bits: int
    table_bits: int
    code_bits: int
    lanes: int
    max_tokens: int
    head_dim: int

    @property
    def config(self) -> AttentionConfig:
        """What the hardware is built with."""
        return AttentionConfig(
            scheme=self.scheme,
            q_bits=self.code_bits,
            k_bits=self.code_bits,
            v_bits=self.code_bits,
            o_bits=self.code_bits,
            max_head_dim=self.head_dim,
            max_tokens=self.max_tokens,
            fraction_bits=self.fraction_bits,
            table_bits=self.table_bits,
        )

    def __str__(self) -> str:
        return (
            f"{self.scheme} F={self.fraction_bits} P={self.table_bits} {self.code_bits}-bit codes, "
            f"{self.lanes} lanes, N<={self.max_tokens}, D={self.head_dim}"
        )


#: The values of each field that must meet every value of every other field.
CHOICES: dict[str, tuple[object, ...]] = {
    "scheme": tuple(SCHEMES),
    "fraction_bits": (3, 5, 7),
    "table_bits": (8, 12, 16, 20),
    "code_bits": (4, 5, 6, 7, 8),
    "lanes": (1, 2, 4, 8),
    "max_tokens": (1, 5, 13, 32),
    "head_dim": (1, 3, 8),
}

#: A cover of all pairs; found by a greedy search, held to the claim by a test.
CONFIGURATIONS: tuple[RegressionPoint, ...] = (
    RegressionPoint("BitLog2_Single_16", 3, 12, 6, 2, 5, 1),
    RegressionPoint("BitLog2_Single_16", 7, 8, 5, 1, 32, 8),
    RegressionPoint("BitLog2_Half_16", 5, 12, 8, 1, 13, 3),
    RegressionPoint("BitLog2_Single_17", 5, 16, 4, 4, 5, 8),
    RegressionPoint("BitLog2_Half_17", 7, 20, 8, 4, 1, 1),
    RegressionPoint("BitLog2_Half_17", 3, 16, 7, 8, 32, 3),
    RegressionPoint("BitLog2_Single_17", 7, 20, 4, 2, 13, 3),
    RegressionPoint("BitLog2_Half_16", 5, 8, 7, 2, 1, 1),
    RegressionPoint("BitLog2_Single_17", 3, 12, 5, 8, 1, 8),
    RegressionPoint("BitLog2_Half_16", 5, 20, 6, 8, 32, 8),
    RegressionPoint("BitLog2_Half_17", 3, 8, 6, 4, 13, 3),
    RegressionPoint("BitLog2_Single_17", 7, 16, 6, 1, 1, 1),
    RegressionPoint("BitLog2_Half_16", 7, 8, 4, 8, 5, 1),
    RegressionPoint("BitLog2_Single_16", 3, 20, 7, 1, 5, 3),
    RegressionPoint("BitLog2_Half_17", 5, 16, 5, 2, 13, 8),
    RegressionPoint("BitLog2_Single_17", 7, 12, 7, 4, 32, 8),
    RegressionPoint("BitLog2_Single_16", 5, 16, 8, 8, 13, 1),
    RegressionPoint("BitLog2_Single_17", 3, 8, 8, 2, 32, 8),
    RegressionPoint("BitLog2_Half_17", 3, 12, 4, 1, 32, 1),
    RegressionPoint("BitLog2_Half_16", 3, 20, 5, 4, 1, 3),
    RegressionPoint("BitLog2_Single_16", 7, 16, 4, 4, 1, 8),
    RegressionPoint("BitLog2_Half_17", 3, 12, 5, 4, 5, 1),
    RegressionPoint("BitLog2_Half_16", 5, 16, 8, 8, 5, 1),
    RegressionPoint("BitLog2_Single_16", 5, 20, 7, 4, 13, 3),
    RegressionPoint("RowMax_16", 5, 8, 4, 1, 32, 3),
    RegressionPoint("RowMax_16", 3, 12, 5, 2, 13, 1),
    RegressionPoint("RowMax_16", 7, 16, 6, 4, 5, 8),
    RegressionPoint("RowMax_16", 5, 20, 7, 8, 1, 3),
    RegressionPoint("RowMax_16", 3, 8, 8, 4, 32, 8),
)


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

    def suites(self) -> list[JunitSuite]:
        """Return a suite per unit of each configuration."""
        return [
            suite
            for number, (point, found) in enumerate(self.runs)
            for each in found
            for suite in each.suites(f"{number}, {point}: ")
        ]

    def lines(self) -> list[str]:
        """Return the report: a line per configuration, more where something differs."""
        lines = []
        for number, (point, found) in enumerate(self.runs):
            units = [unit for each in found for unit in each.units]
            what = ", ".join(f"{unit.unit} {cases_of(unit.cases)}" for unit in units)
            ok = all(each.ok for each in found)
            lines.append(f"{number}: {point}: {what}: {'agrees' if ok else 'DIFFERS'}")
            lines += [f"  {line}" for each in found if not each.ok for line in each.lines()]
        return [*lines, "agrees" if self.ok else "DIFFERS"]


def units_of(number: int) -> tuple[str, ...]:
    """Return the units of the configuration of that number: the row, and two others in turn."""
    others = [name for name in devices_within(CONFIGURATIONS[number].config) if name != _ROW]
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
        units: devices of the datapath.
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
            contract, folder = device_named(name, point.config).contract, Path(scratch) / name
            source = contract.unit
            cases = _RANDOM.get(source)
            emit(
                folder,
                point.config,
                head_dim=point.head_dim,
                units=[source],
                sources=("corners",) if cases is None else ("random",),
                random_cases=cases,
            )
            lanes = point.lanes if contract.wide else None
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
        unit: a device, in the configurations whose datapath has it; None for the row and two
            others in turn.
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
    if unit is not None and unit not in DEVICES:
        raise ValueError(f"unit must be one of {', '.join(DEVICES)}, got {unit!r}")
    chosen = {
        number: units_of(number) if unit is None else (unit,)
        for number, point in enumerate(CONFIGURATIONS)
        if unit is None or unit in devices_within(point.config)
    }
    runs = []
    for number, units in progress(chosen.items(), "configurations", len(chosen)):
        point = CONFIGURATIONS[number]
        try:
            found = run_point(point, units, options, rtl=rtl)
        except ValueError as error:
            raise ValueError(f"configuration {number}, {point}: {error}") from None
        runs.append((point, found))
    return RegressionResult(tuple(runs))
