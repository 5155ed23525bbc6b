"""The datapaths of the specification in torch: every register of a batch, on any device.

An independent implementation: of `bitlog2.sim` it takes configuration and tables. It divides where
the simulator's kernels compare, and reads levels from exponent and mantissa of a float32, which
holds p exactly, where they count thresholds or find leading ones. RowMax's level is looked up by
distance.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bitlog2.sim import REGISTERS, AttentionConfig, LayerParams
from bitlog2.sim.units.distance_quantizer import thresholds_of

from .layers import exact_matmul
from .levels import level_of


class MapRegisters(NamedTuple):
    """Scores to codes. score, t, d, e, level, nibble, flag: (B, H, R, N); the others (B, H, R).

    level, nibble and flag are uint8, row_sum, weight_sum, m2_row and n2_row int64, the others
    int32, or int64 where a score product does not fit. d and e of masked keys are d_max and 0.
    Registers that the scheme's datapath lacks are None.
    """

    score: Tensor
    t: Tensor
    row_max: Tensor
    d: Tensor
    e: Tensor | None
    row_sum: Tensor | None
    level: Tensor
    nibble: Tensor
    flag: Tensor
    weight_sum: Tensor | None = None
    m2_row: Tensor | None = None
    n2_row: Tensor | None = None


class OutputRegisters(NamedTuple):
    """Units 8 and 9. acc: (B, H, R, D) int32; o: (B, H, R, D) uint8."""

    acc: Tensor
    o: Tensor


class DatapathRegisters(NamedTuple):
    """Every register of a batch of heads."""

    map: MapRegisters
    output: OutputRegisters

    def named(self) -> dict[str, Tensor]:
        """Return the registers of the datapath by the names of `bitlog2.sim.REGISTERS`."""
        held = {**self.map._asdict(), **self.output._asdict()}
        return {name: held[name] for name in REGISTERS if held[name] is not None}


class AttentionDatapath(nn.Module):
    """The units of a scheme's datapath on integer tensors.

    Args:
        config: configuration of the hardware.
    """

    exp2_of: Tensor
    level_of: Tensor
    values: Tensor

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.word = torch.int32 if config.scores_fit_int32 else torch.int64
        values = torch.tensor(config.code.values, dtype=torch.float32)
        by_distance = ("level_of", _level_of_every_distance(config))
        if not config.code.row_max:
            by_distance = ("exp2_of", _exp2_of_every_distance(config))
        self.register_buffer(*by_distance, persistent=False)
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
        o = self.output(acc, *output_scale(attention_map._asdict(), params), params.zo)
        return DatapathRegisters(attention_map, OutputRegisters(acc, o))

    def attention_map(
        self,
        q: Tensor,
        k: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> MapRegisters:
        """Return the registers from scores to codes; arguments as `forward`.

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
        t = t.clamp_(config.t_min, config.t_max)
        visible = t if masked is None else t.masked_fill(masked, config.t_min)
        row_max = visible.amax(dim=-1)
        d = (row_max.unsqueeze(-1) - t).clamp_(max=config.d_max)
        if masked is not None:
            d = d.masked_fill(masked, config.d_max)
        known = (score, t, row_max, d)
        return (self._from_distance if config.code.row_max else self._from_quotient)(
            known, params, masked
        )

    def _from_quotient(
        self, known: tuple[Tensor, ...], params: LayerParams, masked: Tensor | None
    ) -> MapRegisters:
        """Return the registers of units 4 to 7 after the known ones."""
        config, d = self.config, known[3]
        e = self.exp2_of.index_select(0, d.reshape(-1)).view(d.shape)
        if masked is not None:
            e = e.masked_fill(masked, 0)
        row_sum = e.sum(dim=-1, dtype=torch.int64 if config.width("row_sum") > 31 else torch.int32)
        level = self._log2_quantizer(e, row_sum.unsqueeze(-1))
        nibble, flag = self._code_register(level)
        score, t, row_max, _ = known
        return MapRegisters(score, t, row_max, d, e, row_sum.long(), level, nibble, flag)

    def _from_distance(
        self, known: tuple[Tensor, ...], params: LayerParams, masked: Tensor | None
    ) -> MapRegisters:
        """Return the registers of units 10, 7, 11 and 12 after the known ones.

        lod(w) is the exponent of a float64, which holds w exactly; M2 * 2**(k + 1) + w is below
        2**52.
        """
        d = known[3]
        level = self.level_of.index_select(0, d.reshape(-1)).view(d.shape)
        if masked is not None:
            level = level.masked_fill(masked, 0)
        weight_sum = self._value_of(level).sum(dim=-1, dtype=torch.float64).long()
        k = torch.frexp(weight_sum.double()).exponent.long() - 1
        shifted = torch.bitwise_left_shift(torch.full_like(k, 2 * params.m2), k)
        m2_row = (shifted + weight_sum).div(2 * weight_sum, rounding_mode="floor")
        nibble, flag = self._code_register(level)
        score, t, row_max, _ = known
        codes = (level, nibble, flag)
        return MapRegisters(
            score, t, row_max, d, None, None, *codes, weight_sum, m2_row, params.n2 + k
        )

    def _value_of(self, level: Tensor) -> Tensor:
        """Return the value of each level, float32."""
        return self.values.index_select(0, level.reshape(-1).int()).view(level.shape)

    def _log2_quantizer(self, e: Tensor, total: Tensor) -> Tensor:
        """Return the level of e / total, uint8.

        p = floor(e * A / s) by a float64 division, which is exact here: a quotient of integers
        below an integer q misses it by at least 1 part in e * A + s, and that is below 2**53. p is
        below 2**17, so a float32 holds it.
        """
        scheme = self.config.code
        p = e.double().mul_(scheme.int_max).div_(total.double()).floor_().float()
        return level_of(p.clamp_(max=scheme.int_max - 1), scheme).to(torch.uint8)

    def _code_register(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.code.zero_flag:
            return level, torch.zeros_like(level)
        flag = 1 - level.clamp(max=1)
        return (level - 1).add_(flag), flag

    def accumulate(self, level: Tensor, v: Tensor, params: LayerParams) -> Tensor:
        """Return acc, (B, H, R, D') int32, of the levels (B, H, R, N) uint8 and v."""
        bound = self.config.registers["acc"].bound
        return exact_matmul(self._value_of(level), v - params.zv, bound).int()

    def output(self, acc: Tensor, m2: Tensor | int, n2: Tensor | int, zo: int) -> Tensor:
        """Return o, the output codes of acc, uint8; m2 and n2 as `output_scale` returns them."""
        rounded = rnd(acc.long() * m2, n2).add_(zo)
        return rounded.clamp_(0, (1 << self.config.o_bits) - 1).to(torch.uint8)


def output_scale(
    registers: Mapping[str, Tensor | None], params: LayerParams
) -> tuple[Tensor | int, Tensor | int]:
    """Return what unit 9 multiplies and shifts by: of the layer, or of each row (B, H, R, 1)."""
    m2, n2 = registers.get("m2_row"), registers.get("n2_row")
    if m2 is None or n2 is None:
        return params.m2, params.n2
    return m2.unsqueeze(-1), n2.unsqueeze(-1)


def _level_of_every_distance(config: AttentionConfig) -> Tensor:
    """Return RowMax's level of every d, uint8: the thresholds from d on, (d_max + 1,)."""
    thresholds = torch.tensor(thresholds_of(config.code, config.fraction_bits))
    passed = torch.bucketize(torch.arange(config.d_max + 1), thresholds)
    return (config.code.top_level - passed).to(torch.uint8)


def _exp2_of_every_distance(config: AttentionConfig) -> Tensor:
    """Return RND(T[d mod 2**F] >> (d div 2**F)) for every d, int32: table entry and shifter."""
    fraction = config.fraction_bits
    d = torch.arange(config.d_max + 1)
    entry = torch.tensor(config.table)[d & ((1 << fraction) - 1)]
    shift = (d >> fraction).clamp(max=config.table_bits + 2)
    rounding = torch.bitwise_left_shift(torch.ones_like(shift), shift) >> 1
    return torch.bitwise_right_shift(entry + rounding, shift).int()


def rnd(x: Tensor, n: Tensor | int) -> Tensor:
    """Return RND(x >> n) of integers: ties toward plus infinity; x is lost."""
    return x.add_((1 << n) >> 1).bitwise_right_shift_(n)
