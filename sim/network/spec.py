"""The specification of the network: one value or one token at a time, unbounded integers."""

from .units.activation import activation, activation_input
from .units.gate import gate_code
from .units.head import head, prediction
from .units.image_requantizer import image_requantizer
from .units.linear_accumulator import linear_accumulator
from .units.linear_requantizer import linear_requantizer
from .units.norm_requantizer import norm_requantizer, stream_norm
from .units.norm_sums import norm_sums
from .units.normalizer import centred, normalizer
from .units.reciprocal_root import reciprocal_root
from .units.residual_adder import residual_adder, residual_sum
from .units.token_mean import mean_code, mean_sum, mean_term, stream_mean

__all__ = [
    "activation",
    "activation_input",
    "centred",
    "gate_code",
    "head",
    "image_requantizer",
    "linear_accumulator",
    "linear_requantizer",
    "mean_code",
    "mean_sum",
    "mean_term",
    "norm_requantizer",
    "norm_sums",
    "normalizer",
    "prediction",
    "reciprocal_root",
    "residual_adder",
    "residual_sum",
    "stream_mean",
    "stream_norm",
]
