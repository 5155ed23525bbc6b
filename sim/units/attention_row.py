"""The units in a row: one query against N keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..declarations import Helper, Stream, Unit
from ..expressions import parameter, port
from .code_register import code_register
from .distance_quantizer import distance_quantizer
from .exp2 import exp2
from .log2_quantizer import log2_quantizer
from .output_requantizer import output_requantizer
from .row_max import distance, row_max
from .row_multiplier import row_multiplier
from .row_sum import row_sum
from .score_accumulator import score_accumulator
from .score_requantizer import N, score_requantizer
from .shift_add import shift_add
from .weight_sum import weight_sum

if TYPE_CHECKING:
    from ..config import AttentionConfig, LayerParams

ATTENTION_ROW = Unit(
    "attention_row",
    number=99,  # after every unit
    declares=(),
    streams=(
        Stream("params", "input", "case", ("m", "n", "m2", "n2", "zv", "zo")),
        Stream("stimulus", "input", "beat", ("last", "mask", "score", "bias", "v"), lanes=("v",)),
        Stream("expected", "output", "case", ("o",), lanes=("o",)),
        Stream("keys", "output", "beat", ("last", "t", "d", "e", "level", "nibble", "flag")),
        Stream(
            "rows",
            "output",
            "case",
            ("row_max", "row_sum", "weight_sum", "m2_row", "n2_row", "acc"),
            lanes=("acc",),
        ),
    ),
    makes=(
        ("framing", "keys", "last"),
        ("score_requantizer", "keys", "t"),
        ("row_max", "rows", "row_max"),
        ("distance", "keys", "d"),
        ("exp2", "keys", "e"),
        ("row_sum", "rows", "row_sum"),
        ("log2_quantizer", "keys", "level"),
        ("distance_quantizer", "keys", "level"),
        ("code_register", "keys", "nibble"),
        ("code_register", "keys", "flag"),
        ("weight_sum", "rows", "weight_sum"),
        ("row_multiplier", "rows", "m2_row"),
        ("row_multiplier", "rows", "n2_row"),
        ("shift_add", "rows", "acc"),
        ("output_requantizer", "expected", "o"),
    ),
    assumes=(N.bounded, port("n2") <= parameter("max_layer_n2")),
    longest=parameter("max_tokens"),
    helpers=(Helper("softmax_row"), Helper("delay_line", None)),
)


@dataclass(frozen=True)
class RowTrace:
    """Every register of one row, in the order of the data.

    `score`, `t`, `d`, `e`, `level`, `nibble`, `flag` have a value per key (N); `acc` and `o` one
    per output channel (D); the others one per row. `e` and `row_sum` are None for RowMax;
    `weight_sum`, `m2_row` and `n2_row` are None for the other schemes.
    """

    score: list[int]
    t: list[int]
    row_max: int
    d: list[int]
    e: list[int] | None
    row_sum: int | None
    level: list[int]
    nibble: list[int]
    flag: list[int]
    weight_sum: int | None
    m2_row: int | None
    n2_row: int | None
    acc: list[int]
    o: list[int]


def attention_row(
    q: Sequence[int],
    k: Sequence[Sequence[int]],
    v: Sequence[Sequence[int]],
    params: LayerParams,
    config: AttentionConfig,
    masked: Sequence[bool] | None = None,
    bias: Sequence[int] | None = None,
) -> RowTrace:
    """Return every register of the row of query `q`.

    Args:
        q: D codes.
        k: N keys of D codes.
        v: N keys of D' codes.
        params: what the layer loads.
        config: what the hardware is built with.
        masked: N flags, True for a key that is left out; None for none.
        bias: N score biases in the range of t; None for zeros.

    Raises:
        ValueError: every key is masked.
    """
    scores = [score_accumulator(q, key, params.zq, params.zk) for key in k]
    return attention_row_from_scores(scores, v, params, config, masked, bias)


def attention_row_from_scores(
    scores: Sequence[int],
    v: Sequence[Sequence[int]],
    params: LayerParams,
    config: AttentionConfig,
    masked: Sequence[bool] | None = None,
    bias: Sequence[int] | None = None,
) -> RowTrace:
    """Return every register of a row whose scores are known: units 2 to 9. As `attention_row`."""
    scheme = config.code
    hidden = list(masked) if masked is not None else [False] * len(scores)
    biases = list(bias) if bias is not None else [0] * len(scores)

    t = [
        score_requantizer(score, params.m, params.n, b, config)
        for score, b in zip(scores, biases, strict=True)
    ]
    largest = row_max(t, hidden)
    d = [distance(value, largest, h, config) for value, h in zip(t, hidden, strict=True)]
    e = row_total = total_weight = m2_row = n2_row = None
    m2, n2 = params.m2, params.n2
    if scheme.row_max:
        level = [distance_quantizer(value, h, config) for value, h in zip(d, hidden, strict=True)]
        total_weight = weight_sum(level, scheme)
        m2, n2 = m2_row, n2_row = row_multiplier(total_weight, m2, n2)
    else:
        e = [exp2(value, h, config) for value, h in zip(d, hidden, strict=True)]
        row_total = row_sum(e)
        level = [log2_quantizer(value, row_total, scheme) for value in e]
    codes = [code_register(value, scheme) for value in level]
    acc = [shift_add(level, column, params.zv, scheme) for column in zip(*v, strict=True)]
    o = [output_requantizer(value, m2, n2, params.zo, config) for value in acc]
    return RowTrace(
        score=list(scores),
        t=t,
        row_max=largest,
        d=d,
        e=e,
        row_sum=row_total,
        level=level,
        nibble=[nibble for nibble, _ in codes],
        flag=[flag for _, flag in codes],
        weight_sum=total_weight,
        m2_row=m2_row,
        n2_row=n2_row,
        acc=acc,
        o=o,
    )
