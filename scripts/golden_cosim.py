"""`bitlog2 golden cosim`: a vector set through RTL in a simulator."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bitlog2.extras import require
from bitlog2.golden.cosim import (
    DEVICES,
    IDLE_CYCLES,
    LIMIT_SECONDS,
    PROFILES,
    SIMULATORS,
    STALL_PERCENT,
    CosimOptions,
    CosimResult,
    cosim,
    ended_by_signals,
    regression,
    render_error,
    render_junit,
)
from bitlog2.sim.files import write_whole

from .arguments import integer, output_file
from .progress import progress
from .rtl_options import add_rtl_options, rtl_of

#: Options that need a set.
_OF_A_SET = (
    *("set", "waves", "lanes", "junit", "out", "builds"),
    *("case", "profile", "stop_first", "log"),
)
#: Options that a command line for a part of a run has not, and how many values they take.
_LEFT_OUT = {
    **{"--unit": 1, "--waves": 1, "--junit": 1, "--out": 1, "--log": 1, "--stop-first": 0},
    **{"--case": 10**9, "--profile": 10**9},
}

COSIM_EXAMPLE = """\
example:
  bitlog2 golden cosim vectors --unit exp2                   the reference RTL
  bitlog2 golden cosim vectors --unit attention_row --rtl my_row.sv --top my_row --waves my.vcd
  bitlog2 golden cosim vectors --unit exp2 -f my.f --top my --clock aclk --reset rst:high
  bitlog2 golden cosim vectors --unit all --sim icarus --junit cosim.xml
  bitlog2 golden cosim --regression                          other configurations, pairwise
  bitlog2 golden cosim --regression --unit exp2 --rtl my.sv --top my

exit status: 0 everything agrees, 1 something differs, 2 nothing could be simulated
"""


def add_cosim_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cosim` and the function that runs it."""
    parser.add_argument("set", nargs="?", metavar="DIR", help="the vector set")
    parser.add_argument(
        "--unit", choices=(*DEVICES, "all"), help="what the set's words are given to"
    )
    parser.add_argument("--sim", choices=SIMULATORS, default=SIMULATORS[0], help="simulator")
    parser.add_argument(
        "--lanes",
        type=integer(1, 64),
        metavar="N",
        help="keys a beat, the parameter LANES; the module's own default without it",
    )
    parser.add_argument(
        "--regression",
        action="store_true",
        help="no set: small ones of every scheme, width and number of lanes, pairwise",
    )
    add_rtl_options(parser)
    _add_conduct(parser)
    _add_part(parser)
    _add_kept(parser)
    parser.set_defaults(run=_cosim)


def _add_conduct(parser: argparse.ArgumentParser) -> None:
    """Add how the device is treated."""
    parser.add_argument(
        "--seed", type=integer(0, 2**63 - 1), default=0, metavar="S", help="of the stalls"
    )
    parser.add_argument(
        "--stall",
        type=integer(0, 90),
        default=STALL_PERCENT,
        metavar="PERCENT",
        help="chance that a beat waits a cycle; 0 for no stalls",
    )
    parser.add_argument(
        "--idle",
        type=integer(10, 10**9),
        default=IDLE_CYCLES,
        metavar="CYCLES",
        help="without a transfer, after which the device is stuck",
    )
    parser.add_argument(
        "--limit",
        type=integer(1, 10**6),
        default=LIMIT_SECONDS,
        metavar="SECONDS",
        help="after which a simulator is ended",
    )


def _add_part(parser: argparse.ArgumentParser) -> None:
    """Add which part of the set is played, and how."""
    parser.add_argument(
        "--case", type=integer(0, 10**9), nargs="+", metavar="N", help="these cases alone"
    )
    parser.add_argument(
        "--profile", choices=PROFILES, nargs="+", help="these runs alone: of stalls, with resets"
    )
    parser.add_argument(
        "--stop-first", action="store_true", help="end the simulation at the first difference"
    )


def _add_kept(parser: argparse.ArgumentParser) -> None:
    """Add what is left behind."""
    parser.add_argument(
        "--waves",
        nargs="?",
        const=Path(),
        type=Path,
        metavar="FILE|DIR",
        help="write VCD, into this folder without a name",
    )
    parser.add_argument(
        "--log", type=output_file, metavar="FILE", help="write every transfer there, a line each"
    )
    parser.add_argument("--junit", type=output_file, metavar="FILE", help="write JUnit XML there")
    parser.add_argument("--out", type=Path, metavar="OUT", help="keep the device's outputs there")
    parser.add_argument(
        "--builds", type=Path, metavar="DIR", help="keep compiled devices there, to use them again"
    )


def _cosim(args: argparse.Namespace) -> int:
    require("golden cosim", "cocotb")
    with ended_by_signals():
        return _regression(args) if args.regression else _of_set(args)


def _of_set(args: argparse.Namespace) -> int:
    if args.set is None or args.unit is None:
        raise ValueError("cosim must be given a vector set and --unit, or --regression")
    if args.junit is not None:  # a report of an earlier run must not stay
        write_whole(args.junit, render_error("the run has not ended"))
    try:
        result = _played(args)
    except (ValueError, TypeError, OSError) as error:
        if args.junit is not None:
            write_whole(args.junit, render_error(str(error)))
        raise
    if args.junit is not None:
        write_whole(args.junit, render_junit(result))
    print("\n".join(result.lines(_again(sys.argv[1:]))))
    return result.status


def _played(args: argparse.Namespace) -> CosimResult:
    return cosim(args.set, args.unit, _options(args), rtl=rtl_of(args), progress=progress)


def _options(args: argparse.Namespace) -> CosimOptions:
    return CosimOptions(
        simulator=args.sim,
        seed=args.seed,
        stall=args.stall,
        idle=args.idle,
        limit=args.limit,
        lanes=args.lanes,
        cases=args.case,
        profiles=args.profile,
        stop_first=args.stop_first,
        waves=args.waves,
        out=args.out,
        builds=args.builds,
        log=args.log,
    )


def _again(words: Sequence[str]) -> str:
    """Return the command line without what says which part is played and what is written."""
    kept, left_out = ["bitlog2"], 0
    for word in words:
        if word.startswith("-"):
            left_out = 0 if "=" in word else _LEFT_OUT.get(word, 0)
            if word.split("=")[0] in _LEFT_OUT:
                continue
        elif left_out:
            left_out -= 1
            continue
        kept.append(word)
    return shlex.join(kept)


def _regression(args: argparse.Namespace) -> int:
    for name in _OF_A_SET:
        if getattr(args, name):
            raise ValueError(f"--regression takes its sets as they are, got {name} too")
    result = regression(args.unit, _options(args), rtl=rtl_of(args), progress=progress)
    print("\n".join(result.lines()))
    return result.status
