"""Compensated calibration: weights, biases and scales that make up for rounding.

Hardware stays as it is: these are numbers that it loads.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .quantizers import PERCENTILES, UniformQuantizer, percentiles

if TYPE_CHECKING:
    from .layers import QuantizedLayer

#: What is added to the diagonal of the inputs' covariance, of its mean.
_DAMPING = 0.01
#: What a regression adds to the diagonal of the inputs' covariance, of its mean.
_RIDGES = (0.01, 0.1, 1.0)
#: Most that a channel of v is widened or narrowed by: scales stay within multiplier and shift.
_GAIN = 16.0
#: Columns after which the compensation of all later ones is caught up on.
_BLOCK = 64


def compensated(weight: Tensor, inputs: Tensor, quantizer: UniformQuantizer) -> Tensor:
    """Return a weight rounded to codes so that the layer's output changes little on some inputs.

    Input channels are taken in descending order of their variance. What the rounding of one does to
    the outputs is made up for by the weights of those that follow, before they are rounded.

    Args:
        weight: (O, ...) of any float type; K values per output channel.
        inputs: (n, K), what the codes of the inputs stand for.
        quantizer: that of the weight, frozen.

    Returns:
        What the codes stand for, of the shape and type of the weight. Computed in float64: where
        two sums are added in another order, a code differs only where a value is within the last
        bits of the edge between two.

    Source: GPTQ (Frantar et al., 2022), with the mean of the inputs left to the bias.
    """
    centred = inputs.double() - inputs.double().mean(dim=0)
    covariance = centred.T @ centred
    order = covariance.diagonal().argsort(descending=True, stable=True)
    factor = torch.linalg.cholesky(damped(covariance, _DAMPING)[order][:, order])
    factor = torch.linalg.cholesky(torch.cholesky_inverse(factor), upper=True)
    rest = weight.flatten(1).double()[:, order]
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = torch.empty_like(rest[:, start:end])
        for column in range(start, end):
            wanted = rest[:, column].clone()
            rest[:, column] = quantizer.quantized(wanted.view_as(quantizer.delta)).flatten()
            error = (wanted - rest[:, column]) / factor[column, column]
            rest[:, column + 1 : end] -= torch.outer(error, factor[column, column + 1 : end])
            errors[:, column - start] = error
        rest[:, end:] -= errors @ factor[start:end, end:]
    return rest[:, order.argsort()].view(weight.shape).to(weight.dtype)


def damped(covariance: Tensor, share: float) -> Tensor:
    """Return a covariance (K, K) with a share of the mean variance added to each; to zeros 1."""
    mean = covariance.diagonal().mean()
    return covariance + torch.diag((share * mean if mean > 0 else mean + 1).expand(len(covariance)))


def refitted(weight: Tensor, inputs: Tensor, coded: Tensor) -> Tensor:
    """Return a weight that makes up for the rounding of the inputs, by a ridge regression.

    Of `_RIDGES`, and of no change, the one is taken that leaves the least error on the second half
    of the rows where it is fitted to the first; then it is fitted to all.

    Args:
        weight: (O, ...) of any float type; K values per output channel.
        inputs, coded: (n, K), and what their codes stand for; whole images one after the other.

    Source: ERQ (Zhong et al., 2024), with the ridge chosen on held-out rows.
    """
    half = len(coded) // 2
    if half == 0:
        return weight
    error = (inputs - coded).double() @ weight.flatten(1).double().T
    first, second = (
        _Regression(coded[rows].double(), error[rows]) for rows in (slice(half), slice(half, None))
    )
    left = [second.left(first.solved(ridge)) for ridge in _RIDGES]
    best = min(range(len(_RIDGES)), key=left.__getitem__)
    if left[best] >= float(second.error.square().sum()):
        return weight
    change = _Regression(coded.double(), error).solved(_RIDGES[best])
    return (weight.flatten(1) + change.T).view(weight.shape).to(weight.dtype)


class _Regression:
    """Errors of outputs (n, O), in terms of inputs (n, K), the mean of both aside."""

    def __init__(self, inputs: Tensor, error: Tensor) -> None:
        self.inputs, self.error = inputs - inputs.mean(dim=0), error - error.mean(dim=0)

    def solved(self, ridge: float) -> Tensor:
        """Return coefficients (K, O)."""
        covariance = damped(self.inputs.T @ self.inputs, ridge)
        return torch.cholesky_solve(self.inputs.T @ self.error, torch.linalg.cholesky(covariance))

    def left(self, change: Tensor) -> float:
        """Return the squared error that coefficients leave."""
        return float((self.error - self.inputs @ change).square().sum())


@torch.no_grad()
def balance(
    qkv: "QuantizedLayer", proj: "QuantizedLayer", k: Tensor, v: Tensor, k_norm: nn.Module
) -> None:
    """Centre the channels of k on zero, and make those of v equally wide.

    What attention gives stays as it was but for rounding, and so do the weight codes of qkv: a
    softmax takes no notice of what is added to all keys, and the width of a channel of v goes to
    the scales of qkv's weight and to the columns of proj.

    Args:
        qkv, proj: the layers around attention; qkv calibrated, proj not.
        k, v: (B, N, C), what attention has of them on the calibration images.
        k_norm: layer norm of k, or nothing; its bias is that of every head, so that it takes the
            mean of their centres.
    """
    low, high = (
        percentiles(torch.cat((k, v), dim=-1).flatten(0, 1).T, [each])[0]
        for each in (1.0 - PERCENTILES[0], PERCENTILES[0])
    )
    channels = k.shape[-1]
    width = (high - low)[channels:]
    gain = torch.where(width > 0, width.mean() / width, 1.0).clamp(1 / _GAIN, _GAIN).to(v.dtype)
    assert qkv.bias is not None
    centre = ((low + high) / 2)[:channels]
    if isinstance(k_norm, nn.LayerNorm):
        k_norm.bias.sub_(centre.view(-1, len(k_norm.bias)).mean(dim=0))
    else:
        qkv.bias[channels : 2 * channels] -= centre
    qkv.bias[2 * channels :] *= gain
    qkv.weight[2 * channels :] *= gain.unsqueeze(1)
    qkv.weight_quantizer.delta[2 * channels :] *= gain.unsqueeze(1)
    proj.weight /= gain
