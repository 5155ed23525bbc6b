"""What each code of the attention map costs as a row: the schemes, and controls beside them."""

from collections.abc import Iterator
from dataclasses import dataclass

from bitlog2.names import NORMALIZED
from bitlog2.sim import SCHEMES

from .catalogue import (
    BUILT_CODES,
    CHANNELS,
    DIVIDING,
    ONLINE,
    Alternative,
    divided_title,
    row_title,
)
from .measure import CostTable

_HEAD = (
    *("code of the map", "bits", "acc bits"),
    *("gates", "LUT4", "levels"),
    *("gates of attention_row", "LUT4", "levels"),
    *("cycles", "made of"),
)


@dataclass(frozen=True)
class _Parts:
    """Modules whose cells are added up, some of them several times or taken away.

    Attributes:
        counted: how often each is counted.
        text: the modules in words.
        cycles: of a row of 197 keys.
    """

    counted: tuple[tuple[int, Alternative], ...]
    text: str
    cycles: float

    def cells(self, technology: str) -> int:
        """Return the sum of the cells."""
        return sum(times * each.counts[technology].cells for times, each in self.counted)

    def levels(self, technology: str) -> int:
        """Return the levels of the longest path in any of them."""
        return max(each.counts[technology].levels for _, each in self.counted)


class _Measured:
    """The alternatives of the choice `row_max`, by the title of their group."""

    def __init__(self, table: CostTable) -> None:
        (choice,) = (each for each in table.choices if each.name == "row_max")
        self._groups = {
            group.title: {each.name: each for each in group.alternatives} for group in choice.groups
        }

    def of(self, title: str, name: str) -> Alternative:
        """Return an alternative."""
        return self._groups[title][name]

    def row(self, unit: str, code: str) -> Alternative:
        """Return a row of one key a beat."""
        return self.of(row_title(unit, 1), code)

    def dividing(self, code: str) -> list[tuple[int, Alternative]]:
        """Return what divides a published code by the sum of its values."""
        return [(1, self.of(divided_title(unit), code)) for unit in DIVIDING]


def _codes(found: _Measured) -> Iterator[tuple[str, str, _Parts | None, _Parts]]:
    """Return name, code, `softmax_row` and `attention_row` of each code."""
    for code in BUILT_CODES:
        soft, whole = (found.row(unit, code) for unit in ("softmax_row", "attention_row"))
        yield code, code, _alone(soft), _alone(whole)
    for name in NORMALIZED:
        code = name.removesuffix("_normalized")
        if code in SCHEMES and code != name:
            soft, whole = (found.row(unit, code) for unit in ("softmax_row", "attention_row"))
            parts = ((1, whole), *found.dividing(code))
            text = " + ".join(("its row", *DIVIDING))
            yield name, code, _alone(soft), _Parts(parts, text, whole.cycles or 0)
    two, one = (found.of(ONLINE, name) for name in ("two passes", "online"))
    whole = found.row("attention_row", "RowMax_16")
    lanes = ((1, whole), (-CHANNELS, two), (CHANNELS, one))
    text = "its row with online accumulators"
    yield "RowMax_16_online", "RowMax_16", None, _Parts(lanes, text, one.cycles or 0)


def _alone(each: Alternative) -> _Parts:
    return _Parts(((1, each),), "", each.cycles or 0)


def code_lines(table: CostTable) -> list[str]:
    """Return what a row of each code takes, in Markdown.

    Args:
        table: has the choice `row_max` in all technologies.
    """
    lines = [f"| {' | '.join(_HEAD)} |", "|---|" + "--:|" * (len(_HEAD) - 2) + "---|"]
    for name, code, soft, whole in _codes(_Measured(table)):
        config = Alternative("", "", {"scheme": code, "max_tokens": 256}).config
        bits = config.code.storage_bits
        cells = [f"`{name}`", str(bits), str(config.width("acc"))]
        for parts in (soft, whole):
            cells += _cells(parts) if parts is not None else ["", "", ""]
        lines.append(f"| {' | '.join([*cells, f'{whole.cycles:g}', whole.text])} |")
    return lines


def _cells(parts: _Parts) -> list[str]:
    gates, luts = (f"{parts.cells(name):,}" for name in ("generic", "ice40"))
    return [gates, luts, str(parts.levels("ice40"))]
