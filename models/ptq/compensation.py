"""Compensated rounding: weight codes that make up for the rounding of one another.

Source: GPTQ (Frantar et al., 2022), with the mean of the inputs left to the bias.
"""

import torch
from torch import Tensor

from .quantizers import UniformQuantizer

#: What is added to the diagonal of the inputs' covariance, of its mean.
_DAMPING = 0.01
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
    """
    centred = inputs.double() - inputs.double().mean(dim=0)
    covariance = centred.T @ centred
    variance = covariance.diagonal()
    order = variance.argsort(descending=True, stable=True)
    covariance.diagonal().add_(_DAMPING * variance.mean())
    factor = torch.linalg.cholesky(covariance[order][:, order])
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
