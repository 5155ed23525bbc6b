"""Scaled dot-product attention for everyone: float tensors in and out, integers inside."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bitlog2.documents import brief
from bitlog2.sim import AttentionConfig, scheme_named
from bitlog2.sim.checks import check_int

from .attention import CalibratedDatapath, in_float32, raw_bias
from .datapath import AttentionDatapath
from .quantizers import CodeUniform

#: The code of the map where none is asked for.
_SCHEME = "RowMax_16"
_BITS = 4


class Heads(NamedTuple):
    """A call as the datapath takes it.

    Attributes:
        q, k, v: real, (B, H, R, D), (B, H, N, D) and (B, H, N, D'), float32 or float64.
        masked, bias: bool and int32, broadcast to (B, H, R, N); None for none.
        leading: the axes that B and H stand for.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    masked: Tensor | None
    bias: Tensor | None
    leading: tuple[int, ...]


class DotProductAttention(CalibratedDatapath, nn.Module):
    """The middle of an attention layer, from q, k and v to o: codes, the integer datapath, a scale.

    `calibrate` freezes what is not frozen; nothing is learnt when it is called. Watchers see its
    datapath as that of any layer.

    Args:
        config: configuration of the hardware.

    Attributes:
        o_quantizer: codes of the output.
        score_scale: factor of the scores; 0 until calibrated.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.score_scale = 0.0
        self.q_quantizer, self.k_quantizer = CodeUniform(config.q_bits), CodeUniform(config.k_bits)
        self.v_quantizer, self.o_quantizer = CodeUniform(config.v_bits), CodeUniform(config.o_bits)
        self.datapath = AttentionDatapath(config)
        self.register_buffer("delta", torch.zeros((), dtype=torch.float64))

    @property
    def output_quantizer(self) -> CodeUniform:
        """The quantizer of o."""
        return self.o_quantizer

    def get_extra_state(self) -> Tensor:
        """Return the factor of the scores, for the state of the module."""
        return torch.tensor(self.score_scale, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the factor of the scores from a state."""
        self.score_scale = float(state)

    def calibrate(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        """Freeze what is not frozen, from these tensors: q, k and v, the map's scale, then o.

        In float64, and what was frozen is rounded to float32 at the end.

        Args:
            q, k, v, attn_mask, is_causal, scale, enable_gqa: as of `attention`.

        Raises:
            TypeError, ValueError: as `attention`.
        """
        given = self._heads(q, k, v, attn_mask, is_causal, enable_gqa)
        wanted = given.q.shape[-1] ** -0.5 if scale is None else scale
        if not (math.isfinite(wanted) and wanted > 0):
            raise ValueError(f"scale must be a number above 0, got {wanted}")
        self.score_scale = self.score_scale or float(wanted)
        q, k, v = (each.double() for each in given[:3])
        quantizers = {"q": self.q_quantizer, "k": self.k_quantizer, "v": self.v_quantizer}
        self.double()
        try:
            for (name, quantizer), values in zip(quantizers.items(), (q, k, v), strict=True):
                _observe(name, quantizer, values)
            output = self._freeze_levels(q, k, v, given.masked, given.bias)
            _observe("output", self.o_quantizer, output)
        finally:
            in_float32(self)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Return o on the grid of its codes; arguments and errors as of `attention`.

        The scale is that which calibrated.

        Raises:
            RuntimeError: it is not calibrated.
        """
        self.o_quantizer.require_frozen()
        if scale not in (None, self.score_scale):
            raise ValueError(f"scale must be {self.score_scale}, that of the state, got {scale}")
        heads = self._heads(q, k, v, attn_mask, is_causal, enable_gqa)
        codes = self.q_quantizer(heads.q), self.k_quantizer(heads.k), self.v_quantizer(heads.v)
        o = self.datapath(*codes, self.params(), heads.masked, heads.bias).output.o
        real = (o - self.o_quantizer.zero_point) * self.o_quantizer.delta
        return real.reshape(*heads.leading, *real.shape[2:]).to(q.dtype)

    def _heads(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None,
        is_causal: bool,
        enable_gqa: bool,
    ) -> Heads:
        """Return a call as the datapath takes it; refuse one that it does not."""
        _check_tensors(q, k, v)
        if enable_gqa:
            k, v = (_of_every_query_head(name, x, q) for name, x in (("k", k), ("v", v)))
        try:
            shapes = [each.shape[:-2] for each in (q, k, v)]
            leading = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
        except RuntimeError:
            found = ", ".join(str(tuple(each.shape)) for each in (q, k, v))
            raise ValueError(f"q, k and v must broadcast but for two axes, got {found}") from None
        if attn_mask is not None and is_causal:
            raise ValueError("attn_mask must be None with is_causal")
        rows, keys = q.shape[-2], k.shape[-2]
        masked = bias = None
        if is_causal:
            masked = torch.ones(rows, keys, dtype=torch.bool, device=q.device).triu(1)[None, None]
        elif attn_mask is not None:
            masked, bias = self._mask(attn_mask, q, (*leading, rows, keys))
        q, k, v = (_four_axes(each, leading, each.shape[-2:]) for each in (q, k, v))
        return Heads(q, k, v, masked, bias, tuple(leading))

    def _mask(
        self, mask: Tensor, q: Tensor, shape: tuple[int, ...]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the keys that a mask excludes, and the score bias that is left of it."""
        if not isinstance(mask, Tensor) or mask.dtype not in (torch.bool, q.dtype):
            found = mask.dtype if isinstance(mask, Tensor) else brief(mask)
            raise TypeError(f"attn_mask must be a tensor of bool or {q.dtype}, got {found}")
        try:
            torch.broadcast_to(mask, shape)
        except RuntimeError:
            raise ValueError(
                f"attn_mask must broadcast to {shape}, got {tuple(mask.shape)}"
            ) from None
        if all(size == 1 for size in mask.shape[:-2]):  # of every head: is not repeated
            mask, shape = mask.reshape(mask.shape[-2:]), shape[-2:]
        mask = _four_axes(mask, shape[:-2], shape[-2:])
        masked = ~mask if mask.dtype == torch.bool else mask <= torch.finfo(mask.dtype).min
        if bool(masked.all(dim=-1).any()):
            raise ValueError("attn_mask must leave a key in every row, got a row without any")
        bias = None if mask.dtype == torch.bool else mask.masked_fill(masked, 0.0)
        try:
            raw = raw_bias(bias if bias is not None and bool(bias.any()) else None, self.config)
        except ValueError as error:
            raise ValueError(
                f"attn_mask must exclude keys by False or -inf, else fit the score bias: {error}"
            ) from error
        return masked if bool(masked.any()) else None, raw

    @property
    def config(self) -> AttentionConfig:
        """Configuration of the hardware."""
        return self.datapath.config


def _observe(name: str, quantizer: CodeUniform, values: Tensor) -> None:
    try:
        if not quantizer.frozen:
            quantizer.observe(values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuse tensors that no attention takes, or whose gradients would be lost."""
    for name, each in (("q", q), ("k", k), ("v", v)):
        if not isinstance(each, Tensor) or not each.is_floating_point():
            found = each.dtype if isinstance(each, Tensor) else brief(each)
            raise TypeError(f"{name} must be a tensor of floats, got {found}")
        if each.ndim < 2 or not each.numel():
            raise ValueError(f"{name} must be (..., tokens, channels), got {tuple(each.shape)}")
        if each.dtype != q.dtype or each.device != q.device:
            raise TypeError(
                f"{name} must be {q.dtype} on {q.device} as q, got {each.dtype} on {each.device}"
            )
        if each.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name} must need no gradient: integers have none (torch.no_grad)")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "q and k must have as many channels, k and v as many tokens, got "
            f"{tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )


def _of_every_query_head(name: str, x: Tensor, q: Tensor) -> Tensor:
    """Return k or v with the heads of q: each one for as many neighbours."""
    if min(x.ndim, q.ndim) < 3 or q.shape[-3] % x.shape[-3]:
        raise ValueError(
            f"{name} must have heads that divide those of q for enable_gqa, got {tuple(x.shape)} "
            f"for q {tuple(q.shape)}"
        )
    return x.repeat_interleave(q.shape[-3] // x.shape[-3], dim=-3)


def _four_axes(x: Tensor, leading: tuple[int, ...], last: tuple[int, ...]) -> Tensor:
    """Return (..., R, C) as (B, H, R, C), float32 at least; all leading axes but the last are B."""
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    *batch, heads = (1, *leading)
    return x.expand(*leading, *last).reshape(math.prod(batch), heads, *last)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    scheme: str | None = None,
    bits: int | None = None,
    state: DotProductAttention | None = None,
) -> Tensor:
    """Return scaled dot-product attention, computed by the integer datapath.

    Takes the place of `torch.nn.functional.scaled_dot_product_attention`: q, k and v become codes,
    the datapath of SPEC.md gives codes of o, and these stand for real numbers again. One scale each
    for all of q, k, v and o, calibrated from the tensors of the call itself, unless a `state` has
    them from others.

    Args:
        q: (..., H, R, D) float16, bfloat16, float32 or float64.
        k, v: (..., H, N, D) and (..., H, N, D'), of the same type; leading axes broadcast.
        attn_mask: broadcast to (..., H, R, N): bool, False for a key that takes no part; or of the
            type of q, added to the scores: -inf (and the lowest finite number) excludes a key,
            other values are the score bias b of the datapath, RND at 2**-F. Each row keeps a key.
        dropout_p: 0.
        is_causal: whether a row takes keys up to its own place alone.
        scale: factor of the scores; None for 1/sqrt(D), or that of the state.
        enable_gqa: whether a head of k and v serves as many neighbours of q.
        scheme: code of the map, one's own too; None for RowMax_16, or that of the state.
        bits: width of the codes of q, k, v and o, 2 to 8; None for 4, or those of the state.
        state: a calibrated layer, left as it is; None to calibrate from these tensors.

    Returns:
        (..., H, R, D') in the type of q: scale * (code - zero point), a product in float32.

    Raises:
        TypeError, ValueError: an argument is of another kind, shape or range, or something that the
            datapath has not: dropout, a gradient, a row without a key, a bias beyond its register;
            or values of one point, which span no range.

    Bits: the registers are those of `bitlog2.sim.attention` (tests/test_dot_product.py).
    """
    if dropout_p != 0:
        raise ValueError(f"dropout_p must be 0, which the datapath has not, got {dropout_p}")
    if state is None:
        _check_tensors(q, k, v)
        config = _config_of(_SCHEME if scheme is None else scheme, bits, k)
        state = DotProductAttention(config).to(q.device)
        state.calibrate(q, k, v, attn_mask, is_causal, scale, enable_gqa)
    else:
        scheme = None if scheme is None else scheme_named(scheme).name
        own = {"scheme": state.config.scheme, "bits": state.config.q_bits}
        for name, value in (("scheme", scheme), ("bits", bits)):
            if value not in (None, own[name]):
                raise ValueError(f"{name} must be {own[name]}, that of the state, got {value}")
    return state(q, k, v, attn_mask, is_causal, scale, enable_gqa)  # type: ignore[no-any-return]


def _config_of(scheme: str, bits: int | None, k: Tensor) -> AttentionConfig:
    """Return the default hardware of a scheme, with room for the rows and heads of k."""
    width = _BITS if bits is None else bits
    check_int("bits", width, 2, 8)
    usual = AttentionConfig(scheme)
    return AttentionConfig(
        scheme,
        **{f"{name}_bits": width for name in "qkvo"},
        max_tokens=max(usual.max_tokens, k.shape[-2]),
        max_head_dim=max(usual.max_head_dim, k.shape[-1]),
    )
