"""Every register of a network's datapaths, compared with the simulator's."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim import (
    OUTPUT_REGISTERS,
    AttentionConfig,
    AttentionTrace,
    LayerParams,
    attention,
)
from bitlog2.sim.registers import registers_of

from ..ptq.supported import refusal
from .in_order import InOrder
from .registers import HeadChoice, LayerShape
from .watching import Observation, Watcher, unobserved

#: `attention` with a trace: (q, k, v, params, config, masked=, bias=).
Simulate = Callable[..., AttentionTrace]

#: Registers that the unit behind a register reads: the whole row of them, or the one value. Those
#: that the scheme's datapath lacks do not count.
_INPUTS = {
    "t": ("score",),
    "row_max": ("t",),
    "d": ("t", "row_max"),
    "e": ("d",),
    "row_sum": ("e",),
    "level": ("d", "e", "row_sum"),
    "weight_sum": ("level",),
    "m2_row": ("weight_sum",),
    "n2_row": ("weight_sum",),
    "nibble": ("level",),
    "flag": ("level",),
    "acc": ("level",),
    "o": ("acc", "m2_row", "n2_row"),
}
_WHOLE_ROW = ("row_max", "row_sum", "weight_sum", "acc")


@dataclass(frozen=True)
class RegisterMismatch:
    """First differing value of a register in a batch of heads, with its row.

    `index` is the key for a register with a value per key, the channel for acc and o, else None.
    `window` is that of Swin within its image, else None.
    """

    register: str
    layer: str
    image: int
    window: int | None
    head: int
    row: int
    index: int | None
    expected: int
    actual: int
    differing: int
    score: NDArray[np.int32]
    v: NDArray[np.int32]
    masked: NDArray[np.bool_] | None
    bias: NDArray[np.int64] | None
    inputs: dict[str, Any]
    params: LayerParams
    config: AttentionConfig

    def __str__(self) -> str:
        if self.index is None:
            place = ""
        else:
            kind = "channel" if self.register in OUTPUT_REGISTERS else "key"
            place = f" {kind} {self.index}"
        inputs = ", ".join(f"{name} {value}" for name, value in self.inputs.items())
        return (
            f"register {self.register}: layer {self.layer} image {self.image}"
            f"{'' if self.window is None else f' window {self.window}'} head {self.head} "
            f"row {self.row}{place}: expected {_hex(self.expected)}, actual {_hex(self.actual)}; "
            f"{self.differing} values of this register differ in this batch; inputs: {inputs}; "
            f"parameters: {self.params.as_dict()}"
        )


def _hex(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value):#x} ({value})"


#: Most threads by default: each holds the registers of a layer and a batch in memory.
_MOST = 4


def check_threads(device: str, asked: int | None = None) -> int:
    """Return the number of a checker's threads: `asked`, or the processors that torch leaves free.

    The processors that this process may use are divided among the processes that torchrun started
    on this machine. On the CPU torch keeps the threads that it is set to; with CUDA one processor
    feeds the device. The report of a check does not depend on the number.

    Args:
        device: `cpu` or `cuda`, where the model runs.
        asked: number of threads, 1 to 256; None for the default, from 1 to 4.

    Raises:
        ValueError: `asked` is out of range.
    """
    if asked is not None:
        if not 1 <= asked <= 256:
            raise ValueError(f"check threads must be from 1 to 256, got {asked}")
        return asked
    share = _processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    busy = torch.get_num_threads() if device == "cpu" else 1
    return min(max(share - busy, 1), _MOST)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


#: Bytes of a trace per call of the simulator.
_TRACE_BYTES = 8 << 20
#: Bytes of a trace per key of a row.
_KEY_BYTES = 19


@dataclass(frozen=True)
class SimulatedPart:
    """A part of a held run as the simulator computed it, and where a mismatch in it is.

    Attributes:
        run: the held run.
        part: slice of its chosen (row of heads, head) pairs.
        codes: q, k and v of these.
        mask, bias: (G, R, N) or None.
        expected: the simulator's registers.
    """

    run: "HeldRun"
    part: slice
    codes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.int64] | None
    expected: AttentionTrace

    def mismatch(
        self, name: str, where: tuple[int, ...], got: NDArray[Any], count: int
    ) -> RegisterMismatch:
        """Return the mismatch of a register at `where`, the first of `count`, its arrays copies."""
        (group, row), run = where[:2], self.run
        batch_row, head = divmod(int(run.chosen[self.part][group]), run.heads)
        image, window = divmod(batch_row, run.windows)
        index = where[2] if len(where) == 3 else None
        return RegisterMismatch(
            register=name,
            layer=run.layer,
            image=run.numbers[image],
            window=window if run.windows > 1 else None,
            head=head,
            row=row,
            index=index,
            expected=int(getattr(self.expected, name)[where]),
            actual=int(got[where]),
            differing=count,
            score=self.expected.score[group, row].copy(),
            v=self.codes[2][group].copy(),
            masked=None if self.mask is None else self.mask[group, row].copy(),
            bias=None if self.bias is None else self.bias[group, row].copy(),
            inputs=self._inputs(name, group, row, index),
            params=run.params,
            config=run.config,
        )

    def _inputs(self, name: str, group: int, row: int, index: int | None) -> dict[str, Any]:
        """Return the inputs of the register's unit, as the simulator has them."""
        registers = registers_of(self.run.config.code.family)
        trace = {register: getattr(self.expected, register)[group, row] for register in registers}
        if name == "score":
            return {
                "q": self.codes[0][group, row].tolist(),
                "k": self.codes[1][group, index].tolist(),
            }
        given: dict[str, Any] = {}
        inputs = [register for register in _INPUTS[name] if register in trace]
        for register in inputs[1:] if inputs[:2] == ["d", "e"] else inputs:
            values = trace[register]
            one = values if values.ndim == 0 or name in _WHOLE_ROW else values[index]
            given[register] = one.tolist()
        if name == "t" and self.bias is not None:
            given["bias"] = int(self.bias[group, row, index])
        if name == "acc":
            given["v"] = self.codes[2][group, :, index].tolist()
        return given


@dataclass(frozen=True)
class HeldRun:
    """The chosen heads of a run of a datapath, as arrays on the host.

    Nothing here may be changed before they are compared. Where all pairs were chosen, arrays of the
    CPU are the tensors' own memory.

    Attributes:
        layer: name of the attention layer.
        numbers: number of each image of the batch.
        windows: rows of heads per image: 1 but for Swin.
        heads: H.
        chosen: (G,) positions of the chosen pairs of (row of heads, head).
        codes: q, k and v, (B, H, ...), or (G, 1, ...) where not all pairs were chosen. So are
        masked, bias: bool and integer, broadcast to (B, H, R, N), or None; and
        registers: arrays by name.
        params, config: parameters of the layer, and the hardware.
        copied: event at which copies from a device have arrived; None without any.
    """

    layer: str
    numbers: tuple[int, ...]
    windows: int
    heads: int
    chosen: NDArray[np.int64]
    codes: tuple[NDArray[Any], ...]
    masked: NDArray[np.bool_] | None
    bias: NDArray[Any] | None
    registers: dict[str, NDArray[Any]]
    params: LayerParams
    config: AttentionConfig
    copied: torch.cuda.Event | None

    @classmethod
    def of(cls, seen: Observation, choice: HeadChoice) -> "HeldRun":
        """Return the chosen part of a run, its copies from a device under way."""
        rows, heads = seen.grid[:2]
        chosen = choice.pairs(seen.layer, seen.numbers, seen.windows * heads)
        every = len(chosen) == rows * heads

        def hold(values: Tensor) -> NDArray[Any]:
            return _held(values if every else _picked(values, chosen))

        def hold_broadcast(values: Tensor | None) -> NDArray[Any] | None:
            if values is None or not every:
                return None if values is None else hold(values.expand(seen.grid))
            return np.broadcast_to(hold(values), seen.grid)

        return cls(
            seen.layer,
            seen.numbers,
            seen.windows,
            heads,
            chosen,
            tuple(map(hold, seen.inputs.values())),
            hold_broadcast(seen.masked),
            hold_broadcast(seen.bias),
            {name: hold(values) for name, values in seen.registers.items()},
            seen.params,
            seen.config,
            _mark_of_copies(seen.inputs["q"]),
        )

    def parts(self) -> Iterator[slice]:
        """Yield parts of `chosen` whose traces are of a size that caches hold."""
        grid = self.registers["score"].shape
        step = max(1, _TRACE_BYTES // (_KEY_BYTES * grid[-2] * grid[-1]))
        for start in range(0, len(self.chosen), step):
            yield slice(start, min(start + step, len(self.chosen)))

    def simulated(self, part: slice, simulate: Simulate) -> SimulatedPart:
        """Return a part with the simulator's registers of it."""
        q, k, v = (_pairs(x, part).astype(np.int32, order="C") for x in self.codes)
        mask = None if self.masked is None else _pairs(self.masked, part)
        bias = None if self.bias is None else _pairs(self.bias, part)
        expected = simulate(q, k, v, self.params, self.config, masked=mask, bias=bias)
        return SimulatedPart(self, part, (q, k, v), mask, bias, expected)


def _pairs(values: NDArray[Any], part: slice) -> NDArray[Any]:
    """Return some pairs of (B, H, ...), (G, ...): a view where the memory allows it."""
    if values.flags.c_contiguous:
        return values.reshape(-1, *values.shape[2:])[part]
    return values[np.divmod(np.arange(part.start, part.stop), values.shape[1])]


@dataclass
class Outcome:
    """Result of the comparison of a run.

    Attributes:
        compared, mismatched: values, by register of the datapaths that ran.
        mismatches: the first of each register that differs, in datapath order.
    """

    compared: dict[str, int] = field(default_factory=dict)
    mismatched: dict[str, int] = field(default_factory=dict)
    mismatches: list[RegisterMismatch] = field(default_factory=list)


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


def compare_run(run: HeldRun, simulate: Simulate) -> Outcome:
    """Compare every value of every register of a run with the simulator's, by `==`."""
    if run.copied is not None:
        run.copied.synchronize()
    outcome = Outcome(dict.fromkeys(run.registers, 0), dict.fromkeys(run.registers, 0))
    first: dict[str, RegisterMismatch] = {}
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
    seen: SimulatedPart,
    outcome: Outcome,
    first: dict[str, RegisterMismatch],
) -> None:
    differ = got != getattr(seen.expected, name)
    outcome.compared[name] += differ.size
    if (mask := unobserved(name, seen.mask)) is not None:
        differ &= ~mask
        outcome.compared[name] -= int(mask.sum())
    if differ.any():
        outcome.mismatched[name] += int(differ.sum())
        if name not in first:
            where = tuple(int(i) for i in np.argwhere(differ)[0])
            first[name] = seen.mismatch(name, where, got, int(differ.sum()))


class Shapes(Watcher):
    """Watches the shape of each datapath, of one image.

    Attributes:
        layers: shapes by layer; empty for a model without any.
    """

    def __init__(self) -> None:
        self.layers: dict[str, LayerShape] = {}

    def take(self, seen: Observation) -> None:
        """Keep the shape of a layer."""
        rows, heads = seen.grid[:2]
        masked: list[int] = []
        if seen.masked is not None:
            masked = seen.masked.expand(seen.grid).sum((2, 3)).flatten().tolist()
        sizes = {name: prod(values.shape[2:]) for name, values in seen.registers.items()}
        self.layers[seen.layer] = LayerShape(heads=rows * heads, sizes=sizes, masked=tuple(masked))


#: Names of attention classes, in models that `quantize` did not make too.
_ATTENTION = re.compile(r"atte?n", re.IGNORECASE)


class Checker(Watcher):
    """Compares the registers of a model's datapaths with the simulator's, and counts.

    Its report is the same for any number of threads.

    Args:
        mode: `sample`, `sample:K` or `all`, as `HeadChoice`.
        seed: seed of the sample.
        keep: most mismatches that are kept, with their rows.
        threads: comparing threads beside inference, 0 to 256; at 0 inference waits.
        waiting: runs of a datapath whose registers may wait for a thread. One more, and inference
            waits: that many and one per thread are held in memory.

    Raises:
        ValueError: an argument is outside of its range.
    """

    requires = "check"

    def __init__(
        self,
        mode: str,
        seed: int = 0,
        keep: int = 5,
        *,
        threads: int = 1,
        waiting: int = 2,
    ) -> None:
        self.mode, self.keep = mode, keep
        self._choice = HeadChoice(mode, seed)
        self._work: InOrder[Outcome] = InOrder(threads, waiting)
        self._found = Outcome()
        self._watched: set[str] = set()
        self._seen: set[str] = set()

    @property
    def compared(self) -> dict[str, int]:
        """Values compared, by register, once all have been; errors as `finish`."""
        self.finish()
        return self._found.compared

    @property
    def mismatched(self) -> dict[str, int]:
        """Values that differ, by register, once all have been compared; errors as `finish`."""
        self.finish()
        return self._found.mismatched

    @property
    def mismatches(self) -> list[RegisterMismatch]:
        """The first ones, by batch, layer and register in datapath order; errors as `finish`."""
        self.finish()
        return self._found.mismatches

    @property
    def total_mismatched(self) -> int:
        """Values that differ, over all registers."""
        return sum(self.mismatched.values())

    @property
    def passed(self) -> bool:
        """Whether every register of every watched layer was compared, and none differed."""
        counts = self.compared.values()
        return bool(counts) and all(counts) and not (self.total_mismatched or self.unchecked)

    @property
    def unchecked(self) -> list[str]:
        """The layers that are watched and have not run."""
        return sorted(self._watched - self._seen)

    def attach(self, model: nn.Module, layers: Sequence[str]) -> None:
        """Take note of the layers that must run.

        Raises:
            ValueError: the model has an attention by name that is none of them.
        """
        if beside := attention_beside(model, layers):
            raise refusal(*beside, "has no integer datapath: check must be none")
        self._watched |= set(layers)

    def take(self, seen: Observation) -> None:
        """Have one run of a datapath compared.

        Raises:
            ValueError, TypeError: the simulator refuses the inputs of an earlier run.
        """
        self._seen.add(seen.layer)
        run = HeldRun.of(seen, self._choice)
        self._merge(self._work.submit(partial(compare_run, run, _simulated)))

    def finish(self) -> None:
        """Wait until all that was handed over has been compared. The threads end.

        Raises:
            ValueError, TypeError: the simulator refuses the inputs of a run.
        """
        self._merge(self._work.drain())

    def cancel(self) -> None:
        """Drop the runs that wait to be compared. The threads end."""
        self._work.cancel()

    def _merge(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            for name in outcome.compared:
                for total, new in (
                    (self._found.compared, outcome.compared),
                    (self._found.mismatched, outcome.mismatched),
                ):
                    total[name] = total.get(name, 0) + new[name]
            left = self.keep - len(self._found.mismatches)
            self._found.mismatches += outcome.mismatches[: max(0, left)]


def attention_beside(model: nn.Module, layers: Sequence[str]) -> tuple[str, nn.Module] | None:
    """Return an attention, by its class's name, that is around none of these layers; or None."""
    for name, module in model.named_modules():
        around = any(_holds(name, layer) or _holds(layer, name) for layer in layers)
        if _ATTENTION.search(type(module).__name__) and not around:
            return name, module
    return None


def _holds(outer: str, inner: str) -> bool:
    return outer in ("", inner) or inner.startswith(f"{outer}.")


def _simulated(*args: Any, **masks: Any) -> AttentionTrace:
    trace = attention(*args, **masks, trace=True, threads=1)
    assert isinstance(trace, AttentionTrace)
    return trace
