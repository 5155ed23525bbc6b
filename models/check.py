"""`--check`: every register of the torch path against the simulator, by `==` on integers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitlog2.sim import (
    OUTPUT_REGISTERS,
    REGISTERS,
    AttentionConfig,
    AttentionTrace,
    LayerParams,
    attention,
)

from .datapath import AttentionDatapath, Registers

__all__ = ["CHECKS", "Checker", "Mismatch"]

#: What `--check` takes: nothing, a seeded sample of heads, or every layer, head and row.
CHECKS = ("none", "sample", "all")
#: Of how many (image, head) pairs a sample takes one.
_SAMPLE_EVERY = 8
#: Registers of a masked key that nothing observes (SPEC.md BL2-MAX-04).
_UNMASKED_ONLY = ("d", "e")
#: Registers that the unit behind a register reads: the whole row of them, or the one value.
_INPUTS = {
    "t": ("score",),
    "row_max": ("t",),
    "d": ("t", "row_max"),
    "e": ("d",),
    "row_sum": ("e",),
    "level": ("e", "row_sum"),
    "nibble": ("level",),
    "flag": ("level",),
    "acc": ("level",),
    "o": ("acc",),
}
_WHOLE_ROW = ("row_max", "row_sum", "acc")


@dataclass(frozen=True)
class Mismatch:
    """The first differing value of a register in a batch of heads, and the row it lies in.

    `index` is the key for a register with a value a key, the channel for acc and o, else None.
    """

    register: str
    layer: str
    image: int
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
            f"register {self.register}: layer {self.layer} image {self.image} head {self.head} "
            f"row {self.row}{place}: expected {_hex(self.expected)}, actual {_hex(self.actual)}; "
            f"{self.differing} values of this register differ in this batch; inputs: {inputs}; "
            f"parameters: {self.params.as_dict()}"
        )


def _hex(value: int) -> str:
    return f"{'-' if value < 0 else ''}{abs(value):#x} ({value})"


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
        first_image: number of the batch's first image; whoever runs the batches sets it.
    """

    mode: str
    seed: int = 0
    keep: int = 5
    first_image: int = 0
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
        images, heads = q.shape[:2]
        chosen = self._choose(images * heads)
        grid = (images, heads, q.shape[2], k.shape[2])
        codes = (_heads(q, chosen), _heads(k, chosen), _heads(v, chosen))
        mask = None if masked is None else _heads(masked.expand(grid), chosen)
        offsets = None if bias is None else _heads(bias.expand(grid), chosen)
        expected = attention(*codes, params, config, masked=mask, bias=offsets, trace=True)
        assert isinstance(expected, AttentionTrace)
        for name, values in output.named().items():
            got, want = _heads(values, chosen), getattr(expected, name)
            differ = got != want
            if name in _UNMASKED_ONLY and mask is not None:
                differ &= ~mask
                self.compared[name] += int((~mask).sum())
            else:
                self.compared[name] += differ.size
            if differ.any():
                case = _Case(layer, heads, chosen, codes, mask, offsets, params, config, expected)
                self._record(name, differ, got, case)

    def _choose(self, count: int) -> NDArray[np.int64]:
        if self.mode == "all":
            return np.arange(count)
        size = -(-count // _SAMPLE_EVERY)
        return np.sort(torch.randperm(count, generator=self._generator)[:size].numpy())

    def _record(
        self, name: str, differ: NDArray[np.bool_], got: NDArray[Any], case: "_Case"
    ) -> None:
        count = int(differ.sum())
        self.mismatched[name] += count
        if len(self.mismatches) < self.keep:
            where = tuple(int(i) for i in np.argwhere(differ)[0])
            self.mismatches.append(case.mismatch(name, where, got, count, self.first_image))


@dataclass(frozen=True)
class _Case:
    """What a mismatch needs to say where it is and to be replayed."""

    layer: str
    heads: int
    chosen: NDArray[np.int64]
    codes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.int64] | None
    params: LayerParams
    config: AttentionConfig
    expected: AttentionTrace

    def mismatch(
        self, name: str, where: tuple[int, ...], got: NDArray[Any], count: int, first_image: int
    ) -> Mismatch:
        group, row = where[:2]
        pair = int(self.chosen[group])
        index = where[2] if len(where) == 3 else None
        return Mismatch(
            register=name,
            layer=self.layer,
            image=first_image + pair // self.heads,
            head=pair % self.heads,
            row=row,
            index=index,
            expected=int(getattr(self.expected, name)[where]),
            actual=int(got[where]),
            differing=count,
            score=self.expected.score[group, row],
            v=self.codes[2][group],
            masked=None if self.mask is None else self.mask[group, row],
            bias=None if self.bias is None else self.bias[group, row],
            inputs=self._inputs(name, group, row, index),
            params=self.params,
            config=self.config,
        )

    def _inputs(self, name: str, group: int, row: int, index: int | None) -> dict[str, Any]:
        """Return what the register's unit was given, from the simulator's side."""
        trace = {register: getattr(self.expected, register)[group, row] for register in REGISTERS}
        if name == "score":
            return {
                "q": self.codes[0][group, row].tolist(),
                "k": self.codes[1][group, index].tolist(),
            }
        given: dict[str, Any] = {}
        for register in _INPUTS[name]:
            values = trace[register]
            one = values if values.ndim == 0 or name in _WHOLE_ROW else values[index]
            given[register] = one.tolist()
        if name == "t" and self.bias is not None:
            given["bias"] = int(self.bias[group, row, index])
        if name == "acc":
            given["v"] = self.codes[2][group, :, index].tolist()
        return given


def _heads(values: Tensor, chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Return (B, H, ...) as (G, ...) of the chosen pairs, numpy; codes in float32 as int32."""
    flat = values.detach().flatten(0, 1)
    if len(chosen) < flat.shape[0]:
        flat = flat[torch.as_tensor(chosen, device=flat.device)]
    array = flat.cpu().numpy()
    return array.astype(np.int32) if array.dtype.kind == "f" else array
