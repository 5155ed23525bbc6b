"""`--check`: every register of the torch path against the simulator, by `==` on integers.

The registers of a layer are compared on threads of the checker's own, by serial kernels that leave
the interpreter free, while inference goes on.
"""

import re
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

from torch import nn

from bitlog2.sim import REGISTERS, AttentionConfig, AttentionTrace, attention

from .check_choice import CHECKS, HeadChoice
from .check_run import DatapathRun, Outcome, compare_run, hold_run
from .datapath import AttentionDatapath, Registers
from .in_order import InOrder
from .mismatch import Mismatch
from .supported import refusal

__all__ = ["CHECKS", "Checker", "Mismatch"]

#: Names of classes that attend: what `quantize` doesn't know, it refuses; a model may be another's.
_ATTENTION = re.compile(r"atte?n", re.IGNORECASE)


class Checker:
    """Compares what a model's datapaths compute with the simulator, and counts.

    What it reports is the same for any number of threads. As a context it ends with all compared;
    left by an exception, it gives up what waits.

    Args:
        mode: `sample`, `sample:K` or `all`, as `HeadChoice`.
        seed: of the sample.
        keep: how many mismatches are kept whole.
        images: number of each image of the batch; whoever runs the batches sets it. Where the
            datapath is given more rows of heads than images, these are the windows of each.
        threads: that compare beside inference, 0 to 256; 0 for none: inference waits.
        waiting: runs of a datapath whose registers may wait for a thread. One more, and inference
            waits: that many and one a thread are held in memory.

    Raises:
        ValueError: an argument is outside of its range.
    """

    def __init__(
        self,
        mode: str,
        seed: int = 0,
        keep: int = 5,
        images: Sequence[int] = (),
        *,
        threads: int = 1,
        waiting: int = 2,
    ) -> None:
        self.mode, self.seed, self.keep, self.images = mode, seed, keep, images
        self._choice = HeadChoice(mode, seed)
        self._work: InOrder[Outcome] = InOrder(threads, waiting)
        self._found = Outcome()
        self._watched: set[str] = set()
        self._seen: set[str] = set()

    def __enter__(self) -> "Checker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.cancel()

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
    def mismatches(self) -> list[Mismatch]:
        """The first ones, by batch, layer and register in datapath order; errors as `finish`."""
        self.finish()
        return self._found.mismatches

    @property
    def total_compared(self) -> int:
        """Values compared, over all registers."""
        return sum(self.compared.values())

    @property
    def total_mismatched(self) -> int:
        """Values that differ, over all registers."""
        return sum(self.mismatched.values())

    @property
    def passed(self) -> bool:
        """Whether every register of every watched layer was compared, and none differed."""
        return all(self.compared.values()) and not (self.total_mismatched or self.unchecked)

    @property
    def unchecked(self) -> list[str]:
        """The layers that are watched and have not run."""
        return sorted(self._watched - self._seen)

    def watch(self, model: nn.Module) -> list[Any]:
        """Check every datapath of `model` whenever it runs; return the hooks' handles.

        Raises:
            ValueError: the model has no integer datapath, or names an attention without one.
        """
        datapaths = {
            name.removesuffix(".datapath"): module
            for name, module in model.named_modules()
            if isinstance(module, AttentionDatapath)
        }
        if not datapaths:
            raise ValueError("check must be none for a model without an integer attention map")
        for name, module in model.named_modules():
            around = any(_holds(name, layer) or _holds(layer, name) for layer in datapaths)
            if _ATTENTION.search(type(module).__name__) and not around:
                raise refusal(name, module, "has no integer datapath: check must be none")
        self._watched |= set(datapaths)
        return [
            module.register_forward_hook(self._hook(layer)) for layer, module in datapaths.items()
        ]

    def _hook(self, layer: str) -> Any:
        def compare(module: Any, inputs: tuple[Any, ...], output: Registers) -> None:
            self.compare(layer, module.config, inputs, output)

        return compare

    def compare(
        self, layer: str, config: AttentionConfig, inputs: tuple[Any, ...], output: Registers
    ) -> None:
        """Have one run of a datapath compared: `inputs` are its arguments, `output` its registers.

        Neither may be changed before `finish`.

        Raises:
            ValueError, TypeError: the simulator refuses what an earlier run was given.
        """
        self._seen.add(layer)
        run = hold_run(layer, self.images, self._choice, config, inputs, output)
        self._merge(self._work.submit(partial(_compare, run)))

    def finish(self) -> None:
        """Wait until all that was handed over has been compared. The threads end.

        Raises:
            ValueError, TypeError: the simulator refuses what a run was given.
        """
        self._merge(self._work.drain())

    def cancel(self) -> None:
        """Give up what waits to be compared. The threads end."""
        self._work.cancel()

    def _merge(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            for name in REGISTERS:
                self._found.compared[name] += outcome.compared[name]
                self._found.mismatched[name] += outcome.mismatched[name]
            left = self.keep - len(self._found.mismatches)
            self._found.mismatches += outcome.mismatches[: max(0, left)]


def _holds(outer: str, inner: str) -> bool:
    return outer in ("", inner) or inner.startswith(f"{outer}.")


def _compare(run: DatapathRun) -> Outcome:
    return compare_run(run, _simulated)


def _simulated(*args: Any, **masks: Any) -> AttentionTrace:
    trace = attention(*args, **masks, trace=True, threads=1)
    assert isinstance(trace, AttentionTrace)
    return trace
