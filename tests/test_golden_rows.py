"""Captured rows as a vector set: origins kept, malformed rows refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_golden_helpers import emit_hand_row, hand_row

from bitlog2.golden import Origin, emit_rows, verify
from bitlog2.sim import AttentionConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": ""}, "case 0 must have a reason and an origin"),
        ({"origin": None}, "case 0 must have a reason and an origin"),
        ({"origin": Origin("m", "l", -1, 0, 0)}, r"origin\.head must be an integer from 0 to "),
        ({"scores": np.array([10, 10, 10])}, r"v of case 0 must have shape \(3, 2\)"),
        ({"scores": np.array([1.0, 2.0])}, "scores of case 0 must hold integers"),
        ({"scores": np.array([28801, 0])}, "score must be from -28800 to 28800"),
        ({"v": np.array([[1, 16], [3, 4]])}, "v must be from 0 to 15"),
        ({"masked": np.array([True, True])}, "masked must leave at least one key"),
        ({"masked": np.array([1, 0])}, "masked of case 0 must hold bool"),
        ({"bias": np.array([0, 1 << 17])}, "bias must be from"),
    ],
    ids=range(10),
)
def test_golden_rows_that_are_malformed_are_refused(
    changes: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        emit_rows(tmp_path / "set", AttentionConfig(), [replace(hand_row(), **changes)])
    assert not (tmp_path / "set").exists()


def test_golden_rows_keep_their_origin(tmp_path: Path) -> None:
    folder = emit_hand_row(tmp_path / "rows")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["groups"][0]["origin"] == {
        "model": "digits",
        "layer": "blocks.0.attn",
        "head": 1,
        "image": 7,
        "row": 3,
    }


def test_golden_rows_verify(tmp_path: Path) -> None:
    assert verify(emit_hand_row(tmp_path / "rows")).ok


def test_golden_rows_keep_mask_and_bias(tmp_path: Path) -> None:
    case = replace(hand_row(), masked=np.array([False, True]), bias=np.array([-3, 4]))
    emit_rows(tmp_path / "rows", AttentionConfig(), [case])
    with np.load(tmp_path / "rows" / "vectors.npz") as arrays:
        assert arrays["attention_row.stimulus.mask"].tolist() == [0, 1]
        assert arrays["attention_row.stimulus.bias"].tolist() == [-3, 4]


def test_golden_rows_of_different_lengths_share_a_set(tmp_path: Path) -> None:
    short = replace(hand_row(row=4), scores=np.array([5]), v=np.array([[1, 2]]))
    emit_rows(tmp_path / "rows", AttentionConfig(), [hand_row(), short])
    with np.load(tmp_path / "rows" / "vectors.npz") as arrays:
        assert arrays["attention_row.row_offsets"].tolist() == [0, 2, 3]
