"""Images in memory: the calibration of a shuffled loader, batches with their numbers."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from bitlog2.models.images.data import TensorImages


def memory() -> TensorImages:
    generator = torch.Generator().manual_seed(11)
    train = TensorDataset(torch.rand(40, 1, 2, 2, generator=generator), torch.arange(40) % 3)
    test = TensorDataset(torch.rand(10, 1, 2, 2, generator=generator), torch.arange(10) % 3)
    return TensorImages(train, test, 3)


@pytest.mark.parametrize("seed", [0, 7])
def test_imagenet_images_in_memory_calibrate_as_a_shuffled_loader_does(seed):
    data = memory()
    torch.manual_seed(seed)
    expected = next(iter(DataLoader(data.train, 32, shuffle=True, drop_last=True)))[0]
    assert torch.equal(data.calibration_images(seed), expected)


def test_imagenet_images_in_memory_come_with_their_numbers():
    data = memory()
    batches = list(data.batches(4, 7))
    assert [batch.numbers.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6]]
    assert torch.equal(torch.cat([batch.images for batch in batches]), data.test[:7][0])


def test_imagenet_images_in_memory_too_few_to_calibrate_with_are_refused():
    with pytest.raises(ValueError, match="count must be 1 to the 40 training images, got 41"):
        memory().calibration_images(0, 41)
