"""Proportions and their Wilson intervals."""

import pytest

from bitlog2.models.runs.statistics import Proportion


def test_metrics_wilson_interval_is_the_textbook_one():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    low, high = Proportion(81, 263).interval
    assert (round(low / 100, 4), round(high / 100, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(0, 20, 0.0, 16.11), (20, 20, 83.89, 100.0)]
)
def test_metrics_wilson_interval_at_the_ends(hits, total, low, high):
    interval = Proportion(hits, total).interval
    assert interval == pytest.approx((low, high), abs=0.005)


def test_metrics_percent():
    assert Proportion(1, 8).percent == 12.5
