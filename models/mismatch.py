"""A register that differs: where, what was expected, and all that replays its row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitlog2.sim import OUTPUT_REGISTERS, REGISTERS, AttentionConfig, AttentionTrace, LayerParams

__all__ = ["Comparison", "Mismatch", "Simulate"]

#: `attention` with a trace: (q, k, v, params, config, masked=, bias=).
Simulate = Callable[..., AttentionTrace]

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


@dataclass(frozen=True)
class Comparison:
    """Some heads of a datapath's run as the simulator saw them, and where a mismatch in them is.

    Attributes:
        layer: name of the attention layer.
        images: number of each image of the batch.
        windows: rows of heads an image: 1 but for Swin.
        heads: H.
        chosen: (G,) which (row of heads, head) pairs these are.
        codes: q, k and v of these.
        mask, bias: (G, R, N) or None.
        params, config: what the layer loads, and the hardware.
        expected: the simulator's registers.
    """

    layer: str
    images: Sequence[int]
    windows: int
    heads: int
    chosen: NDArray[np.int64]
    codes: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.int64] | None
    params: LayerParams
    config: AttentionConfig
    expected: AttentionTrace

    def mismatch(
        self, name: str, where: tuple[int, ...], got: NDArray[Any], count: int
    ) -> Mismatch:
        """Return the mismatch of a register at `where`, the first of `count`, its arrays copies."""
        group, row = where[:2]
        batch_row, head = divmod(int(self.chosen[group]), self.heads)
        image, window = divmod(batch_row, self.windows)
        index = where[2] if len(where) == 3 else None
        return Mismatch(
            register=name,
            layer=self.layer,
            image=self.images[image],
            window=window if self.windows > 1 else None,
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
