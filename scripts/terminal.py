"""Parts of every command line: help, errors in one line, exit status."""

import json
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any, TextIO

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    RepeatArgumentError,
    UnusedCliTokensError,
)

from bitlog2.extras import refusal

from .help_page import HELP_FLAGS, description, entry, section


class PlainHelp:
    """Help in two columns of 80 characters, without boxes: read on a terminal and in a file.

    Args:
        examples: lines after everything else, as they stand.
    """

    def __init__(self, examples: str = "") -> None:
        self.examples = examples
        self._names: dict[str, tuple[str, ...]] = {}

    def show(self, app: App, print_help: Callable[[], None]) -> None:
        """Print the help of a command: what its parsers take is added to the options' lines."""
        if app.default_command is not None:
            for argument in app.assemble_argument_collection():
                found = getattr(argument.parameter.converter, "names", ())
                self._names |= dict.fromkeys(argument.names, found)
        print_help()
        print(f"\n{self.examples}".rstrip())

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Print the options or commands of one title."""
        if not panel.entries:
            return
        about = _plain(panel.description)
        print(section(panel.title, map(self._entry, panel.entries), about))

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        """Print the line of usage."""
        print(str(usage).strip())

    def render_description(self, console: Any, options: Any, text: Any) -> None:
        """Print what the command does."""
        print(description(_plain(text)))

    def _entry(self, shown: Any) -> list[str]:
        """Return the lines of an option or a command."""
        options = (*shown.names, *shown.shorts)
        label = getattr(shown, "positional_label", None)  # of cyclopts 5
        kinds = re.findall("bool|int|Path", str(shown.type or ""))
        takes = {"bool": "", "int": " N", "Path": " PATH"}[kinds[0]] if kinds else " TEXT"
        is_option = shown.type is not None and options and options[0].startswith("-")
        left = ", ".join(filter(None, (label, *options))) + (takes if is_option else "")
        names = next((self._names[each] for each in options if self._names.get(each)), ())
        text = _plain(shown.description) + f": {', '.join(names)}" * bool(names)
        if shown.default not in (None, "", "False", "()", "None", False, ()):
            text += f" (default: {shown.default})"
        return entry(left, text)


def _plain(text: Any) -> str:
    """Return the words of what may be a renderable."""
    found = getattr(text, "primary_renderable", text) or ""
    return " ".join(str(getattr(found, "plain", found)).split())


#: How every command reads, and shows its help.
STYLE: dict[str, Any] = {
    "help_format": "plaintext",
    "result_action": "return_value",
    "exit_on_error": False,
    "print_error": False,
    "help_flags": HELP_FLAGS,
    "default_parameter": Parameter(negative=()),
}


#: Exit status of a command that compares nothing.
_DONE = "exit status: 0 done, 2 wrong usage"


def command(function: Callable[..., int], examples: str = "", **rest: Any) -> App:
    """Return the app of a command's module: its function, and the examples of its help.

    The help ends with what the exit status says: in the examples, or of a command that compares
    nothing.
    """
    if "exit status" not in examples.lower():
        examples = f"{examples.rstrip()}\n\n{_DONE}".lstrip()
    return App(default_command=function, help_formatter=PlainHelp(examples), **rest)


def error_line(error: CycloptsError) -> str:
    """Return an error of the command line on one line: argument, legal range, value."""
    text, argument = " ".join(str(error).split()), error.argument
    if isinstance(error, RepeatArgumentError):
        text = f"{error.token.keyword} must be given once"
    elif argument is not None:
        name = next((token.keyword for token in argument.tokens if token.keyword), argument.name)
        if isinstance(error, MissingArgumentError):
            text = f"{name} must be given with a value"
        elif error.msg:  # of a parser: "must be ..., got ..."
            text = f"{name} {error.msg}"
    elif isinstance(error, UnusedCliTokensError):
        text = f"argument must be one that the help lists, got {(error.unused_tokens or [''])[0]!r}"
    return text


def run(app: App, program: str, argv: Sequence[str] | None) -> int:
    """Run a command; return its exit status, 2 with one line on standard error for wrong usage."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        chain, apps, _ = app.parse_commands(words)
        for each in apps:
            if each.default_command is not None:  # the line of the table is for its parent's help
                each.help = each.default_command.__doc__
        function, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        name = " ".join((program, *(error.command_chain or ())))
        _complain(f"{name}: error: {error_line(error)}")
        return 2

    def called() -> int:
        if chain and chain[-1] in app.help_flags:
            formatter = apps[-2].help_formatter
            assert isinstance(formatter, PlainHelp)
            formatter.show(apps[-2], lambda: function(*bound.args, **bound.kwargs))
            return 0
        if not _is_run(chain, words):
            check_alone(" ".join((program, *chain[:1])))
        return int(function(*bound.args, **bound.kwargs) or 0)

    return guarded(called, program, " ".join(chain))


def _is_run(chain: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a command works on a run, which several processes share."""
    return chain == ("resume",) or any(word.split("=")[0] == "--run" for word in words)


def check_alone(program: str) -> None:
    """Refuse processes of torchrun that would each do all of it, and write the same files."""
    size = os.environ.get("WORLD_SIZE", "1")
    if "RANK" in os.environ and size != "1":
        raise ValueError(
            f"{program} must be run by one process, got WORLD_SIZE {size}: what torchrun's "
            "processes share is a run (bitlog2 resume RUN)"
        )


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
        _complain(f"{program}: error: {' '.join(message.split())}")
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
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
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


#: Seconds between two lines of progress where standard error is no terminal.
LOG_SECONDS = 120.0


def progress(items: Iterable[Any], label: str, total: int | None = None) -> Iterator[Any]:
    """Yield `items` with a progress bar on standard error, or lines where that is no terminal.

    Both go on while one item takes its time.
    """
    if not sys.stderr.isatty():
        yield from _logged(items, label, total)
        return
    from tqdm import tqdm

    with tqdm(items, desc=label, total=total, leave=False) as bar, _every(1.0, bar.refresh):
        yield from bar


def _logged(items: Iterable[Any], label: str, total: int | None) -> Iterator[Any]:
    """Yield items; every `LOG_SECONDS` print how many are done, and the time that is left."""
    begun, done = time.monotonic(), 0

    def tell() -> None:
        taken = time.monotonic() - begun
        known = "" if total is None else f" of {total}"
        if done and total is not None:
            known += f", {taken / done * (total - done):.0f} s left"
        print(f"{label}: {done}{known}, {taken:.0f} s", file=sys.stderr, flush=True)

    with _every(LOG_SECONDS, tell):
        for each in items:
            yield each
            done += 1


@contextmanager
def _every(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call a function every so many seconds, from a thread of its own, while the block runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def report(found: Any, file: Path | None) -> int:
    """Print what was found, write it where it is wanted, and return its exit status.

    Args:
        found: has `lines` and `status`, and is what `write_json` takes.
        file: what it is written to as JSON; None for none.
    """
    write_json(file, found)
    show(found.lines())
    return int(found.status)


#: What a report says of a failure, in capital letters.
_FAILURE = re.compile(
    r"\b(DIFFER(S|ENT)?|FAILED|MISMATCH|MISSING|REFUTED|NOT PROVED|NOT MET|error:)(?!\w)"
)


def show(lines: Iterable[str]) -> None:
    """Print a report; on a terminal, failures in red, where NO_COLOR is not set."""
    text = "\n".join(lines)
    print(_coloured(text) if _has_colour(sys.stdout) else text, flush=True)


def _coloured(text: str) -> str:
    return _FAILURE.sub("\033[1;31m\\g<0>\033[0m", text)


def _has_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _complain(line: str) -> None:
    """Print an error on standard error."""
    print(_coloured(line) if _has_colour(sys.stderr) else line, file=sys.stderr)


def write_json(path: Path | None, found: Any) -> None:
    """Write a document, what has `as_dict`, or a dataclass or dictionary, as JSON.

    Args:
        path: the file; None for none.
        found: of a dataclass its fields are written, and its `status` where it has one.
    """
    if path is None:
        return
    from bitlog2.documents import Document, render
    from bitlog2.sim.files import write_whole

    write_whole(path, render(found) if isinstance(found, Document) else _rendered(found))


def _plain_json(value: Any) -> Any:
    """Return a path as its text, and a number of numpy's as Python's."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise NotImplementedError


def _rendered(found: Any) -> bytes:
    from msgspec import to_builtins

    values = found.as_dict() if hasattr(found, "as_dict") else found
    values = to_builtins(values, str_keys=True, enc_hook=_plain_json)
    status = {"status": found.status} if is_dataclass(found) and hasattr(found, "status") else {}
    return (json.dumps(status | values, indent=2) + "\n").encode()
