"""The options that describe a user's RTL: the same for every command that takes one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bitlog2.golden.simulation import FileList, Rtl, macro, read_port_map


def add_rtl_options(parser: argparse.ArgumentParser) -> None:
    """Add what `rtl_of` reads."""
    group = parser.add_argument_group("RTL of your own", "the reference RTL without --rtl and -f")
    group.add_argument("--rtl", nargs="+", metavar="FILE", help="Verilog files, packages first")
    for option, what in (("-f", "the current folder"), ("-F", "its own")):
        text = f"file list with paths as seen from {what}; may be repeated"
        group.add_argument(option, action="append", metavar="LIST", help=text)
    group.add_argument("--top", metavar="NAME", help="the module; the unit's name without it")
    for option, metavar, text in (
        ("--include", "DIR", "folder of included files"),
        ("--define", "NAME[=VALUE]", "a macro; 1 without a value"),
        ("--param", "NAME=VALUE", "a parameter of the module, as Verilog writes it"),
        ("--ports", "FILE", "lines of --port; # begins a comment"),
        (
            "--port",
            "NAME=PORT",
            "a port that has another name than golden/README.md gives it; each may hold one *, "
            "such as *=io_* or s_axis_t*=in_*; the first that fits a port is taken",
        ),
        ("--tie", "PORT=VALUE", "hold an input that the contract has not, such as 0 or 4'hf"),
    ):
        group.add_argument(
            option, action="append", metavar=metavar, help=f"{text}; may be repeated"
        )
    group.add_argument("--clock", metavar="PORT", help="the port of clk: --port clk=PORT")
    group.add_argument(
        "--reset", metavar="PORT[:high]", help="the port of rst_n, active high with :high"
    )
    group.add_argument(
        "--no-back-pressure",
        dest="back_pressure",
        action="store_false",
        default=None,
        help="outputs are always taken, and a stream may lack tready",
    )


def rtl_of(args: argparse.Namespace) -> Rtl | None:
    """Return the RTL of the options, None for the reference.

    Raises:
        ValueError: an option is malformed, or stands without files.
        OSError: a list or a map cannot be read.
    """
    files = FileList()
    for lists, from_list in ((args.f, False), (args.F, True)):
        for path in lists or ():
            files.read(path, from_list=from_list)
    files.sources += map(Path, args.rtl or ())
    if args.rtl is args.f is args.F is None:
        names = ("top", "include", "define", "param", "ports", "port", "tie", "clock", "reset")
        for name in (*names, "back_pressure"):
            if getattr(args, name) is not None:
                option = "no-back-pressure" if name == "back_pressure" else name
                raise ValueError(f"--{option} must go with --rtl or -f")
        return None
    return Rtl(
        files.sources,
        args.top,
        includes=[*files.includes, *map(Path, args.include or ())],
        defines=files.defines | dict(map(macro, args.define or ())),
        parameters=_pairs("--param", args.param),
        ports=_ports(args),
        ties=_pairs("--tie", args.tie),
        back_pressure=args.back_pressure is None,
    )


def _ports(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the names of ports: those of options go before those of files."""
    rules = [] if args.clock is None else [("clk", args.clock)]
    if args.reset is not None:
        name, colon, level = args.reset.partition(":")
        if not name or (colon and level not in ("high", "low")):
            raise ValueError(f"--reset must be PORT, PORT:high or PORT:low, got {args.reset!r}")
        rules.append(("rst_n", f"~{name}" if level == "high" else name))
    rules += [_pair("--port", each) for each in args.port or ()]
    for path in args.ports or ():
        rules += read_port_map(path)
    return rules


def _pairs(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (_pair(option, each) for each in texts or ()):
        if name in found:
            raise ValueError(f"{option} must give {name} once, got {found[name]} and {value}")
        found[name] = value
    return found


def _pair(option: str, text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError(f"{option} must be NAME=VALUE, got {text!r}")
    return name, value
