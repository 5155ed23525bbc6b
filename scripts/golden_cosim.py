"""`bitlog2 golden cosim`: a vector set through RTL in a simulator."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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
from .terminal import command, progress
from .values import LONG_SEED, Lanes, integer, one_of, output_file, value

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
class Simulation:
    """Treatment of the device; taken by --regression too."""

    sim: Annotated[str, value(one_of(SIMULATORS))] = SIMULATORS[0]
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

    case: Annotated[
        tuple[int, ...], value(integer(0, 10**9), repeated=True, consume_multiple=True)
    ] = ()
    """these cases alone"""
    profile: Annotated[
        tuple[str, ...], value(one_of(PROFILES), repeated=True, consume_multiple=True)
    ] = ()
    """these runs alone, of stalls and with resets"""
    stop_first: bool = False
    """end the simulation at the first difference"""
    waves: Annotated[tuple[Path, ...] | None, value(consume_multiple=(0, 1))] = None
    """write VCD into this file or folder, without a name into the current folder"""
    log: Annotated[Path | None, value(output_file)] = None
    """write every transfer there, one per line"""
    junit: Annotated[Path | None, value(output_file)] = None
    """write JUnit XML there"""
    out: Path | None = None
    """keep the device's outputs there"""


def cosim(
    set: Path | None = None,
    /,
    *,
    unit: Annotated[str | None, value(one_of((*DEVICES, "all")))] = None,
    regression: bool = False,
    simulation: Simulation | None = None,
    build: Build | None = None,
    part: Part | None = None,
    rtl: RtlOptions | None = None,
) -> int:
    """Run a vector set against a device in a simulator.

    Args:
        set: the vector set
        unit: device that the set's words are given to
        regression: no set: small ones of every scheme, width and number of lanes, pairwise
    """
    require("golden cosim", "cocotb")
    how, built, played = simulation or Simulation(), build or Build(), part or Part()
    device = rtl or RtlOptions()
    if regression:
        refuse("with --regression, which takes its sets as they are", ("SET", set), built, played)
        return _regression(unit, how, device)
    if set is None or unit is None:
        raise ValueError("cosim must be given a vector set and --unit, or --regression")
    return _of_set(set, unit, how, built, played, device)


def _regression(unit: str | None, how: Simulation, device: RtlOptions) -> int:
    from bitlog2.golden.cosim import CosimOptions, ended_by_signals, regression

    options = CosimOptions(how.sim, how.seed, how.stall, how.idle, how.limit)
    with ended_by_signals():
        result = regression(unit, options, rtl=device.device(), progress=progress)
    print("\n".join(result.lines()))
    return result.status


def _of_set(
    vectors: Path, unit: str, how: Simulation, build: Build, part: Part, device: RtlOptions
) -> int:
    from bitlog2.golden.cosim import (
        CosimOptions,
        cosim,
        ended_by_signals,
        render_error,
        render_junit,
    )
    from bitlog2.sim.files import write_whole

    def write_junit(text: bytes) -> None:
        if part.junit is not None:
            write_whole(part.junit, text)

    write_junit(render_error("the run has not ended"))  # a report of an earlier run must not stay
    try:
        options = CosimOptions(
            simulator=how.sim,
            seed=how.seed,
            stall=how.stall,
            idle=how.idle,
            limit=how.limit,
            lanes=build.lanes,
            cases=part.case or None,
            profiles=part.profile or None,
            stop_first=part.stop_first,
            waves=None if part.waves is None else Path(*part.waves),
            out=part.out,
            builds=build.builds,
            log=part.log,
        )
        with ended_by_signals():
            result = cosim(vectors, unit, options, rtl=device.device(), progress=progress)
    except (ValueError, TypeError, OSError) as error:
        write_junit(render_error(str(error)))
        raise
    write_junit(render_junit(result))
    again = f"bitlog2 golden cosim {shlex.quote(str(vectors))} {words(how, build, device)}"
    print("\n".join(result.lines(again.rstrip())))
    return result.status


app = command(cosim, EXAMPLES)
