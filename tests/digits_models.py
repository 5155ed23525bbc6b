"""Quantized forms of the embedded model, made once a test process."""

from functools import lru_cache

from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.watch.watching import Observation, watch
from bitlog2.models.zoo.task import Task, load_task


@lru_cache(maxsize=1)
def digits_task() -> Task:
    return load_task("digits")


@lru_cache(maxsize=16)
def quantized_digits(scheme: str, arithmetic: str = "integer", bits: int = 4):
    """A quantized model, shared: tests leave it as it is."""
    task = digits_task()
    spec = QuantizationSpec(scheme, arithmetic, bits, bits)
    return quantize(task.model, task.calibration_images(0), spec)


def run_watched(model, images, *watchers, numbers=None):
    """The output of one batch."""
    with watch(model, *watchers) as watched:
        return watched.run(images, numbers)


def observed(config, inputs, output, numbers=None, layer="layer"):
    """The observation of a call of a datapath, of one image per row of heads."""
    return Observation.of_run(
        layer, config, inputs, output, numbers or tuple(range(len(inputs[0])))
    )
