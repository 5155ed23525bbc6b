"""Models with their data."""

import pytest
import torch
from digits_models import digits_task

from bitlog2.models.zoo.task import load_task


def test_task_calibration_takes_32_training_images():
    assert digits_task().calibration_images(0).shape == (32, 1, 32, 32)


def test_task_calibration_is_that_of_a_shuffled_loader():
    """The first batch of a DataLoader with shuffle after torch.manual_seed(seed)."""
    task = digits_task()
    torch.manual_seed(7)
    loader = torch.utils.data.DataLoader(task.data.train, 32, shuffle=True, drop_last=True)
    assert torch.equal(task.calibration_images(7), next(iter(loader))[0])


def test_task_calibration_leaves_the_random_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    digits_task().calibration_images(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("limit", "sizes"), [(None, [200, 200, 144]), (250, [200, 50]), (3, [3])])
def test_task_batches_stop_at_the_limit(limit, sizes):
    assert [len(batch.labels) for batch in digits_task().data.batches(200, limit)] == sizes


def test_task_unknown_model_names_the_legal_ones():
    with pytest.raises(
        ValueError, match=r"model must be one of digits, vit_small, .*swin_small, got 'resnet'"
    ):
        load_task("resnet")


def test_task_missing_cuda_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ValueError, match="device must be cpu"):
        load_task("digits", "cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_task_takes_a_cuda_device_by_number(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, where: self)
    assert load_task("digits", device).device == device


@pytest.mark.parametrize("device", ["cuda:", "cuda:01", "cuda:-1", "cuda:x", "tpu", "mps:0"])
def test_task_other_device_is_refused(device):
    with pytest.raises(ValueError, match="device must be cpu, cuda or cuda:N"):
        load_task("digits", device)
