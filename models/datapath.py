"""Section 3 of the specification in torch: every register of a batch, on any device.

An independent voice: from `bitlog2.sim` it takes configuration and tables only. It divides where
the simulator's kernels compare, and finds levels by a search in the table of values where they
find leading ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bitlog2.sim import AttentionConfig, LayerParams

from .exact import exact_matmul

__all__ = ["AttentionDatapath", "MapRegisters", "OutputRegisters", "Registers"]


class MapRegisters(NamedTuple):
    """Units 1 to 7. score, t, d, e, level, nibble, flag: (B, H, R, N); row_max, row_sum: (B, H, R).

    All int64; d and e of masked keys are d_max and 0.
    """

    score: Tensor
    t: Tensor
    row_max: Tensor
    d: Tensor
    e: Tensor
    row_sum: Tensor
    level: Tensor
    nibble: Tensor
    flag: Tensor


class OutputRegisters(NamedTuple):
    """Units 8 and 9. acc, o: (B, H, R, D) int64."""

    acc: Tensor
    o: Tensor


class Registers(NamedTuple):
    """Every register of a batch of heads."""

    map: MapRegisters
    output: OutputRegisters

    def named(self) -> dict[str, Tensor]:
        """Return the registers by the names of `bitlog2.sim.REGISTERS`."""
        return {**self.map._asdict(), **self.output._asdict()}


class AttentionDatapath(nn.Module):
    """The nine units on integer tensors.

    Args:
        config: what the hardware is built with.
    """

    table: Tensor
    values: Tensor

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.tensor(config.table), persistent=False)
        self.register_buffer("values", torch.tensor(config.code.values), persistent=False)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Registers:
        """Return every register.

        Args:
            q: (B, H, R, D) codes as float32 integers; k: (B, H, N, D); v: (B, H, N, D').
            params: what the layer loads.
            masked: bool, broadcastable to (B, H, R, N), True for a key that takes no part.
            bias: int64, broadcastable to (B, H, R, N).
        """
        attention_map = self.attention_map(q, k, params, masked, bias)
        acc = self.accumulate(attention_map.level, v, params)
        return Registers(attention_map, OutputRegisters(acc, self.output(acc, params)))

    def attention_map(
        self,
        q: Tensor,
        k: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> MapRegisters:
        """Return the registers of units 1 to 7; arguments as `forward`."""
        config = self.config
        bound = config.registers["score"].bound
        score = exact_matmul(q - params.zq, (k - params.zk).transpose(-2, -1), bound).long()
        t = _rnd(score * params.m, params.n)
        if bias is not None:
            t = t + bias
        t = t.clamp(config.t_min, config.t_max)
        visible = t if masked is None else t.masked_fill(masked, config.t_min)
        row_max = visible.amax(dim=-1)
        d = (row_max.unsqueeze(-1) - t).clamp(max=config.d_max)
        if masked is not None:
            d = d.masked_fill(masked, config.d_max)
        e = self._exp2(d)
        if masked is not None:
            e = e.masked_fill(masked, 0)
        row_sum = e.sum(dim=-1)
        level = self._log2_quantizer(e, row_sum.unsqueeze(-1))
        nibble, flag = self._code_register(level)
        return MapRegisters(score, t, row_max, d, e, row_sum, level, nibble, flag)

    def _exp2(self, d: Tensor) -> Tensor:
        fraction = self.config.fraction_bits
        entry = self.table[d & ((1 << fraction) - 1)]
        shift = (d >> fraction).clamp(max=self.config.table_bits + 2)
        rounding = torch.bitwise_left_shift(torch.ones_like(shift), shift) >> 1
        return torch.bitwise_right_shift(entry + rounding, shift)

    def _log2_quantizer(self, e: Tensor, total: Tensor) -> Tensor:
        int_max = self.config.code.int_max
        p = torch.div(e * int_max, total, rounding_mode="floor").clamp(max=int_max - 1)
        return torch.bucketize(p, self.values, right=True) - 1

    def _code_register(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.code.zero_flag:
            return level, torch.zeros_like(level)
        return (level - 1).clamp(min=0), (level == 0).long()

    def accumulate(self, level: Tensor, v: Tensor, params: LayerParams) -> Tensor:
        """Return acc, (B, H, R, D') int64, of the levels (B, H, R, N) and v."""
        weight = self.values[level].float()
        return exact_matmul(weight, v - params.zv, self.config.registers["acc"].bound).long()

    def output(self, acc: Tensor, params: LayerParams) -> Tensor:
        """Return o, the output codes of acc, int64."""
        rounded = _rnd(acc * params.m2, params.n2) + params.zo
        return rounded.clamp(0, (1 << self.config.o_bits) - 1)


def _rnd(x: Tensor, n: int) -> Tensor:
    """RND(x >> n) of int64: ties toward plus infinity."""
    return (x + ((1 << n) >> 1)) >> n
