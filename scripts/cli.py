"""`bitlog2`: the one console command."""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from errno import ENOSPC
from typing import TextIO

from bitlog2 import SPEC_VERSION, __version__
from bitlog2.extras import refusal

from . import bench, compare, evaluate, export, golden, grid, report, selftest, sweep

__all__ = ["guarded", "main"]

_EPILOG = """examples:
  bitlog2 selftest
  bitlog2 evaluate --model digits --scheme BitLog2_Half_17 --check all
  bitlog2 golden emit --out build/vectors

exit status: 0 all that was asked was done and agreed, 1 something differed, 2 wrong usage"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="bitlog2",
        description="Bit-exact integer attention for 4-bit vision transformers: simulator, golden "
        "vectors, checked PyTorch models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"bitlog2 {__version__}, specification version {SPEC_VERSION}"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for part in (evaluate, grid, report, compare, sweep, golden, export, selftest, bench):
        part.add_parser(commands)
    return top


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"bitlog2: warning: {message}", file=sys.stderr)


def guarded(command: Callable[[], int], program: str = "bitlog2", name: str = "") -> int:
    """Run a command; return its exit status, 2 with one line on standard error for wrong usage.

    Args:
        command: returns the status.
        program: as the line begins.
        name: of the command, for the line on an extra that it needs.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (ValueError, TypeError, OSError, ImportError) as error:
        message = _reason(error, name or program)
        if message is None:
            raise
        print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return status


def _reason(error: Exception, name: str) -> str | None:
    """Return what is wrong, None for an import of ours that fails: that is a fault of the code."""
    if isinstance(error, ImportError):
        message = refusal(name, error.name)
        missing = isinstance(error, ModuleNotFoundError) and "." not in str(error.name)
        return f"{message} ({error})" if message and not missing else message
    if isinstance(error, OSError) and error.errno == ENOSPC and error.filename is None:
        return f"{error}: standard output or a temporary file"
    return str(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    name = " ".join(filter(None, (args.command, getattr(args, "golden_command", None))))
    return guarded(lambda: int(args.run(args)), name=name)


if __name__ == "__main__":
    sys.exit(main())
