"""TF32, bfloat16, cuDNN's choice and autocast cannot reach what the integer arithmetic computes.

Three things ensure it. Every product takes operands of at most 8 significant bits, which TF32 (11)
and bfloat16 (8) hold exactly; sums stay below 2**24 in float32, or are float64 or int32; and there
is no convolution whose algorithm a library could choose. Here every operation of a whole model is
watched for that, and products are taken with rounded operands, as such a device would.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from support import models as swin_models
from support.models import digits_task, quantized_digits, run_watched
from torch.utils._python_dispatch import TorchDispatchMode

from bitlog2.models.ptq.datapath import AttentionDatapath
from bitlog2.models.runs.evaluation import exact_float32
from bitlog2.models.watch.check import Checker
from bitlog2.models.watch.digest import RegisterDigest

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "_int_mm", "linear", "matmul")
LIBRARY_CHOICES = ("conv", "attention", "cudnn", "mkldnn")


def name_of(operation) -> str:
    return operation.overloadpacket.__name__


def significant_bits(x: torch.Tensor) -> int:
    """Return the most bits from the first one to the last one of any value; they are integers."""
    values = x.double()
    assert torch.equal(values, values.round())
    integers = values.long().abs()
    odd = integers // (integers & -integers).clamp(min=1)
    return int(odd.max()).bit_length()


class Watch(TorchDispatchMode):
    """Notes what the products of a model are given."""

    def __init__(self):
        super().__init__()
        self.operands, self.others = [], set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = name_of(operation)
        if name in PRODUCTS:
            self.operands += [arg for arg in args if isinstance(arg, torch.Tensor)]
        else:
            self.others.add(name)
        return operation(*args, **(kwargs or {}))


class Rounded(TorchDispatchMode):
    """Takes float32 products of operands rounded to some significant bits, sums in float64."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits, self.products = bits, 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if name_of(operation) in PRODUCTS and args[0].dtype == torch.float32:
            self.products += 1
            return operation(*(self.rounded(arg) for arg in args), **(kwargs or {})).float()
        return operation(*args, **(kwargs or {}))

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = torch.frexp(x.double())
        return torch.ldexp((mantissa * 2**self.bits).round() / 2**self.bits, exponent)


@contextmanager
def reduced_precision() -> Iterator[None]:
    """Allow everything that a device may do to float32 products, and autocast to bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def models(bits: int = 4):
    return [
        (
            quantized_digits("BitLog2_Half_17", "attention", bits),
            digits_task().calibration_images(0),
        ),
        (swin_models.quantized_swin("BitLog2_Single_16", "attention", bits), swin_models.images()),
    ]


def run(model, images):
    """Return the logits and the digests of every attention register, of four images."""
    digest = RegisterDigest("all")
    logits = run_watched(model, images[:4], digest)
    return logits, digest.digests


@pytest.mark.parametrize("bits", [4, 8])
def test_reduced_precision_operands_have_eight_significant_bits(bits):
    for model, images in models(bits):
        with Watch() as watch:
            run(model, images)
        floats = [x for x in watch.operands if x.is_floating_point()]
        assert len(floats) >= 8
        assert {x.dtype for x in watch.operands} <= {torch.float32, torch.float64, torch.int8}
        assert max(map(significant_bits, floats)) <= 8
        assert not [n for n in watch.others if any(part in n for part in LIBRARY_CHOICES)]


@pytest.mark.parametrize("significand", [11, 8], ids=["TF32", "bfloat16"])
def test_reduced_precision_products_leave_logits_and_registers_alone(significand):
    for model, images in models():
        logits, digest = run(model, images)
        with Rounded(significand) as rounded:
            reduced, same = run(model, images)
        assert rounded.products >= 8
        assert same == digest
        assert torch.equal(reduced, logits)


def test_reduced_precision_changes_the_float_arithmetic():
    """The rounding of these tests is felt where products are of real numbers."""
    model = quantized_digits("BitLog2_Half_17", "float")
    images = digits_task().calibration_images(0)[:4]
    with torch.inference_mode():
        logits = model(images)
        with Rounded(11) as rounded:
            reduced = model(images)
    assert rounded.products > 0
    assert not torch.equal(reduced, logits)


def test_reduced_precision_autocast_leaves_registers_what_the_simulator_says():
    """The registers are those of the codes that came in, whatever made these."""
    for model, images in models():
        checker = Checker("all")
        with reduced_precision():
            run_watched(model, images[:4], checker)
        assert checker.passed, checker.mismatches[0]


def test_reduced_precision_autocast_leaves_the_registers_of_given_codes_alone():
    model, images = models()[0]
    given = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs: given.append((module, inputs)))
        for module in model.modules()
        if isinstance(module, AttentionDatapath)
    ]
    run(model, images)
    for handle in handles:
        handle.remove()
    assert given
    for module, inputs in given:
        plain = module(*inputs).named()
        with reduced_precision():
            reduced = module(*inputs).named()
        assert all(torch.equal(plain[name], reduced[name]) for name in plain)


def test_reduced_precision_is_off_in_a_grid():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    exact_float32()
    assert torch.get_float32_matmul_precision() == "highest" == before
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
