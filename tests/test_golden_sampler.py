"""The sampler: numbers that no version of numpy changes."""

from __future__ import annotations

import numpy as np

from bitlog2.golden.stimulus.sampler import Sampler


def test_golden_sampler_draws_the_pinned_stream() -> None:
    sampler = Sampler(1, "attention_row.random")
    assert sampler.integers(-5, 5, 8).tolist() == [1, 2, 2, 4, -1, 5, -3, 3]


def test_golden_sampler_reaches_both_ends() -> None:
    drawn = Sampler(2, "ends").integers(-2, 2, 500)
    assert sorted(set(drawn.tolist())) == [-2, -1, 0, 1, 2]


def test_golden_sampler_stays_below_its_power() -> None:
    exponents = np.arange(63).repeat(20)
    drawn = Sampler(3, "powers").below_power(exponents)
    assert ((drawn >= 0) & (drawn < np.left_shift(1, exponents))).all()
