"""Vectors of the score requantizer: hand-worked cases, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.sim import AttentionConfig

CONFIG = AttentionConfig()
T_MIN, T_MAX = CONFIG.t_min, CONFIG.t_max


@pytest.mark.parametrize(
    ("score", "m", "n", "bias", "t"),
    [
        (8, 47274, 14, 0, 23),  # key 0 of the row worked in SPEC.md
        (-65, 47274, 14, -20, -208),  # key 2 of it
        (5, 1, 1, 0, 3),  # 2.5: ties go up (BL2-REQ-01)
        (-5, 1, 1, 0, -2),  # -2.5: up too
        (28800, 65535, 0, -1, T_MAX),  # one saturation, after the bias (BL2-REQ-02)
        (-28800, 65535, 0, 1, T_MIN),
        (T_MAX // 8 + 1, 8, 0, -8, T_MAX + 1 - 8),  # past the top, and back (BL2-REQ-02)
        (0, 1, 28, T_MIN, T_MIN),  # every bias is accepted (BL2-REQ-03)
    ],
)
def test_golden_score_requantizer_of_a_case_worked_by_hand(
    score: int, m: int, n: int, bias: int, t: int
) -> None:
    stimulus = table(score=[score], m=[m], n=[n], bias=[bias])
    assert simulated("score_requantizer", {"stimulus": stimulus})["expected"]["t"] == [t]


def rounded(product: np.ndarray, n: np.ndarray) -> np.ndarray:
    return (product + ((1 << n) >> 1)) >> n


def sat(value: np.ndarray) -> np.ndarray:
    return np.clip(value, T_MIN, T_MAX)


Device = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
BUGS: dict[str, Device] = {
    "TRN": lambda p, n, b: sat((p >> n) + b),
    "toward zero": lambda p, n, b: sat(np.sign(p) * (np.abs(p) >> n) + b),
    "ties away from zero": lambda p, n, b: sat(np.sign(p) * rounded(np.abs(p), n) + b),
    "ties to even": lambda p, n, b: sat(np.rint(p / 2.0**n).astype(np.int64) + b),
    "no rounding at n = 1": lambda p, n, b: sat(np.where(n == 1, p >> n, rounded(p, n)) + b),
    "saturated before the bias": lambda p, n, b: sat(sat(rounded(p, n)) + b),
    "wrapped at the top": lambda p, n, b: ((rounded(p, n) + b + (1 << 17)) & 0x3FFFF) - (1 << 17),
    "top one low": lambda p, n, b: np.clip(rounded(p, n) + b, T_MIN, T_MAX - 1),
    "bottom one high": lambda p, n, b: np.clip(rounded(p, n) + b, T_MIN + 1, T_MAX),
    "no bias": lambda p, n, b: sat(rounded(p, n)),
    "product of 31 bits": lambda p, n, b: sat(
        rounded(((p + (1 << 30)) & 0x7FFFFFFF) - (1 << 30), n) + b
    ),
    "shift of four bits": lambda p, n, b: sat(rounded(p, n & 15) + b),
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_score_requantizer_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("score_requantizer")
    columns = tables["stimulus"]
    device = BUGS.get(bug, lambda p, n, b: sat(rounded(p, n) + b))
    found = device(columns["score"] * columns["m"], columns["n"], columns["bias"])
    assert np.array_equal(found, tables["expected"]["t"]) == (bug == "none")


def test_golden_score_requantizer_is_exhaustive_where_inputs_are_few() -> None:
    config = AttentionConfig(q_bits=2, k_bits=2, max_head_dim=1, m_bits=4, max_n=3, t_bits=8)
    assert len(default_tables("score_requantizer", config)["expected"]["t"]) == (
        19 * 15 * 4 * 256 + 2048
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", 28801, "score must be from -28800 to 28800, got 28801"),
        ("m", 0, "m must be from 1 to 65535, got 0"),
        ("n", 29, "n must be from 0 to 28, got 29"),
    ],
)
def test_golden_score_requantizer_refuses_and_names_the_case(
    field: str, value: int, message: str
) -> None:
    stimulus = table(score=[1, 1], m=[1, 1], n=[0, 0], bias=[0, 0])
    stimulus[field][1] = value
    with pytest.raises(ValueError, match=f"score_requantizer case 1: {message}"):
        simulated("score_requantizer", {"stimulus": stimulus})
