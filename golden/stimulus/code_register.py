"""Vectors of the code register: levels of a row to nibbles and flags, and to bytes in memory.

A key is a beat. The stream `memory` says in each beat what is written to the planes: the nibble
byte that this key completes (every second key, or the last), and the flag byte (every eighth, or
the last; never where there is no flag plane). A byte that is not written means nothing.
"""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitlog2.sim import AttentionConfig
from bitlog2.sim.kernel.constants import scheme_constants
from bitlog2.sim.spec import code_register, pack_row
from bitlog2.sim.units import code_register as code_register_unit
from bitlog2.sim.units.code_register import code_register_kernel, pack_row_kernel

from ..words.fields import Columns
from ..words.framing import row_lengths, row_slices
from .cases import level_name
from .row_max import random_length
from .sampler import Sampler
from .unit import CaseGroup, GoldenUnit, Point, Progress, Signals, Tables, Target, row_groups


def _corners(target: Target, sampler: Sampler) -> list[CaseGroup]:
    config = target.config
    levels = range(config.code.levels)
    pairs = product(levels, repeat=2) if config.max_tokens >= 2 else ()
    return [
        *_groups("exhaustive", "every level, alone in its row", ([level] for level in levels)),
        *_groups("exhaustive", "every pair of levels in a byte", pairs),
        *_groups("corners", "every N from 1 to 33, and the largest", _lengths(config, sampler)),
        *_groups("corners", "one level 0 in every place of 17 keys, and one other", _hot(config)),
    ]


def _random(target: Target, sampler: Sampler, cases: int) -> list[CaseGroup]:
    rows = (_drawn(target.config, sampler) for _ in range(cases))
    return _groups("random", "N and levels drawn, half of them 0", rows)


def _groups(source: str, reason: str, rows: Iterable[ArrayLike]) -> list[CaseGroup]:
    return row_groups(source, {reason: ({"level": row} for row in rows)})


def _lengths(config: AttentionConfig, sampler: Sampler) -> Iterable[np.ndarray]:
    for keys in sorted({*range(1, min(33, config.max_tokens) + 1), config.max_tokens}):
        yield np.zeros(keys, np.int64)
        yield np.full(keys, config.code.top_level)
        yield sampler.integers(0, config.code.top_level, keys)


def _hot(config: AttentionConfig) -> Iterable[np.ndarray]:
    keys = min(17, config.max_tokens)
    for place in range(keys):
        for one, others in ((0, config.code.top_level), (config.code.top_level, 0)):
            row = np.full(keys, others)
            row[place] = one
            yield row


def _drawn(config: AttentionConfig, sampler: Sampler) -> np.ndarray:
    keys = random_length(config, sampler)
    row = sampler.integers(0, config.code.top_level, keys)
    row[sampler.integers(0, 1, keys) == 1] = 0
    return row


def _writes(keys: int, keys_a_byte: int) -> NDArray[np.int64]:
    """Return for each byte of a plane the key that completes it."""
    return np.minimum(np.arange(keys_a_byte - 1, keys + keys_a_byte - 1, keys_a_byte), keys - 1)


def _memory(
    target: Target, rows: list[slice], planes: Iterator[tuple[bytes, bytes]], beats: int
) -> Columns:
    """Return the stream `memory` of rows whose planes are known."""
    names = ("nibble_write", "nibble_byte", "flag_write", "flag_byte")
    columns = {name: np.zeros(beats, np.int64) for name in names}
    for row, (nibbles, flags) in zip(rows, planes, strict=True):
        keys = row.stop - row.start
        for name, keys_a_byte, plane in (("nibble", 2, nibbles), ("flag", 8, flags)):
            if name == "flag" and not target.config.code.zero_flag:
                continue
            at = row.start + _writes(keys, keys_a_byte)
            columns[f"{name}_write"][at] = 1
            columns[f"{name}_byte"][at] = np.frombuffer(plane, np.uint8)
    return columns


def _simulate(target: Target, inputs: Tables, progress: Progress) -> Tables:
    config, beats = target.config, inputs["stimulus"]
    rows = row_slices(beats["last"])
    level = beats["level"].astype(np.uint8)
    nibble, flag = np.empty((2, len(level)), np.uint8)
    code_register_kernel(level, scheme_constants(config.code), nibble, flag)

    def planes() -> Iterator[tuple[bytes, bytes]]:
        for row in rows:
            keys = row.stop - row.start
            nibbles = np.empty(-(-keys // 2), np.uint8)
            flags = np.empty(-(-keys // 8) if config.code.zero_flag else 0, np.uint8)
            pack_row_kernel(nibble[row], flag[row], nibbles, flags)
            yield nibbles.tobytes(), flags.tobytes()

    return {
        "expected": {"nibble": nibble.astype(np.int64), "flag": flag.astype(np.int64)},
        "memory": _memory(target, rows, planes(), len(level)),
    }


def _specify(target: Target, inputs: Tables, progress: Progress) -> Tables:
    scheme, beats = target.config.code, inputs["stimulus"]
    rows = row_slices(beats["last"])
    codes = np.array([code_register(level, scheme) for level in beats["level"].tolist()])
    planes = (
        pack_row(beats["level"][row].tolist(), scheme)
        for row in progress(rows, "code_register: specification", len(rows))
    )
    return {
        "expected": {"nibble": codes[:, 0], "flag": codes[:, 1]},
        "memory": _memory(target, rows, planes, len(codes)),
    }


def _points(target: Target) -> list[Point]:
    config = target.config
    most, scheme = config.max_tokens, config.code
    of_flag = "BL2-CODE-02" if scheme.zero_flag else "BL2-CODE-01"
    points = [
        Point("one_key", "BL2-ROW-01", "keys", 1),
        Point("most_keys", "BL2-ROW-01", "keys", most),
        Point("row_after_an_odd_row", "BL2-CODE-04"),
    ]
    for level in range(scheme.levels):
        name = level_name(level, config)
        points += [
            Point(name, of_flag, "level", level),
            Point(f"{name}_low", "BL2-CODE-03", "place", 2 * level),
            Point(f"{name}_high", "BL2-CODE-03", "place", 2 * level + 1, most >= 2),
            Point(f"{name}_padded", "BL2-CODE-04", "padded", level),
        ]
    for bit in range(8):
        reached = scheme.zero_flag and most > bit
        points += [
            Point(f"flag_bit_{bit}_clear", "BL2-CODE-03", "flag_bit", 2 * bit, reached),
            Point(f"flag_bit_{bit}_set", "BL2-CODE-03", "flag_bit", 2 * bit + 1, reached),
            Point(f"keys_mod_8_{bit}", "BL2-CODE-04", "rest", bit, most >= (bit or 8)),
        ]
    return points


def _signals(target: Target, tables: Tables) -> Signals:
    last, level = tables["stimulus"]["last"], tables["stimulus"]["level"]
    keys = row_lengths(last)
    place = np.concatenate([np.arange(each) for each in keys.tolist()])
    alone = (last == 1) & (place % 2 == 0)
    flag_bit = 2 * (place % 8) + tables["expected"]["flag"]
    return {
        "keys": keys,
        "rest": keys % 8,
        "row_after_an_odd_row": keys[:-1] % 2 == 1,
        "level": level,
        "place": 2 * level + place % 2,
        "padded": np.where(alone, level, -1),
        "flag_bit": flag_bit if target.config.code.zero_flag else np.full_like(flag_bit, -1),
    }


CODE_REGISTER = GoldenUnit(
    declared=code_register_unit.CODE_REGISTER,
    corners=_corners,
    random=_random,
    random_cases=128,
    kernels=_simulate,
    specify=_specify,
    points=_points,
    signals=_signals,
)
