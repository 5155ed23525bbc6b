"""A batch of heads: its arguments checked, its constants unpacked, its result's arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import KERNEL_ARRAY, check_codes, check_int
from .config import AttentionConfig, LayerParams
from .kernel.constants import LayerConstants, SchemeConstants, layer_constants, scheme_constants
from .kernel.rows import Registers, new_registers
from .threads import usable_processors


@dataclass(frozen=True)
class Batch:
    """Arguments that are checked, but for the range of codes, and the result's arrays by name."""

    v: NDArray[Any]
    masked: NDArray[np.uint8]
    bias: NDArray[np.int32]
    config: AttentionConfig
    layer: LayerConstants
    scheme: SchemeConstants
    trace: bool
    workers: int
    regs: Registers
    o: NDArray[np.uint8]

    def registers(self, part: slice) -> Registers:
        """Return the registers of some heads."""
        return Registers._make(values[part] for values in self.regs)

    def masked_and_bias(self, part: slice) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return mask and bias of some heads, or those of all."""
        masked = self.masked if len(self.masked) == 1 else self.masked[part]
        return masked, self.bias if len(self.bias) == 1 else self.bias[part]


def check_batch(
    shape: tuple[int, int, int],
    v: NDArray[Any],
    params: LayerParams,
    config: AttentionConfig,
    masked: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    trace: bool,
    threads: int | None,
) -> Batch:
    """Return the batch of `attention`'s arguments. shape: (G, R, N).

    Raises:
        TypeError, ValueError: an argument has the wrong type, shape or range; the range of v's
            codes is left to `check_bits` or `check_range`.
    """
    heads, _, keys = shape
    config.check_params(params)
    check_int("number of keys N", keys, 1, config.max_tokens)
    if v.shape[:2] != (heads, keys):
        raise ValueError(f"v must have {heads} heads and {keys} keys, got shape {v.shape}")
    return Batch(
        v,
        _check_mask(masked, shape),
        _check_bias(bias, shape, config),
        config,
        layer_constants(config, params, bias is not None),
        scheme_constants(config.code),
        trace,
        usable_processors() if threads is None else check_int("threads", threads, 1, 256),
        new_registers(config, *(shape if trace else (heads, 0, 0)), v.shape[2] if trace else 0),
        np.empty((*shape[:2], v.shape[2]), np.uint8),
    )


def _check_shape(name: str, got: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    heads, rows, keys = shape
    if len(got) != 3 or got[0] not in (1, heads) or got[1] not in (1, rows) or got[2] != keys:
        raise ValueError(f"{name} must have shape ({heads} or 1, {rows} or 1, {keys}), got {got}")


def _check_mask(masked: NDArray[Any] | None, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    if masked is None:
        return np.zeros((1, 1, 0), np.uint8)
    mask = np.asarray(masked)
    if mask.dtype != np.bool_:
        raise TypeError(f"masked must have dtype bool, got {mask.dtype}")
    _check_shape("masked", mask.shape, shape)
    if mask.all(axis=2).any():
        head, row = (int(index[0]) for index in np.nonzero(mask.all(axis=2)))
        raise ValueError(
            f"masked must leave at least one key in every row, got head {head} row {row} all masked"
        )
    return np.require(mask, requirements=KERNEL_ARRAY).view(np.uint8)


def _check_bias(
    bias: NDArray[Any] | None, shape: tuple[int, int, int], config: AttentionConfig
) -> NDArray[np.int32]:
    if bias is None:
        return np.zeros((1, 1, 0), np.int32)
    values = check_codes("bias", bias, config.t_min, config.t_max, 3)
    _check_shape("bias", values.shape, shape)
    return values


def int32_codes(name: str, array: NDArray[Any], config: AttentionConfig) -> NDArray[Any]:
    """Return codes in three axes that int32 holds; their range is checked part by part."""
    values = np.asarray(array)
    fits = values.dtype.kind in "iu" and np.can_cast(values.dtype, np.int32)
    if fits and values.ndim == 3 and values.size > 0:
        return values
    return check_range(name, values, config)


def check_bits(name: str, codes: NDArray[Any], seen: int, config: AttentionConfig) -> None:
    """Say which code is out of range, where the bits that were seen say that one is."""
    if seen & ~_largest_code(name, config):
        check_range(name, codes, config)


def _largest_code(name: str, config: AttentionConfig) -> int:
    bits: int = getattr(config, f"{name}_bits")
    return (1 << bits) - 1


def check_range(name: str, array: NDArray[Any], config: AttentionConfig) -> NDArray[np.int32]:
    """Return the codes of q, k or v as int32. Raises TypeError, ValueError: they are none."""
    return check_codes(name, array, 0, _largest_code(name, config), 3)
