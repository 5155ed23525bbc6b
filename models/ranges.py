"""The range of a uniform quantizer: the percentile pair with the least squared error."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["PERCENTILES", "percentile", "search_range"]

#: Upper tails that are tried, in this order; the lower tail is the mirrored one (RepQ-ViT).
PERCENTILES = (0.999, 0.9999, 0.99999)


def percentile(rows: Tensor, fraction: float) -> Tensor:
    """Return the percentile of each row, linear between order statistics.

    Args:
        rows: (C, n) float32, in any order. Only the tail that the percentile lies in is selected,
            which near either end costs a twentieth of sorting.
        fraction: 0 to 1.

    Returns:
        (C,) float32, for any size and the same on any device: the interpolation is done on the
        processor. The rank is float32(fraction) * (n - 1), the product exact: what
        `torch.quantile` computes up to the 2**24 values that it takes.
    """
    last = rows.shape[1] - 1
    rank = float(np.float32(fraction)) * last
    below = int(rank)
    above = min(below + 1, last)
    if rank > last / 2:
        tail = rows.topk(last - below + 1, dim=1).values  # descending
        pair = tail[:, last - below], tail[:, last - above]
    else:
        tail = rows.topk(above + 1, dim=1, largest=False).values  # ascending
        pair = tail[:, below], tail[:, above]
    return torch.lerp(pair[0].cpu(), pair[1].cpu(), rank - below).to(rows.device)


def search_range(rows: Tensor, bits: int, *, contain_zero: bool) -> tuple[Tensor, Tensor]:
    """Return (low, high) of each row: the percentile pair of least squared error when quantized.

    Args:
        rows: (C, n) float32, one row a channel.
        bits: width of the codes.
        contain_zero: widen each pair to contain zero, so that the zero point is a code (integer
            arithmetic); the published float arithmetic does not.

    Returns:
        two (C,) float32 tensors; ties go to the earlier pair.

    Raises:
        ValueError: a value is not finite, or a row spans no range (its scale would be zero).

    Source: RepQ-ViT (Li et al., 2023), percentile calibration.
    """
    if not torch.isfinite(rows).all():
        raise ValueError("values must be finite, got NaN or infinity")
    best_low = best_high = best_error = None
    for fraction in PERCENTILES:
        low, high = percentile(rows, 1.0 - fraction), percentile(rows, fraction)
        if contain_zero:
            low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        error = _squared_error(rows, low, high, bits)
        if best_low is None or best_high is None or best_error is None:
            best_low, best_high, best_error = low, high, error
            continue
        better = error < best_error
        best_low = torch.where(better, low, best_low)
        best_high = torch.where(better, high, best_high)
        best_error = torch.where(better, error, best_error)
    assert best_low is not None
    assert best_high is not None
    if not (best_high > best_low).all():
        channel = int(torch.nonzero(~(best_high > best_low))[0])
        raise ValueError(
            f"values must span a range, got a constant in channel {channel} of {rows.shape[0]}"
        )
    return best_low, best_high


def _squared_error(rows: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    steps = (1 << bits) - 1
    delta = ((high - low) / steps).unsqueeze(1)
    zero_point = (-low.unsqueeze(1) / delta).round()
    code = ((rows / delta).round() + zero_point).clamp(0, steps)
    error = ((code - zero_point) * delta - rows).square().mean(dim=1, dtype=torch.float64)
    return error.nan_to_num(nan=float("inf"))
