"""`--check`: every register of the torch path against the simulator, by `==` on integers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim import REGISTERS, AttentionConfig, AttentionTrace, attention

from .datapath import AttentionDatapath, Registers
from .mismatch import Comparison, Mismatch

__all__ = ["CHECKS", "Checker", "Mismatch"]

#: What `--check` takes: nothing, a seeded sample of heads, or every layer, head and row.
CHECKS = ("none", "sample", "all")
#: Of how many (image, head) pairs a sample takes one.
_SAMPLE_EVERY = 8
#: Registers of a masked key that nothing observes (SPEC.md BL2-MAX-04).
_UNMASKED_ONLY = ("d", "e")


@dataclass
class Checker:
    """Compares what a model's datapaths compute with the simulator, and counts.

    Args:
        mode: `sample` or `all`.
        seed: of the sample.
        keep: how many mismatches are kept whole.

    Attributes:
        compared: values compared, by register.
        mismatched: values that differ, by register.
        mismatches: the first ones, in datapath order.
        images: number of each image of the batch; whoever runs the batches sets it. Where the
            datapath is given more rows of heads than images, these are the windows of each.
    """

    mode: str
    seed: int = 0
    keep: int = 5
    images: Sequence[int] = ()
    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    mismatched: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGISTERS, 0))
    mismatches: list[Mismatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)

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
        """Whether every register was compared and none differed."""
        return all(self.compared.values()) and self.total_mismatched == 0

    def watch(self, model: nn.Module) -> list[Any]:
        """Check every datapath of `model` whenever it runs; return the hooks' handles.

        Raises:
            ValueError: the model has no integer datapath.
        """
        handles = [
            module.register_forward_hook(self._hook(name.removesuffix(".datapath")))
            for name, module in model.named_modules()
            if isinstance(module, AttentionDatapath)
        ]
        if not handles:
            raise ValueError("check must be none for a model without an integer attention map")
        return handles

    def _hook(self, layer: str) -> Any:
        def compare(module: Any, inputs: tuple[Any, ...], output: Registers) -> None:
            self.compare(layer, module.config, inputs, output)

        return compare

    def compare(
        self, layer: str, config: AttentionConfig, inputs: tuple[Any, ...], output: Registers
    ) -> None:
        """Compare one run of a datapath: `inputs` are its arguments, `output` its registers."""
        q, k, v, params = inputs[:4]
        masked, bias = (*inputs[4:], None, None)[:2]
        batch, heads = q.shape[:2]
        chosen = self._choose(batch * heads)
        grid = (batch, heads, q.shape[2], k.shape[2])
        codes = (_heads(q, chosen), _heads(k, chosen), _heads(v, chosen))
        mask = None if masked is None else _heads(masked.expand(grid), chosen)
        offsets = None if bias is None else _heads(bias.expand(grid), chosen)
        expected = attention(*codes, params, config, masked=mask, bias=offsets, trace=True)
        assert isinstance(expected, AttentionTrace)
        images = self.images or range(batch)
        windows = batch // len(images)
        run = Comparison(
            layer, images, windows, heads, chosen, codes, mask, offsets, params, config, expected
        )
        for name, values in output.named().items():
            self._compare_register(name, _heads(values, chosen), run)

    def _compare_register(self, name: str, got: NDArray[Any], run: Comparison) -> None:
        differ = got != getattr(run.expected, name)
        if name in _UNMASKED_ONLY and run.mask is not None:
            differ &= ~run.mask
            self.compared[name] += int((~run.mask).sum())
        else:
            self.compared[name] += differ.size
        if differ.any():
            count = int(differ.sum())
            self.mismatched[name] += count
            if len(self.mismatches) < self.keep:
                where = tuple(int(i) for i in np.argwhere(differ)[0])
                self.mismatches.append(run.mismatch(name, where, got, count))

    def _choose(self, count: int) -> NDArray[np.int64]:
        if self.mode == "all":
            return np.arange(count)
        size = -(-count // _SAMPLE_EVERY)
        return np.sort(torch.randperm(count, generator=self._generator)[:size].numpy())


def _heads(values: Tensor, chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Return (B, H, ...) as (G, ...) of the chosen pairs, numpy; codes in float32 as int32."""
    flat = values.detach().flatten(0, 1)
    if len(chosen) < flat.shape[0]:
        flat = flat[torch.as_tensor(chosen, device=flat.device)]
    array = flat.cpu().numpy()
    return array.astype(np.int32) if array.dtype.kind == "f" else array
