"""Vectors of the score accumulator: hand-worked pairs, the bugs that they find, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_golden_helpers import default_tables, simulated, table

from bitlog2.golden.words.framing import row_lengths, sums_of_rows
from bitlog2.sim import AttentionConfig

#: The two differences of a channel to its term.
Device = Callable[[np.ndarray, np.ndarray], np.ndarray]


@pytest.mark.requirement("BL2-SCORE-01", "BL2-SCORE-02")
def test_golden_score_accumulator_of_pairs_worked_by_hand() -> None:
    """Keys 0 and 2 of the row of SPEC.md, and one channel at the bound."""
    inputs = {
        "params": table(zq=[7, 7, 0], zk=[8, 8, 15]),
        "stimulus": table(
            last=[0, 0, 0, 1, 0, 0, 0, 1, 1],
            q=[1, 13, 15, 14, 1, 13, 15, 14, 15],
            k=[11, 7, 12, 8, 15, 6, 4, 11, 0],
        ),
    }
    found = simulated("score_accumulator", inputs)
    assert found["expected"]["score"].tolist() == [8, -65, -225]


def wrap(value: np.ndarray, bits: int) -> np.ndarray:
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


BUGS: dict[str, Device] = {
    "difference of four bits": lambda dq, dk: wrap(dq, 4) * dk,
    "product of eight bits": lambda dq, dk: wrap(dq * dk, 8),
    "|dk|": lambda dq, dk: dq * np.abs(dk),
    "one product wrong": lambda dq, dk: dq * dk + ((dq == -11) & (dk == 14)),
}


@pytest.mark.parametrize("bug", ["none", *BUGS])
def test_golden_score_accumulator_default_cases_find_a_bug(bug: str) -> None:
    tables = default_tables("score_accumulator")
    beats, params = tables["stimulus"], tables["params"]
    channels = row_lengths(beats["last"])
    dq = beats["q"] - np.repeat(params["zq"], channels)
    dk = beats["k"] - np.repeat(params["zk"], channels)
    device = BUGS.get(bug, lambda a, b: a * b)
    found = sums_of_rows(device(dq, dk), beats["last"])
    assert np.array_equal(found, tables["expected"]["score"]) == (bug == "none")


@pytest.mark.parametrize("channels", ["first", "last"])
def test_golden_score_accumulator_default_cases_find_a_missed_channel(channels: str) -> None:
    tables = default_tables("score_accumulator")
    beats, params = tables["stimulus"], tables["params"]
    lengths = row_lengths(beats["last"])
    terms = (beats["q"] - np.repeat(params["zq"], lengths)) * (
        beats["k"] - np.repeat(params["zk"], lengths)
    )
    missed = beats["last"] == 1 if channels == "last" else np.roll(beats["last"] == 1, 1)
    found = sums_of_rows(np.where(missed, 0, terms), beats["last"])
    assert not np.array_equal(found, tables["expected"]["score"])


def test_golden_score_accumulator_default_cases_hold_every_code_and_zero_point() -> None:
    tables = default_tables("score_accumulator")
    beats, params = tables["stimulus"], tables["params"]
    lengths = row_lengths(beats["last"])
    zq, zk = (np.repeat(params[name], lengths) for name in ("zq", "zk"))
    codes = ((beats["q"] * 16 + beats["k"]) * 16 + zq) * 16 + zk
    assert len(np.unique(codes)) == 1 << 16


def test_golden_score_accumulator_default_cases_reach_both_bounds() -> None:
    score = default_tables("score_accumulator")["expected"]["score"]
    assert (score.min(), score.max()) == (-28800, 28800)


def test_golden_score_accumulator_refuses_too_many_channels() -> None:
    inputs = {
        "params": table(zq=[0, 0], zk=[0, 0]),
        "stimulus": table(last=[1, 0, 0, 1], q=[1] * 4, k=[1] * 4),
    }
    with pytest.raises(ValueError, match="score_accumulator case 1: beats must be from 1 to 2"):
        simulated("score_accumulator", inputs, AttentionConfig(max_head_dim=2))
