"""How many values a check compares, held against what checkers count."""

import pytest
import swin_models
from digits_models import digits_task, quantized_digits, run_watched

from bitlog2.models.watch.check import Checker, HeadChoice, Shapes, values_compared


def shapes_of(model, image):
    shapes = Shapes()
    run_watched(model, image, shapes)
    return shapes.layers


def models():
    """A model of one window, and one of several, some of them masked."""
    yield quantized_digits("BitLog2_Half_17"), digits_task().data.test[:3][0]
    yield swin_models.quantized_swin("BitLog2_Single_16"), swin_models.images()[:3]


@pytest.mark.parametrize("mode", ["all", "sample", "sample:7"])
def test_check_counts_are_those_of_the_checker(mode):
    for model, images in models():
        numbers = [4, 5, 9]
        checker = Checker(mode, 3)
        run_watched(model, images, checker, numbers=numbers)
        shapes = shapes_of(model, images[:1])
        assert values_compared(shapes, HeadChoice(mode, 3), numbers) == checker.compared


def test_check_counts_of_a_masked_model_leave_masked_keys_out():
    shapes = shapes_of(swin_models.quantized_swin("BitLog2_Single_16"), swin_models.images()[:1])
    counts = values_compared(shapes, HeadChoice("all"), [0])
    assert counts["d"] == counts["e"] < counts["t"]


def test_check_counts_of_a_model_without_registers_are_none():
    assert shapes_of(quantized_digits("none"), digits_task().data.test[:1][0]) == {}
