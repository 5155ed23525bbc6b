"""Quantized forms of the embedded model and of a small Swin, made once per test process."""

import copy
from functools import cache, lru_cache

import torch
from timm.models.swin_transformer import SwinTransformer, WindowAttention

from bitlog2.models.ptq.quantize import QuantizationSpec, quantize
from bitlog2.models.watch.digest import pixel_digests
from bitlog2.models.watch.watching import Observation, watch
from bitlog2.models.zoo.checkpoint import model_digest
from bitlog2.models.zoo.task import Task, load_task
from bitlog2.names import FLOAT_ONLY, USUAL_SCHEMES
from bitlog2.sim import LayerParams
from support.quick import quick_where

#: Every scheme in each arithmetic that it has a form in.
FORMS = [
    (scheme, arithmetic)
    for scheme in USUAL_SCHEMES
    for arithmetic in ("float", "attention")
    if arithmetic == "float" or scheme not in FLOAT_ONLY
]
#: The same as parameters: in `make test` a scheme of each family, and a form without codes.
FORMS_RUN = quick_where(
    lambda scheme, arithmetic: (
        (scheme, arithmetic)
        in {
            ("none", "float"),
            ("uniform_4", "attention"),
            ("BitLog2_Half_17", "float"),
            ("BitLog2_Half_17", "attention"),
            ("RowMax_16", "attention"),
        }
    ),
    FORMS,
)


@lru_cache(maxsize=1)
def digits_task() -> Task:
    return load_task("digits")


@cache
def quantized_digits(scheme: str, arithmetic: str = "attention", bits: int = 4):
    """A quantized model, shared: tests leave it as it is."""
    task = digits_task()
    spec = QuantizationSpec(scheme, arithmetic, bits, bits)
    return quantize(task.model, task.calibration_images(0), spec)


_MADE: dict[tuple, torch.nn.Module] = {}


def quantized_once(model, images, spec, **how):
    """A copy of what `quantize` makes; the same model, images and specification calibrate once."""
    key = model_digest(model), pixel_digests(images), spec
    if key not in _MADE:
        while len(_MADE) >= 12:
            del _MADE[next(iter(_MADE))]
        _MADE[key] = quantize(model, images, spec, **how)
    return copy.deepcopy(_MADE[key])


@lru_cache(maxsize=1)
def swin():
    """A small Swin with a position bias that matters.

    Two stages of two blocks: 4 windows of 16 tokens, then one; shifted windows in the first.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SwinTransformer(
            img_size=32,
            patch_size=4,
            embed_dim=24,
            depths=(2, 2),
            num_heads=(2, 3),
            window_size=4,
            num_classes=10,
        )
        for module in model.modules():
            if isinstance(module, WindowAttention):
                torch.nn.init.normal_(module.relative_position_bias_table, std=1.0)
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight, gain=1.5)
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.uniform_(module.weight, 0.3, 2.0)
                torch.nn.init.normal_(module.bias, std=0.5)
    return model.eval().requires_grad_(False)


def images(count=16, seed=1):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@cache
def quantized_swin(scheme, arithmetic="attention", bits=4):
    """A quantized model, shared: tests leave it as it is."""
    return quantize(swin(), images(), QuantizationSpec(scheme, arithmetic, bits, bits))


def run_watched(model, images, *watchers, numbers=None):
    """The output of one batch."""
    with watch(model, *watchers) as watched:
        return watched.run(images, numbers)


def observed(config, inputs, output, numbers=None, layer="layer"):
    """The observation of a call of a datapath, of one image per row of heads."""
    return Observation.of_run(
        layer, config, inputs, output, numbers or tuple(range(len(inputs[0])))
    )


def random_inputs(tokens, seed, config, *, masks, bias, batch=2, heads=2):
    """Arguments of a datapath: codes of five queries, parameters over their ranges, masks, bias."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, *shape):
        return torch.randint(low, high + 1, shape, generator=generator)

    top = (1 << config.q_bits) - 1
    rows, channels = 5, 16
    q, k, v = (draw(0, top, batch, heads, n, channels).float() for n in (rows, tokens, tokens))
    zeros = [int(draw(0, top)) for _ in range(4)]
    m, n, m2, n2 = (int(draw(*ends)) for ends in ((1, 65535), (0, 28), (1, 65535), (0, 36)))
    params = LayerParams(m, n, m2, min(n2, config.max_layer_n2), *zeros)
    masked = offsets = None
    if masks:
        masked = torch.rand(batch, heads, rows, tokens, generator=generator) < 0.3
        masked[..., int(draw(0, tokens - 1))] = False
    if bias:
        offsets = draw(-4000, 4000, 1, heads, rows, tokens)
    return (q, k, v, params, masked, offsets)
