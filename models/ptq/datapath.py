"""The datapaths of the specification in torch: every register of a batch, on any device.

An independent implementation: of `bitlog2.sim` it takes configuration and tables. It divides where
the simulator's kernels compare, and reads levels from exponent and mantissa of a float32, which
holds p exactly, where they count thresholds or find leading ones. RowMax's level is looked up by
distance.

The next register is written over the one before; where registers are asked for, each is copied
first. So what is compared with the simulator is what the output codes are made of. Level, nibble
and flag are made for who asks: sums take the values of levels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bitlog2.sim import REGISTERS, AttentionConfig, LayerParams
from bitlog2.sim.units.distance_quantizer import thresholds_of

from .layers import exact_matmul, exact_scores
from .levels import level_of, quotient_kind, value_of


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
    level: Tensor
    nibble: Tensor
    flag: Tensor
    e: Tensor | None = None
    row_sum: Tensor | None = None
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
            q: (B, H, R, D) codes, integers of any type; k: (B, H, N, D); v: (B, H, N, D').
            params: parameters of the layer.
            masked: bool, broadcastable to (B, H, R, N), True for a key that takes no part.
            bias: int32 or int64, broadcastable to (B, H, R, N).

        Raises:
            ValueError: rows or heads are longer than the hardware is built for: registers could
                overflow.
        """
        kept: dict[str, Tensor] = {}
        self.codes(q, k, v, params, masked, bias, kept)
        return DatapathRegisters(_of_map(kept), OutputRegisters(kept["acc"], kept["o"]))

    def attention_map(
        self,
        q: Tensor,
        k: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> MapRegisters:
        """Return the registers from scores to codes; arguments and errors as `forward`."""
        kept: dict[str, Tensor] = {}
        self._weights(q, k, params, masked, bias, kept)
        return _of_map(kept)

    def codes(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        params: LayerParams,
        masked: Tensor | None = None,
        bias: Tensor | None = None,
        kept: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Return o, (B, H, R, D') uint8; arguments and errors as `forward`.

        Every register is computed for the hooks of this module alone, and for `kept`, which takes
        them by name.
        """
        if kept is None and (self._forward_hooks or self._forward_pre_hooks):
            registers: DatapathRegisters = self(q, k, v, params, masked, bias)
            return registers.output.o
        values, m2, n2 = self._weights(q, k, params, masked, bias, kept)  # (B, H, R, N)
        acc = self._sums(values, v, params)  # (B, H, R, D')
        _keep(kept, torch.int32, acc=acc)
        o = self.output(acc, m2, n2, params.zo)  # (B, H, R, D')
        _keep(kept, torch.uint8, o=o)
        return o

    def _weights(
        self,
        q: Tensor,
        k: Tensor,
        params: LayerParams,
        masked: Tensor | None,
        bias: Tensor | None,
        kept: dict[str, Tensor] | None,
    ) -> tuple[Tensor, Tensor | int, Tensor | int]:
        """Return the values of the levels, float32, and multiplier and shift of unit 9."""
        config, (_, _, tokens, head_dim) = self.config, k.shape
        for name, size in (("max_head_dim", head_dim), ("max_tokens", tokens)):
            if size > getattr(config, name):
                raise ValueError(
                    f"datapath {name} must be at least {size} for k {tuple(k.shape)}, "
                    f"got {getattr(config, name)}"
                )
        score = self._score(q, k, params)  # (B, H, R, N)
        _keep(kept, self.word, score=score)
        t = rnd(score.mul_(params.m), params.n)  # (B, H, R, N)
        if bias is not None:
            t += bias.to(self.word)
        t = t.clamp_(config.t_min, config.t_max)
        visible = t if masked is None else t.masked_fill(masked, config.t_min)
        row_max = visible.amax(dim=-1, keepdim=True)  # (B, H, R, 1)
        _keep(kept, self.word, t=t, row_max=row_max.squeeze(-1))
        d = torch.sub(row_max, t, out=t).clamp_(max=config.d_max)  # (B, H, R, N)
        if masked is not None:
            d = d.masked_fill_(masked, config.d_max)
        _keep(kept, self.word, d=d)
        if config.code.row_max:
            return self._weights_of_distances(d, params, masked, kept)
        return self._weights_of_quotients(d, masked, kept), params.m2, params.n2

    def _score(self, q: Tensor, k: Tensor, params: LayerParams) -> Tensor:
        """Return the scores, (B, H, R, N) int32 or int64, of codes q and k: unit 1."""
        config = self.config
        largest = (1 << config.q_bits) - 1, (1 << config.k_bits) - 1
        bound = config.registers["score"].bound
        return exact_scores(q, k, (params.zq, params.zk), largest, bound).to(self.word)

    def _weights_of_quotients(
        self, d: Tensor, masked: Tensor | None, kept: dict[str, Tensor] | None
    ) -> Tensor:
        """Return the values of the levels of e / s: units 4 to 7.

        p = floor(e * A / s) is A where all of a row is one key's, above all levels. A ladder takes
        the level from the bits of p, so its s is larger by 1 there: a p below A, of the top level.
        """
        config, scheme = self.config, self.config.code
        kind = quotient_kind(scheme, config.table_bits, d.shape[-1])
        e = looked_up(self.exp2_of.to(kind), d)  # (B, H, R, N)
        if masked is not None:
            e = e.masked_fill_(masked, 0)
        row_sum = e.sum(dim=-1, keepdim=True)  # (B, H, R, 1)
        _keep(kept, torch.int32, e=e)
        _keep(kept, torch.int64, row_sum=row_sum.squeeze(-1))
        total = row_sum.clamp_(min=(1 << config.table_bits) + scheme.is_ladder)
        p = e.mul_(scheme.int_max).div_(total).floor_().float()  # (B, H, R, N)
        if kept is not None:
            self._keep_codes(kept, level_of(p, scheme).to(torch.uint8))
        return value_of(p, scheme)

    def _weights_of_distances(
        self,
        d: Tensor,
        params: LayerParams,
        masked: Tensor | None,
        kept: dict[str, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the values of the levels of d, and M2 and n2 of each row: units 10, 7, 11, 12.

        lod(w) is the exponent of a float64, which holds w exactly; M2 * 2**(k + 1) + w is below
        2**52.
        """
        values = looked_up(self._value_of(self.level_of), d)  # (B, H, R, N)
        if masked is not None:
            values = values.masked_fill_(masked, 0)
        exact = torch.float32 if self.config.largest_weight < 1 << 24 else torch.float64
        weight_sum = values.sum(dim=-1, keepdim=True, dtype=exact).long()  # (B, H, R, 1)
        k = torch.frexp(weight_sum.double()).exponent.long() - 1  # (B, H, R, 1)
        shifted = torch.bitwise_left_shift(torch.full_like(k, 2 * params.m2), k)
        m2 = (shifted + weight_sum).div(2 * weight_sum, rounding_mode="floor")  # (B, H, R, 1)
        n2 = params.n2 + k  # (B, H, R, 1)
        if kept is not None:
            level = looked_up(self.level_of, d)
            self._keep_codes(kept, level if masked is None else level.masked_fill(masked, 0))
            rows = {"weight_sum": weight_sum, "m2_row": m2, "n2_row": n2}
            _keep(kept, torch.int64, **{name: each.squeeze(-1) for name, each in rows.items()})
        return values, m2, n2

    def _keep_codes(self, kept: dict[str, Tensor], level: Tensor) -> None:
        nibble, flag = self._code_register(level)
        kept.update(level=level, nibble=nibble, flag=flag)

    def _value_of(self, level: Tensor) -> Tensor:
        """Return the value of each level, float32."""
        return looked_up(self.values, level.int())

    def _code_register(self, level: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.code.zero_flag:
            return level, torch.zeros_like(level)
        flag = 1 - level.clamp(max=1)
        return (level - 1).add_(flag), flag

    def accumulate(self, level: Tensor, v: Tensor, params: LayerParams) -> Tensor:
        """Return acc, (B, H, R, D') int32, of the levels (B, H, R, N) uint8 and v."""
        return self._sums(self._value_of(level), v, params).int()

    def _sums(self, values: Tensor, v: Tensor, params: LayerParams) -> Tensor:
        """Return acc, (B, H, R, D'), in the float type that holds it, of values and v."""
        return exact_matmul(values, v.float() - params.zv, self.config.registers["acc"].bound)

    def output(self, acc: Tensor, m2: Tensor | int, n2: Tensor | int, zo: int) -> Tensor:
        """Return o, the output codes of acc, uint8; m2 and n2 of the layer, or of each row.

        In float64 where it holds the product, and the zero point in units of 2**-n2, exactly.
        """
        config, top = self.config, (1 << self.config.o_bits) - 1
        if config.registers["out_product"].bound + (1 << config.max_n2 + config.o_bits) < 1 << 53:
            unit = 0.5**n2 if isinstance(n2, int) else 1 / (1 << n2).double()
            o = acc.double().mul_(m2 * unit).add_(zo + 0.5).clamp_(0, top).int()
        else:
            o = rnd(acc.long() * m2, n2).add_(zo).clamp_(0, top)
        return o.to(torch.uint8)


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


def looked_up(table: Tensor, places: Tensor) -> Tensor:
    """Return the entries at places, int32 or int64, in their shape."""
    return table.index_select(0, places.reshape(-1)).view(places.shape)


def _keep(kept: dict[str, Tensor] | None, kind: torch.dtype, **registers: Tensor) -> None:
    """Copy registers of that type, where they are kept."""
    if kept is not None:
        kept.update({name: each.to(kind, copy=True) for name, each in registers.items()})


def _of_map(kept: dict[str, Tensor]) -> MapRegisters:
    return MapRegisters(
        **{name: each for name, each in kept.items() if name in MapRegisters._fields}
    )


def rnd(x: Tensor, n: Tensor | int) -> Tensor:
    """Return RND(x >> n) of integers: ties toward plus infinity; x is lost."""
    return x.add_((1 << n) >> 1).bitwise_right_shift_(n)
