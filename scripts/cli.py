"""`bitlog2`: the one console command."""

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from errno import ENOSPC
from typing import TextIO

from bitlog2 import SPEC_VERSION, __version__
from bitlog2.extras import refusal

from . import bench, compare, evaluate, export, golden, grid, report, selftest, sweep

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
    except (ValueError, TypeError, OSError, ImportError, MemoryError, RuntimeError) as error:
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
    """Return what is wrong; None for a fault of the code, as an import of ours that fails."""
    if isinstance(error, MemoryError | RuntimeError):
        return _memory(error, name)
    if isinstance(error, ImportError):
        message = refusal(name, error.name)
        missing = isinstance(error, ModuleNotFoundError) and "." not in str(error.name)
        return f"{message} ({error})" if message and not missing else message
    if isinstance(error, OSError) and error.errno == ENOSPC and error.filename is None:
        return f"{error}: standard output or a temporary file"
    return str(error)


def _memory(error: MemoryError | RuntimeError, name: str) -> str | None:
    """Return what to do where memory ran out: Python's, of a CUDA device, or torch's on the CPU."""
    words = r"allocate memory|out of memory|not enough memory|ALLOC_FAILED"
    if not isinstance(error, MemoryError) and re.search(words, str(error)) is None:
        return None
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if name.startswith("golden"):
        return f"memory ran out: {first}"
    return (
        "memory must hold a batch: a smaller --batch-size takes less, and --calibration-images, "
        "which go through the model as one batch, as a layer is calibrated from all of its values; "
        f"got {first}"
    )


def check_alone(program: str) -> None:
    """Refuse processes of torchrun that would each do all of it, and write the same files."""
    size = os.environ.get("WORLD_SIZE", "1")
    if "RANK" in os.environ and size != "1":
        raise ValueError(
            f"{program} must be run by one process, got WORLD_SIZE {size}: what torchrun's "
            "processes share is a run (bitlog2 resume RUN)"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = parser().parse_args(argv)
    name = " ".join(filter(None, (args.command, getattr(args, "golden_command", None))))

    def command() -> int:
        if args.command != "resume" and getattr(args, "folder", None) is None:
            check_alone(f"bitlog2 {args.command}")
        return int(args.run(args))

    return guarded(command, name=name)


if __name__ == "__main__":
    sys.exit(main())
