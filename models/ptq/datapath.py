"""Section 3 of the specification in torch: every register of a batch, on any device.

An independent implementation: of `bitlog2.sim` it takes configuration and tables. It divides where
the simulator's kernels compare, and reads levels from exponent and mantissa of a float32, which
holds p exactly, where they count thresholds or find leading ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bitlog2.sim import AttentionConfig, LayerParams

from .layers import exact_matmul
from .levels import level_of


class MapRegisters(NamedTuple):
    """Units 1 to 7. score, t, d, e, level, nibble, flag: (B, H, R, N); row_max, row_sum: (B, H, R).

    level, nibble and flag are uint8, row_sum int64, the others int32, or int64 where a score
    product does not fit. d and e of masked keys are d_max and 0.
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
    """Units 8 and 9. acc: (B, H, R, D) int32; o: (B, H, R, D) uint8."""

    acc: Tensor
    o: Tensor


class DatapathRegisters(NamedTuple):
    """Every register of a batch of heads."""

    map: MapRegisters
    output: OutputRegisters

    def named(self) -> dict[str, Tensor]:
        """Return the registers by the names of `bitlog2.sim.REGISTERS`."""
        return {**self.map._asdict(), **self.output._asdict()}


class AttentionDatapath(nn.Module):
    """The nine units on integer tensors.

    Args:
        config: configuration of the hardware.
    """

    exp2_of: Tensor
    values: Tensor

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.word = torch.int32 if config.scores_fit_int32 else torch.int64
        values = torch.tensor(config.code.values, dtype=torch.float32)
        self.register_buffer("exp2_of", _exp2_of_every_distance(config), persistent=False)
        self.register_buffer("values", values, persistent=False)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> DatapathRegisters:
        """Return every register.

        Args:
            q: (B, H, R, D) codes as float32 integers; k: (B, H, N, D); v: (B, H, N, D').
            params: parameters of the layer.
            masked: bool, broadcastable to (B, H, R, N), True for a key that takes no part.
            bias: int32 or int64, broadcastable to (B, H, R, N).
        """
        attention_map = self.attention_map(q, k, params, masked, bias)
        acc = self.accumulate(attention_map.level, v, params)
        return DatapathRegisters(attention_map, OutputRegisters(acc, self.output(acc, params)))

    def attention_map(
        self,
        q: Tensor,
        k: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> MapRegisters:
        """Return the registers of units 1 to 7; arguments as `forward`.

        Raises:
            ValueError: rows or heads are longer than the hardware is built for: registers could
                overflow.
        """
        config, (_, _, tokens, head_dim) = self.config, k.shape
        for name, size in (("max_head_dim", head_dim), ("max_tokens", tokens)):
            if size > getattr(config, name):
                raise ValueError(
                    f"datapath {name} must be at least {size} for k {tuple(k.shape)}, "
                    f"got {getattr(config, name)}"
                )
        bound = config.registers["score"].bound
        score = exact_matmul(q - params.zq, (k - params.zk).transpose(-2, -1), bound).to(self.word)
        t = rnd(score * params.m, params.n)
        if bias is not None:
            t = t + bias.to(self.word)
        t = t.clamp(config.t_min, config.t_max)
        visible = t if masked is None else t.masked_fill(masked, config.t_min)
        row_max = visible.amax(dim=-1)
        d = (row_max.unsqueeze(-1) - t).clamp(max=config.d_max)
        if masked is not None:
            d = d.masked_fill(masked, config.d_max)
        e = self.exp2_of.index_select(0, d.reshape(-1)).view(d.shape)
        if masked is not None:
            e = e.masked_fill(masked, 0)
        row_sum = e.sum(dim=-1, dtype=torch.int64 if config.width("row_sum") > 31 else torch.int32)
        level = self._log2_quantizer(e, row_sum.unsqueeze(-1))
        nibble, flag = self._code_register(level)
        return MapRegisters(score, t, row_max, d, e, row_sum.long(), level, nibble, flag)

    def _log2_quantizer(self, e: Tensor, total: Tensor) -> Tensor:
        """Return the level of e / total, uint8.

        p = floor(e * A / s) by a float64 division, which is exact here: a quotient of integers
        below an integer q misses it by at least 1 part in e * A + s, and that is below 2**53. p is
        below 2**17, so a float32 holds it.
        """
        scheme = self.config.code
        p = e.double().mul_(scheme.int_max).div_(total.double()).floor_()
        return level_of(p.clamp_(max=scheme.int_max - 1).float(), scheme).to(torch.uint8)

    def _code_register(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.code.zero_flag:
            return level, torch.zeros_like(level)
        flag = (level == 0).to(torch.uint8)
        return level - 1 + flag, flag

    def accumulate(self, level: Tensor, v: Tensor, params: LayerParams) -> Tensor:
        """Return acc, (B, H, R, D') int32, of the levels (B, H, R, N) uint8 and v."""
        weight = self.values.index_select(0, level.reshape(-1).int()).view(level.shape)
        return exact_matmul(weight, v - params.zv, self.config.registers["acc"].bound).int()

    def output(self, acc: Tensor, params: LayerParams) -> Tensor:
        """Return o, the output codes of acc, uint8."""
        rounded = rnd(acc.long() * params.m2, params.n2) + params.zo
        return rounded.clamp(0, (1 << self.config.o_bits) - 1).to(torch.uint8)


def _exp2_of_every_distance(config: AttentionConfig) -> Tensor:
    """Return RND(T[d mod 2**F] >> (d div 2**F)) for every d, int32: table entry and shifter."""
    fraction = config.fraction_bits
    d = torch.arange(config.d_max + 1)
    entry = torch.tensor(config.table)[d & ((1 << fraction) - 1)]
    shift = (d >> fraction).clamp(max=config.table_bits + 2)
    rounding = torch.bitwise_left_shift(torch.ones_like(shift), shift) >> 1
    return torch.bitwise_right_shift(entry + rounding, shift).int()


def rnd(x: Tensor, n: int) -> Tensor:
    """Return RND(x >> n) of integers: ties toward plus infinity."""
    return (x + ((1 << n) >> 1)) >> n
