"""Attention rows as explicit cases, and as the columns of their streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import LayerParams

from .unit import CaseGroup, Origin, Row, Tables, Target, tables_of

#: The layer parameters that a row needs, in the order of the words of `attention_row.params`.
PARAMETERS = ("m", "n", "m2", "n2", "zv", "zo")


@dataclass(frozen=True, eq=False)
class RowCase:
    """One attention row with known scores.

    Attributes:
        scores: (N,) integers within the score register's bound.
        v: (N, D) codes.
        params: parameters that the layer loads.
        masked: (N,) bool, True for a key that takes no part; None for none.
        bias: (N,) integers in the range of t; None for zeros.
        reason: purpose of the case.
        origin: place of capture; None for a row that was made.
    """

    scores: NDArray[Any]
    v: NDArray[Any]
    params: LayerParams
    masked: NDArray[np.bool_] | None = None
    bias: NDArray[np.int64] | None = None
    reason: str = ""
    origin: Origin | None = None

    @property
    def keys(self) -> int:
        """N."""
        return len(self.scores)

    @property
    def values(self) -> Row:
        """The values of the keys by port, and those that the row loads."""
        none = np.zeros(self.keys, np.int64)
        return {
            **{name: getattr(self.params, name) for name in PARAMETERS},
            "mask": none if self.masked is None else self.masked,
            "score": self.scores,
            "bias": none if self.bias is None else self.bias,
            "v": self.v,
        }


def check_row(case: RowCase, target: Target, name: str) -> None:
    """Refuse a row whose arrays do not belong together.

    Raises:
        TypeError: an array holds no integers, or `masked` no bool.
        ValueError: a shape is wrong; ranges are checked when the row is packed and simulated.
    """
    keys = case.keys
    arrays: list[tuple[str, NDArray, tuple[int, ...], str]] = [
        ("scores", case.scores, (keys,), "iu"),
        ("v", case.v, (keys, target.head_dim), "iu"),
    ]
    if case.masked is not None:
        arrays.append(("masked", case.masked, (keys,), "b"))
    if case.bias is not None:
        arrays.append(("bias", case.bias, (keys,), "iu"))
    for field, array, shape, kinds in arrays:
        if array.dtype.kind not in kinds:
            kind = "bool" if kinds == "b" else "integers"
            raise TypeError(f"{field} of {name} must hold {kind}, got dtype {array.dtype}")
        if array.shape != shape:
            raise ValueError(f"{field} of {name} must have shape {shape}, got {array.shape}")
    if keys == 0:
        raise ValueError(f"scores of {name} must hold at least one key")


def tables_of_rows(cases: Sequence[RowCase]) -> Tables:
    """Return the input streams `params` and `stimulus` of these rows."""
    return tables_of([case.values for case in cases])


def cut_rows(tables: Tables, offsets: NDArray[np.int64]) -> list[RowCase]:
    """Return the rows of the input streams: the inverse of `tables_of_rows`.

    Raises:
        ValueError: a layer parameter is out of every configuration's range; names the case.
    """
    beats, params = tables["stimulus"], tables["params"]
    head = beats["v"].reshape(len(beats["v"]), -1)
    cases = []
    for index, (first, end) in enumerate(pairwise(offsets.tolist())):
        try:
            layer = LayerParams(**{name: int(params[name][index]) for name in PARAMETERS})
        except ValueError as error:
            raise ValueError(f"attention_row case {index}: {error}") from None
        part = slice(first, end)
        cases.append(
            RowCase(
                scores=beats["score"][part],
                v=head[part],
                params=layer,
                masked=beats["mask"][part] == 1,
                bias=beats["bias"][part],
            )
        )
    return cases


def group_rows(cases: Sequence[RowCase], source: str) -> list[CaseGroup]:
    """Return the rows as groups: neighbours with the same reason and origin share one."""
    starts = [
        i
        for i, case in enumerate(cases)
        if i == 0 or (case.reason, case.origin) != (cases[i - 1].reason, cases[i - 1].origin)
    ]
    groups = []
    for first, end in pairwise([*starts, len(cases)]):
        part = cases[first:end]
        tables = tables_of_rows(part)
        groups.append(CaseGroup(source, part[0].reason, len(part), tables, part[0].origin))
    return groups
