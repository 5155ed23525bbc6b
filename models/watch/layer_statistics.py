"""What a code does to the attention map of a layer, as results hold it, without torch."""

import math
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from bitlog2.documents import Document, Exact, Positive, of

#: Bins of the histograms: half octaves from 2**-20 to 1; smaller values, and 0, are counted apart.
OCTAVES = 20
BINS = 2 * OCTAVES


Histogram = Annotated[tuple[Exact, ...], Meta(min_length=BINS + 1, max_length=BINS + 1)]
Error = Annotated[float, Meta(ge=0, le=1e9)]


class LayerStatistics(Document, frozen=True, kw_only=True):
    """A layer's attention map on the calibration images, before and after its code."""

    before: Annotated[Histogram, of("Values by half octave from 2**-20 to 1; smaller ones first.")]
    after: Annotated[Histogram, of("The same of the decoded values.")]
    error: Annotated[Error, of("Squared error of the map over the sum of its squares.")]
    changed: Annotated[
        tuple[Exact, Positive] | None,
        of("Levels that an exact softmax of the same scores gives otherwise, of all."),
    ]
    output_error: Annotated[
        Error | None,
        of("Squared difference of the accumulators that this makes, relative."),
    ]
    attention_error: Annotated[
        Error,
        of("Squared difference of the attention output from that of the map before, relative."),
    ]
    zeros: Annotated[
        tuple[Exact, Positive], of("Elements of the map that are 0 after the code, of all.")
    ]
    mass: Annotated[
        Error, of("Sum of the decoded values over that of the values before: 1 keeps the rows'.")
    ]


def mean_attention_error(layers: Iterable[LayerStatistics]) -> float | None:
    """Return the relative error of the attention output, mean over layers, percent; None of none.

    That of a layer is the root of the squared difference from the output that the softmax of the
    same scores makes of the same codes v, over the root of its squares.
    """
    errors = [100 * math.sqrt(layer.attention_error) for layer in layers]
    return math.fsum(errors) / len(errors) if errors else None
