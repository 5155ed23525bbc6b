"""`bitlog2 estimate`: how fast the attention of a model is on the reference RTL."""

from typing import Annotated

from bitlog2.names import CODED
from bitlog2.sim.config import AttentionConfig

from .terminal import command, report
from .values import Json, Lanes, Model, integer, number, scheme_name, value

EXAMPLES = """examples:
  bitlog2 estimate --model digits
  bitlog2 estimate --model deit_small --lanes 16 --mhz 120 --scheme RowMax_16
  bitlog2 estimate --model timm:vit_base_patch16_384 --json estimate.json

Weights are not needed. Memory: all codes of a layer, of its map and of q, k, v and o; the module
itself keeps one row. Gates: stored tables of golden cost, as they were counted."""


def estimate(
    *,
    model: Model = None,
    scheme: Annotated[str, value(scheme_name(CODED))] = AttentionConfig().scheme,
    a_bits: Annotated[int, value(integer(2, 8))] = 4,
    lanes: Lanes = None,
    mhz: Annotated[float, value(number(0.001, 1e5))] = 100.0,
    json: Json = None,
) -> int:
    """Add up the cycles of a model's attention on one row module, layer by layer.

    The formula of a row is that of the header of attention_row in the reference RTL, which
    simulation holds. What is not counted is named: linear layers, norms, the products of q and k.

    Args:
        scheme: code of the attention map
        a_bits: width of the codes of q, k, v and o
        mhz: clock, as golden cost --place finds it
    """
    from bitlog2.flow.estimate import estimate as estimated

    found = estimated(
        model or "digits", scheme, a_bits=a_bits, lanes=4 if lanes is None else lanes, mhz=mhz
    )
    return report(found, json)


app = command(estimate, EXAMPLES)
