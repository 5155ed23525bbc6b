"""One run of a datapath, held on the host until the simulator is asked about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitlog2.sim import REGISTERS, AttentionConfig, LayerParams

from .check_choice import HeadChoice
from .datapath import Registers
from .mismatch import Comparison, Mismatch, Simulate

__all__ = ["UNMASKED_ONLY", "DatapathRun", "Outcome", "compare_run", "hold_run"]

#: Registers of a masked key that nothing observes (SPEC.md BL2-MAX-04).
UNMASKED_ONLY = ("d", "e")
#: Bytes of a trace that the simulator is asked for at once.
_TRACE_BYTES = 8 << 20
#: Bytes of a trace a key of a row.
_KEY_BYTES = 19


@dataclass(frozen=True)
class DatapathRun:
    """What went into a datapath and what came out, as arrays on the host.

    Nothing here may be changed before it has been compared. Where all pairs were chosen, arrays of
    the CPU are the tensors' own memory: no layer of these models writes into what a datapath was
    given or has returned (tests/test_check_run.py).

    Attributes:
        layer: name of the attention layer.
        images: number of each image of the batch.
        windows: rows of heads an image: 1 but for Swin.
        heads: H.
        chosen: (G,) which pairs of (row of heads, head) these are.
        codes: q, k and v, (B, H, ...), or (G, 1, ...) where not all pairs were chosen. So are
        masked, bias: bool and integer, broadcast to (B, H, R, N), or None; and
        registers: by name.
        params, config: what the layer loads, and the hardware.
        copied: tells when copies from a device have arrived; None where there are none.
    """

    layer: str
    images: tuple[int, ...]
    windows: int
    heads: int
    chosen: NDArray[np.int64]
    codes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    masked: NDArray[np.bool_] | None
    bias: NDArray[Any] | None
    registers: dict[str, NDArray[Any]]
    params: LayerParams
    config: AttentionConfig
    copied: torch.cuda.Event | None

    def parts(self) -> Iterator[slice]:
        """Yield parts of `chosen` whose traces are of a size that caches hold."""
        grid = self.registers["score"].shape
        step = max(1, _TRACE_BYTES // (_KEY_BYTES * grid[-2] * grid[-1]))
        for start in range(0, len(self.chosen), step):
            yield slice(start, min(start + step, len(self.chosen)))

    def simulated(self, part: slice, simulate: Simulate) -> Comparison:
        """Return a part with the simulator's registers of it."""
        q, k, v = (_pairs(x, part).astype(np.int32, order="C") for x in self.codes)
        mask = None if self.masked is None else _pairs(self.masked, part)
        bias = None if self.bias is None else _pairs(self.bias, part)
        expected = simulate(q, k, v, self.params, self.config, masked=mask, bias=bias)
        return Comparison(
            self.layer,
            self.images,
            self.windows,
            self.heads,
            self.chosen[part],
            (q, k, v),
            mask,
            bias,
            self.params,
            self.config,
            expected,
        )


def _pairs(values: NDArray[Any], part: slice) -> NDArray[Any]:
    """Return some pairs of (B, H, ...), (G, ...): a view where the memory allows it."""
    if values.flags.c_contiguous:
        return values.reshape(-1, *values.shape[2:])[part]
    return values[np.divmod(np.arange(part.start, part.stop), values.shape[1])]


@dataclass
class Outcome:
    """What the comparison of a run found.

    Attributes:
        compared, mismatched: values, by register.
        mismatches: the first of each register that differs, in datapath order.
    """

    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    mismatched: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    mismatches: list[Mismatch] = field(default_factory=list)


def hold_run(
    layer: str,
    images: Sequence[int],
    choice: HeadChoice,
    config: AttentionConfig,
    inputs: tuple[Any, ...],
    output: Registers,
) -> DatapathRun:
    """Return the chosen part of a run, its copies from a device under way.

    Args:
        layer: name of the attention layer.
        images: number of each image, or empty: their positions.
        choice: of (row of heads, head) pairs.
        config: the hardware.
        inputs: the datapath's arguments.
        output: its registers.

    Raises:
        ValueError: the rows of heads are not as many for each image.
    """
    q, k, v, params = inputs[:4]
    masked, bias = (*inputs[4:], None, None)[:2]
    batch, heads = q.shape[:2]
    numbers = tuple(images or range(batch))
    if batch % len(numbers):
        raise ValueError(
            f"images must be of {batch} rows of heads, as many each, got {len(numbers)} images"
        )
    windows = batch // len(numbers)
    chosen = choice.pairs(layer, numbers, windows * heads)
    grid = (batch, heads, q.shape[2], k.shape[2])
    every = len(chosen) == batch * heads

    def hold(values: Tensor) -> NDArray[Any]:
        return _held(values if every else _picked(values, chosen))

    def hold_broadcast(values: Tensor | None) -> NDArray[Any] | None:
        if values is None or not every:
            return None if values is None else hold(values.expand(grid))
        return np.broadcast_to(hold(values), grid)

    return DatapathRun(
        layer,
        numbers,
        windows,
        heads,
        chosen,
        (hold(q), hold(k), hold(v)),
        hold_broadcast(masked),
        hold_broadcast(bias),
        {name: hold(values) for name, values in output.named().items()},
        params,
        config,
        _mark_of_copies(q),
    )


def _picked(values: Tensor, chosen: NDArray[np.int64]) -> Tensor:
    """Return pairs of (B, H, ...) as (G, 1, ...)."""
    row, head = (
        torch.as_tensor(x, device=values.device) for x in np.divmod(chosen, values.shape[1])
    )
    return values[row, head].unsqueeze(1)


def _held(values: Tensor) -> NDArray[Any]:
    """Return the values on the host: the CPU's own memory, or a copy that is under way."""
    array: NDArray[Any] = values.detach().to("cpu", non_blocking=True).numpy()
    return array


def _mark_of_copies(values: Tensor) -> torch.cuda.Event | None:
    if not values.is_cuda:
        return None
    return torch.cuda.current_stream(values.device).record_event()


def compare_run(run: DatapathRun, simulate: Simulate) -> Outcome:
    """Compare every value of every register of a run with the simulator's, by `==`."""
    if run.copied is not None:
        run.copied.synchronize()
    outcome = Outcome()
    first: dict[str, Mismatch] = {}
    for part in run.parts():
        seen = run.simulated(part, simulate)
        for name, values in run.registers.items():
            _compare_register(name, _pairs(values, part), seen, outcome, first)
    outcome.mismatches = [
        replace(first[name], differing=outcome.mismatched[name])
        for name in run.registers
        if name in first
    ]
    return outcome


def _compare_register(
    name: str,
    got: NDArray[Any],
    seen: Comparison,
    outcome: Outcome,
    first: dict[str, Mismatch],
) -> None:
    differ = got != getattr(seen.expected, name)
    outcome.compared[name] += differ.size
    if name in UNMASKED_ONLY and seen.mask is not None:
        differ &= ~seen.mask
        outcome.compared[name] -= int(seen.mask.sum())
    if differ.any():
        outcome.mismatched[name] += int(differ.sum())
        if name not in first:
            where = tuple(int(i) for i in np.argwhere(differ)[0])
            first[name] = seen.mismatch(name, where, got, int(differ.sum()))
