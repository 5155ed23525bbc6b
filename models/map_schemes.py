"""What a model's attention map can be coded with, by name."""

from bitlog2.sim import SCHEMES

__all__ = ["CONTROLS", "FLOAT_ONLY", "MODEL_SCHEMES", "UNIFORM_BITS", "map_bits"]

#: The published baselines: RepQ-ViT's base-sqrt(2) code, float arithmetic only.
FLOAT_ONLY = ("Sqrt2_16", "Sqrt2_17")
#: Beside the schemes, to show what a map's code costs: no code, and a uniform one.
CONTROLS = ("none", "uniform_4")
#: Bits of the control `uniform_4`, whatever the bits of the activations.
UNIFORM_BITS = 4
MODEL_SCHEMES = (*FLOAT_ONLY, *SCHEMES, *CONTROLS)


def map_bits(scheme: str, a_bits: int) -> int | None:
    """Return the bits that the code of one attention value takes; None for a float map.

    A zero flag is counted. The BitLog2 codes and `uniform_4` stay as they are at any `a_bits`; the
    base-sqrt(2) codes have 2**a_bits levels, and one more in the 17-level form.
    """
    if scheme in SCHEMES:
        return SCHEMES[scheme].storage_bits
    if scheme in FLOAT_ONLY:
        return a_bits + (scheme == "Sqrt2_17")
    return UNIFORM_BITS if scheme == "uniform_4" else None
