"""What the commands' parsers share."""

import argparse
from collections.abc import Callable
from pathlib import Path

from bitlog2.flow.selection import Selection


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, where there are any, and the examples as they were written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type: an integer from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be an integer from {low} to {high}, got {text!r}"
            )
        return value

    return parse


def output_file(text: str) -> Path:
    """Parse a file to be written: its folder must be there before the work begins."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in a folder that exists, got {text!r}")
    return path


def selection(text: str) -> Selection:
    """Parse `all`, or a list of numbers, ranges and names."""
    try:
        return Selection.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
