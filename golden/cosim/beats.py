"""The words of a vector set as the beats of a device's streams, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..fields import pack
from ..memfile import render_mem
from ..unit import Tables, row_offsets
from .channels import Device, Shape

__all__ = ["Beat", "Garbage", "beats_of_row", "params_of", "row_bounds", "words_of"]

#: `garbage(bits)` returns bits that mean nothing: what lanes hold that are not kept.
Garbage = Callable[[int], int]


@dataclass(frozen=True)
class Beat:
    """One beat of a stream: `tdata`, `tkeep` and `tlast`."""

    data: int
    keep: int = 1
    last: int = 0


def words_of(shape: Shape, tables: Tables) -> list[int]:
    """Return the words of a channel."""
    columns = tables[shape.channel.stream]
    lines = render_mem(pack(shape.fields, {f.name: columns[f.name] for f in shape.fields}))
    return [int(line, 16) for line in lines.split()]


def row_bounds(device: Device, tables: Tables) -> list[int]:
    """Return the first beat of each row and the number of beats; a case is a row of its own."""
    offsets = row_offsets(device.unit, tables)
    if offsets is not None and not device.contract.plain:
        return [int(each) for each in offsets]
    words = len(next(iter(tables["stimulus"].values())))
    return list(range(words + 1))


def beats_of_row(shape: Shape, words: list[int], lanes: int, garbage: Garbage) -> list[Beat]:
    """Return a row's words as beats: on the last the low lanes are kept.

    Args:
        shape: of the channel.
        words: of the row, at least one.
        lanes: words a beat.
        garbage: what the other lanes hold.
    """
    beats = []
    for first in range(0, len(words), lanes):
        part = words[first : first + lanes]
        spare = (lanes - len(part)) * shape.width
        data = garbage(spare) if spare else 0
        for word in reversed(part):
            data = data << shape.width | word
        last = int(first + lanes >= len(words))
        beats.append(Beat(data, (1 << len(part)) - 1, last))
    return beats


def params_of(device: Device, tables: Tables) -> list[tuple[int, ...]]:
    """Return the layer parameters of every row, in the order of the device's ports."""
    if not device.contract.params:
        return []
    columns = [tables["params"][name] for name in device.contract.params]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]
