"""The same registers on every device, where torch finds a CUDA device."""

import copy

import pytest
import torch
from support import models as swin_models
from support.evaluations import run
from support.models import digits_task, quantized_digits, random_inputs

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.runs.request import EvaluationRequest
from bitlog2.models.runs.result import read_result
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.digest import pixel_digests
from bitlog2.models.watch.watching import watch
from bitlog2.sim import SCHEMES, AttentionConfig

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def moved(inputs, device):
    return [x.to(device) if torch.is_tensor(x) else x for x in inputs]


@needs_cuda
@pytest.mark.parametrize("scheme", SCHEMES)
def test_device_datapath_gives_the_registers_of_the_cpu(scheme):
    for bits in (4, 8):
        widths = {f"{name}_bits": bits for name in "qkvo"}
        config = AttentionConfig(scheme, **widths)
        for seed, tokens in enumerate((1, 33, 197, 300)):
            inputs = random_inputs(tokens, seed, config, masks=True, bias=True)
            expected = AttentionDatapath(config)(*inputs).named()
            found = AttentionDatapath(config).cuda()(*moved(inputs, "cuda")).named()
            for name, values in expected.items():
                assert torch.equal(found[name].cpu(), values), name


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_device_models_agree_with_the_simulator(device, precision):
    """TF32 allowed or not: every register of every layer, while the device runs ahead."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        for model, images in (
            (quantized_digits("BitLog2_Half_17"), digits_task().calibration_images(0)),
            (swin_models.quantized_swin("BitLog2_Single_16"), swin_models.images()),
        ):
            there = copy.deepcopy(model).to(device)
            checker = Checker("all")
            with watch(there, checker) as watched:
                for start in range(0, 8, 4):
                    watched.run(images[start : start + 4].to(device), range(start, start + 4))
            assert checker.passed, checker.mismatches[0]
    finally:
        torch.set_float32_matmul_precision(before)


@needs_cuda
def test_device_run_is_checked_and_digested(tmp_path):
    request = EvaluationRequest(
        models=("digits",), schemes=("BitLog2_Half_17",), limit=8, batch_size=4, device="cuda"
    )
    unquantized, cell = read_result(run(tmp_path / "run", request).path).cells
    assert cell.check.passed
    assert len(cell.digests.registers) == 64
    assert cell.digests.pixels == unquantized.digests.pixels


@needs_cuda
def test_device_digest_of_pixels_is_that_of_the_cpu():
    images = digits_task().calibration_images(0)[:3]
    assert pixel_digests(images.cuda()) == pixel_digests(images)
