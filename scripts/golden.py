"""`bitlog2 golden`: emit, run and verify vector sets."""

import argparse
from typing import Any

from bitlog2.golden import (
    MOST_CASES,
    PRESETS,
    SOURCES,
    UNITS,
    Emission,
    emit,
    emit_from,
    emit_stimulus,
    load_config,
    run_device,
    verify,
)

from .arguments import HelpFormatter, integer
from .captured import add_row_options, emit_model, refuse_row_options
from .golden_plan import PLAN_EXAMPLE, add_plan_options
from .golden_rtl import RTL_COMMANDS
from .progress import progress

_EXAMPLE = """\
example, the simulator playing the device:
  bitlog2 golden emit --out vectors
  bitlog2 golden run vectors --out results
  bitlog2 golden verify vectors --actual attention_row=results/attention_row.expected.mem
"""
_EMIT_EXAMPLE = """\
example:
  bitlog2 golden emit --out vectors --config BitLog2_Half_17
  bitlog2 golden emit --from vectors/manifest.json --out again
  bitlog2 golden emit --from-stimulus edited --out mine     edited/<unit>.<stream>.mem of the inputs
  bitlog2 golden emit --out many --unit log2_quantizer --source random --count 10000000
  bitlog2 golden emit --out vectors --testbench && make -C vectors SIM=verilator
  bitlog2 golden emit --out rows --source model --model digits --layers 0,3 --heads all --images 0-3
"""
_RUN_EXAMPLE = """\
example:
  bitlog2 golden run vectors --out results
  bitlog2 golden run digits --out results       of an export: the output codes of every layer

of edited stimulus it writes the outputs alone; a set of it makes golden emit --from-stimulus
"""
_VERIFY_EXAMPLE = """\
example:
  bitlog2 golden verify vectors
  bitlog2 golden verify vectors --actual attention_row=o.mem --actual attention_row.keys=keys.mem
  bitlog2 golden verify digits                  of an export: its files, and that feeding it back
                                                gives the outputs in it

exit status: 0 everything agrees, 1 something differs, 2 the set or a file cannot be used
"""


def add_parser(subparsers: Any) -> None:
    """Add `golden` with its commands to the subparsers of the console command."""
    golden = subparsers.add_parser(
        "golden",
        help="golden vectors for RTL",
        description="Golden vectors for RTL: make a set, play the device, verify.",
        epilog=_EXAMPLE,
        formatter_class=HelpFormatter,
    )
    commands = golden.add_subparsers(dest="golden_command", metavar="COMMAND", required=True)
    _add_emit(commands)
    text = "say what a vector set will hold, without writing it"
    add_plan_options(_command(commands, "plan", text, PLAN_EXAMPLE))
    _add_run(commands)
    _add_verify(commands)
    for name, text, example, add_options in RTL_COMMANDS:
        add_options(_command(commands, name, text, example))


def _command(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=f"{text}.", epilog=example, formatter_class=HelpFormatter
    )
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def _add_emit(commands: Any) -> None:
    parser = _command(commands, "emit", "make a vector set", _EMIT_EXAMPLE)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the set")
    parser.add_argument(
        "--config",
        default="default",
        metavar="FILE|PRESET",
        help=f"JSON file of fields, a manifest, or one of {', '.join(PRESETS)}",
    )
    parser.add_argument(
        "--from",
        dest="manifest",
        metavar="MANIFEST",
        help="make the set of this manifest.json again; the other choices are taken from it",
    )
    parser.add_argument(
        "--from-stimulus",
        dest="stimulus",
        metavar="DIR",
        help="make a set of the stimulus files in this folder, written or edited by you; its "
        "manifest.json gives the configuration, or --config where it has none",
    )
    parser.add_argument(
        "--unit", action="append", choices=tuple(UNITS), help="may be repeated; all without it"
    )
    parser.add_argument(
        "--source",
        default="all",
        choices=(*SOURCES, "all", "model"),
        help="of the cases: corners, with every input of a unit where there are few; random; both; "
        "rows captured from a model",
    )
    parser.add_argument(
        "--seed", type=integer(0, 2**63 - 1), default=0, metavar="S", help="of what is random"
    )
    parser.add_argument(
        "--count",
        type=integer(1, MOST_CASES),
        metavar="N",
        help="random cases of each unit; without it each has its usual number",
    )
    parser.add_argument(
        "--head-dim",
        type=integer(1, 1024),
        metavar="D",
        help="lanes of v; 64 or the largest that fits",
    )
    parser.add_argument(
        "--testbench",
        action="store_true",
        help="add self-checking SystemVerilog testbenches, the reference RTL and a Makefile",
    )
    add_row_options(parser)
    parser.set_defaults(run=_emit)


def _add_run(commands: Any) -> None:
    parser = _command(
        commands, "run", "play the device: stimulus in, result files out", _RUN_EXAMPLE
    )
    parser.add_argument("set", metavar="DIR", help="the vector set, or an export")
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of the result files")
    parser.add_argument(
        "--unit", action="append", choices=tuple(UNITS), help="may be repeated; all without it"
    )
    parser.set_defaults(run=_run)


def _add_verify(commands: Any) -> None:
    text = "check a vector set, and the outputs of a device against it"
    parser = _command(commands, "verify", text, _VERIFY_EXAMPLE)
    parser.add_argument("set", metavar="DIR", help="the vector set, or an export")
    parser.add_argument(
        "--actual",
        action="append",
        default=[],
        metavar="UNIT[.STREAM]=FILE",
        help="a device's outputs; UNIT alone means its expected stream; may be repeated",
    )
    parser.set_defaults(run=_verify)


def _emit(args: argparse.Namespace) -> int:
    if args.source != "model":
        refuse_row_options(args)
    if args.stimulus is not None:
        emission = _emit_stimulus(args)
    elif args.source == "model" and args.manifest is None:
        _refuse_beside_model(args)
        emission = emit_model(args)
    elif args.manifest is not None:
        _refuse_beside_manifest(args)
        emission = emit_from(args.manifest, args.out, progress=progress)
    else:
        emission = emit(
            args.out,
            load_config(args.config),
            head_dim=args.head_dim,
            units=args.unit,
            sources=SOURCES if args.source == "all" else (args.source,),
            seed=args.seed,
            random_cases=args.count,
            testbench=args.testbench,
            progress=progress,
        )
    print("\n".join(emission.lines()))
    return 0


def _emit_stimulus(args: argparse.Namespace) -> Emission:
    for name, value in {"manifest": None, "source": "all", "seed": 0, "count": None}.items():
        if getattr(args, name) != value:
            option = "from" if name == "manifest" else name
            raise ValueError(f"--from-stimulus takes the cases from its folder, got --{option} too")
    return emit_stimulus(
        args.stimulus,
        args.out,
        None if args.config == "default" else load_config(args.config),
        head_dim=args.head_dim,
        units=args.unit,
        testbench=args.testbench,
        progress=progress,
    )


def _refuse_beside_manifest(args: argparse.Namespace) -> None:
    usual = {"config": "default", "unit": None, "source": "all", "seed": 0}
    usual |= {"count": None, "head_dim": None, "testbench": False}
    for name, value in usual.items():
        if getattr(args, name) != value:
            raise ValueError(f"--from takes everything from its manifest, got --{name} too")


def _refuse_beside_model(args: argparse.Namespace) -> None:
    usual = {"config": "default", "count": None, "head_dim": None}
    for name, value in usual.items():
        if getattr(args, name) != value:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--source model takes it from the model: {option} must be left out")
    if args.unit not in (None, ["attention_row"]):
        raise ValueError(f"--unit must be attention_row with --source model, got {args.unit}")


def _run(args: argparse.Namespace) -> int:
    written = run_device(args.set, args.out, args.unit, progress=progress)
    print("\n".join(f"{name}: {path}" for name, path in written.items()))
    return 0


def _verify(args: argparse.Namespace) -> int:
    actual = {}
    for text in args.actual:
        name, separator, path = text.partition("=")
        if not separator or not path:
            raise ValueError(f"--actual must be UNIT=FILE or UNIT.STREAM=FILE, got {text!r}")
        if name in actual:
            raise ValueError(f"--actual must give {name} once, got it twice")
        actual[name] = path
    result = verify(args.set, actual, progress=progress)
    print("\n".join(result.lines()))
    return result.status
