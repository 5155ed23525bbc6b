"""`bitlog2` called in this process, with its errors as they are raised."""

from typing import Any

from cyclopts import CycloptsError

from bitlog2.scripts.cli import app
from bitlog2.scripts.terminal import error_line


def parsed(*words: object) -> tuple[Any, Any]:
    """Return the function of a command line, and its arguments.

    Raises:
        ValueError: the command line is malformed: as it is printed.
    """
    try:
        function, bound, _ = app().parse_args(
            [str(word) for word in words], exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        raise ValueError(error_line(error)) from error
    return function, bound


def call(*words: object) -> int:
    """Run a command; return its exit status."""
    function, bound = parsed(*words)
    return int(function(*bound.args, **bound.kwargs))
