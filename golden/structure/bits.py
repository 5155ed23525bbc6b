"""Many bits of a signal as ranges."""

import re
from collections.abc import Sequence

__all__ = ["collapse"]

_BIT = re.compile(r"(.*)\[(\d+)\]:(0->1|1->0)")
_BOTH = ("0->1", "1->0")


def collapse(texts: Sequence[str]) -> list[str]:
    """Return the texts of points, with bits of a signal that are missed alike as one range.

    `d[0]:0->1`, `d[0]:1->0`, `d[1]:0->1`, `d[1]:1->0` become `d[0-1]`, and `d[2]:0->1` stays.
    """
    seen: dict[str, dict[int, tuple[str, ...]]] = {}
    others = []
    for text in sorted(texts):
        found = _BIT.fullmatch(text)
        if found is None:
            others.append(text)
            continue
        bits = seen.setdefault(found[1], {})
        bits[int(found[2])] = (*bits.get(int(found[2]), ()), found[3])
    return [each for signal, bits in seen.items() for each in _ranges(signal, bits)] + others


def _ranges(signal: str, bits: dict[int, tuple[str, ...]]) -> list[str]:
    """Return runs of neighbouring bits with the same directions."""
    runs: list[list[int]] = []
    for bit in sorted(bits):
        if runs and bit == runs[-1][-1] + 1 and bits[bit] == bits[runs[-1][0]]:
            runs[-1].append(bit)
        else:
            runs.append([bit])
    texts = []
    for run in runs:
        span = str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
        directions = bits[run[0]]
        texts.append(f"{signal}[{span}]" + ("" if directions == _BOTH else f":{directions[0]}"))
    return texts
