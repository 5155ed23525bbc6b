"""The published command line: quantize a model and validate it on ImageNet.

python scripts/test_quant.py --model deit_small --dataset DIR --log_quant_scheme BitLog2_Half_17
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from bitlog2.names import CALIBRATIONS, MODEL_SCHEMES
from bitlog2.scripts.terminal import STYLE, command, progress, run
from bitlog2.scripts.values import SEED, integer, model_name, one_of, scheme_name, value

EXAMPLES = """examples:
  python scripts/test_quant.py --model deit_small --dataset /imagenet \\
      --log_quant_scheme BitLog2_Half_17
  python scripts/test_quant.py --model swin_tiny --dataset /imagenet --w_bit 6 --a_bit 6 \\
      --log_quant_scheme Sqrt2_17 --checkpoint swin_tiny.safetensors --device cpu

The arithmetic is the published fake quantization unless --arithmetic attention is given. For the
whole network in integers, checked registers, intervals and several schemes in one run:
bitlog2 evaluate"""
_MANY = integer(1, 10**6)


def quantize(
    *,
    model: Annotated[str, value(model_name)] = "deit_small",
    dataset: Path | None = None,
    calib_batchsize: Annotated[int, value(_MANY)] = 32,
    val_batchsize: Annotated[int, value(_MANY)] = 200,
    print_freq: Annotated[int, value(_MANY)] = 100,
    num_workers: Annotated[int, value(integer(0, 256))] = 16,
    device: str | None = None,
    seed: Annotated[int, value(SEED)] = 0,
    w_bits: Annotated[int, value(integer(2, 8), name=("--w_bits", "--w_bit"))] = 4,
    a_bits: Annotated[int, value(integer(2, 8), name=("--a_bits", "--a_bit"))] = 4,
    log_quant_scheme: Annotated[
        str, value(scheme_name(MODEL_SCHEMES), name="--log_quant_scheme")
    ] = "BitLog2_Half_17",
    arithmetic: Annotated[str, value(one_of(("float", "attention")))] = "float",
    calibration: Annotated[str, value(one_of(CALIBRATIONS))] = CALIBRATIONS[0],
    classes: Path | None = None,
    checkpoint: Path | None = None,
    ema: bool = False,
    skip_unreadable: bool = False,
) -> int:
    """Quantize a vision transformer after training and validate it.

    Args:
        model: model
        dataset: folder with train/ and val/
        calib_batchsize: training images that calibrate
        val_batchsize: images per batch of the validation
        print_freq: batches between two lines
        num_workers: reading processes
        device: where torch runs (default: cuda if it is there)
        seed: seed of the calibration
        w_bits: width of weight codes
        a_bits: width of activation codes
        log_quant_scheme: code of the attention map
        arithmetic: arithmetic
        calibration: how scales, weight codes and biases are chosen
        classes: the model's class names, as bitlog2 evaluate
        checkpoint: weights, not the hub's
        ema: the checkpoint's averaged weights
        skip_unreadable: leave unreadable validation images out
    """
    options = dict(locals())
    from bitlog2.flow.published import quantize_and_validate
    from bitlog2.models.ptq.quantize import QuantizationSpec
    from bitlog2.models.zoo.task import DataSource

    widths = (w_bits, a_bits)
    spec = QuantizationSpec(log_quant_scheme, arithmetic, *widths, calibration=calibration)
    print(" ".join(f"{name}={given}" for name, given in sorted(options.items())))
    quantize_and_validate(
        model,
        spec,
        DataSource(dataset, num_workers, skip_unreadable, classes),
        checkpoint=checkpoint,
        ema=ema,
        device=device,
        seed=seed,
        calibration_images=calib_batchsize,
        batch_size=val_batchsize,
        print_freq=print_freq,
        progress=progress,
    )
    return 0


app = command(quantize, EXAMPLES, name="test_quant.py", version_flags=(), **STYLE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run(app, "test_quant.py", argv)


if __name__ == "__main__":
    sys.exit(main())
