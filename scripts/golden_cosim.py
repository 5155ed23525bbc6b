"""`bitlog2 golden cosim`: a vector set through RTL in a simulator."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bitlog2.extras import require
from bitlog2.golden.simulation.contract import DEVICES
from bitlog2.names import (
    IDLE_CYCLES,
    LIMIT_SECONDS,
    PROFILES,
    SIMULATORS,
    STALL_PERCENT,
)

from .options import RtlOptions, group, refuse, words
from .terminal import command, progress, report, show, write_json
from .values import LONG_SEED, Json, Junit, Lanes, integer, one_of, output_file, several, value

if TYPE_CHECKING:
    from bitlog2.golden.cosim import CosimResult, RegressionResult

EXAMPLES = """example:
  bitlog2 golden cosim vectors --unit exp2                   the reference RTL
  bitlog2 golden cosim vectors --unit attention_row --rtl my_row.sv --top my_row --waves my.vcd
  bitlog2 golden cosim vectors --unit exp2 -f my.f --top my --clock aclk --reset rst:high
  bitlog2 golden cosim vectors --unit all --sim icarus --junit cosim.xml
  bitlog2 golden cosim --regression                          other configurations, pairwise
  bitlog2 golden cosim --regression --unit exp2 --rtl my.sv --top my

exit status: 0 everything agrees, 1 something differs, 2 nothing could be simulated"""


@group("conduct", order=2)
@dataclass(frozen=True)
class SimulationOptions:
    """Treatment of the device; taken by --regression too."""

    simulator: Annotated[str, value(one_of(SIMULATORS), name="--sim")] = SIMULATORS[0]
    """simulator"""
    seed: Annotated[int, value(LONG_SEED)] = 0
    """seed of the stalls"""
    stall: Annotated[int, value(integer(0, 90))] = STALL_PERCENT
    """chance in percent that a beat waits a cycle; 0 for no stalls"""
    idle: Annotated[int, value(integer(10, 10**9))] = IDLE_CYCLES
    """cycles without a transfer after which the device is stuck"""
    limit: Annotated[int, value(integer(1, 10**6))] = LIMIT_SECONDS
    """seconds after which a simulator is ended"""


@group("build", order=3)
@dataclass(frozen=True)
class Build:
    """Compiled form of the device."""

    lanes: Lanes = None
    builds: Path | None = None
    """keep compiled devices there, to use them again"""


@group("part of the set, and files", order=4)
@dataclass(frozen=True)
class Part:
    """Part of the set that is played, and what is left behind."""

    case: Annotated[tuple[int, ...], several(integer(0, 10**9), consume_multiple=True)] = ()
    """these cases alone"""
    profile: Annotated[tuple[str, ...], several(one_of(PROFILES), consume_multiple=True)] = ()
    """these runs alone, of stalls and with resets"""
    stop_first: bool = False
    """end the simulation at the first difference"""
    waves: Annotated[tuple[Path, ...] | None, value(consume_multiple=(0, 1))] = None
    """write waves into this file (.vcd or .fst) or folder, without a name into the current
    folder"""
    log: Annotated[Path | None, value(output_file)] = None
    """write every transfer there, one per line"""
    out: Path | None = None
    """keep the device's outputs there"""


def cosim(
    set: Path | None = None,
    /,
    *,
    unit: Annotated[str | None, value(one_of((*DEVICES, "all")))] = None,
    regression: bool = False,
    conduct: SimulationOptions | None = None,
    build: Build | None = None,
    part: Part | None = None,
    rtl: RtlOptions | None = None,
    junit: Junit = None,
    json: Json = None,
) -> int:
    """Run a vector set against a device in a simulator.

    Args:
        set: the vector set
        unit: device that the set's words are given to
        regression: no set: small ones of every scheme, width and number of lanes, pairwise
    """
    require("golden cosim", "cocotb")
    how, built, played = conduct or SimulationOptions(), build or Build(), part or Part()
    device = rtl or RtlOptions()
    if regression:
        refuse("with --regression, which takes its sets as they are", ("SET", set), built, played)
    elif set is None or unit is None:
        raise ValueError("cosim must be given a vector set and --unit, or --regression")
    from bitlog2.golden.junit import reporting

    with reporting(junit, "bitlog2 golden cosim") as write:
        if set is None or unit is None or regression:
            found = _regression(unit, how, device)
            write(found)
            return report(found, json)
        result, lines = _of_set(set, unit, how, built, played, device)
        write(result)
    write_json(json, result)
    show(lines)
    return result.status


def _regression(unit: str | None, how: SimulationOptions, device: RtlOptions) -> "RegressionResult":
    from bitlog2.golden.cosim import CosimOptions, ended_by_signals, regression

    options = CosimOptions(**vars(how))
    with ended_by_signals():
        return regression(unit, options, rtl=device.device(), progress=progress)


def _of_set(
    vectors: Path, unit: str, how: SimulationOptions, build: Build, part: Part, device: RtlOptions
) -> "tuple[CosimResult, list[str]]":
    """Return the result of a set, and its report with the command line that runs it again."""
    from bitlog2.golden.cosim import CosimOptions, cosim, ended_by_signals

    options = CosimOptions(
        **vars(how),
        **vars(build),
        cases=part.case or None,
        profiles=part.profile or None,
        stop_first=part.stop_first,
        waves=None if part.waves is None else Path(*part.waves),
        out=part.out,
        log=part.log,
    )
    with ended_by_signals():
        result = cosim(vectors, unit, options, rtl=device.device(), progress=progress)
    again = f"bitlog2 golden cosim {shlex.quote(str(vectors))} {words(how, build, device)}"
    return result, result.lines(again.rstrip())


app = command(cosim, EXAMPLES)
