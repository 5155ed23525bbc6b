"""The published data that the project keeps, against the files that it was copied from."""

from pathlib import Path

import numpy as np
import pytest
from published import PUBLISHED

from bitlog2.models.zoo import architectures as zoo

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of published data is not there")
def test_published_quantizers_are_those_of_the_source():
    with np.load(SHARED / "reference.npz") as source:
        assert set(source.files) == set(PUBLISHED.files)
        assert all(np.array_equal(source[key], PUBLISHED[key]) for key in source.files)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of published data is not there")
def test_published_accuracies_are_those_of_the_source():
    kept = Path(zoo.__file__).parent / "published_accuracy.csv"
    assert kept.read_text().split() == (SHARED / "published_accuracy.csv").read_text().split()
