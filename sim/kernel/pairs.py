"""Vectors in LLVM's words that numba makes of no loop: sums of products of pairs.

Imported when a kernel that needs it is compiled, for it brings numba.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from .lane_product import CHANNEL_LANES, DEPTH, KEY_LANES

#: Sums in a vector of 256 bits, int32, and so pairs of int16.
_SUMS = 8
_I16, _I32 = ir.IntType(16), ir.IntType(32)
_PAIRS, _TOTALS = ir.VectorType(_I16, 2 * _SUMS), ir.VectorType(_I32, _SUMS)


def has_fused() -> bool:
    """Whether this processor adds the products of pairs in one instruction, x86's vpmaddwd."""
    return "+avx2" in get_host_cpu_features().split(",")


def _shuffled(builder: Any, vector: Any, places: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(places)), places)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _products(builder: Any, a: Any, b: Any, fused: bool) -> Any:
    """Return a[2 i] * b[2 i] + a[2 i + 1] * b[2 i + 1] of each pair, int32."""
    if fused:
        signature = ir.FunctionType(_TOTALS, [_PAIRS, _PAIRS])
        name = "llvm.x86.avx2.pmadd.wd"
        function = cgutils.get_or_insert_function(builder.module, signature, name)
        return builder.call(function, [a, b])
    terms = []
    for first in (0, 1):
        places = list(range(first, 2 * _SUMS, 2))
        x, y = (builder.sext(_shuffled(builder, v, places), _TOTALS) for v in (a, b))
        terms.append(builder.mul(x, y))
    return builder.add(*terms)


def adder(lanes: int, *, fused: bool) -> Any:
    """Return the intrinsic of `lane_product.adding_loop` for blocks of so many lanes.

    Args:
        lanes: a multiple of 8.
        fused: by x86's instruction, which `has_fused` must have found; else by general ones.
    """

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds = signature.args
        a, b, out = (
            context.make_array(kinds[i])(context, builder, value=given[i]).data for i in (0, 2, 4)
        )
        pairs = builder.bitcast(builder.gep(a, [given[1]]), _I32.as_pointer())
        matrix, sums = builder.gep(b, [given[3]]), builder.gep(out, [given[5]])
        factors = []
        for i in range(DEPTH // 2):
            pair = builder.load(builder.gep(pairs, [_I32(i)]), align=2)
            single = builder.insert_element(ir.Constant(_TOTALS, ir.Undefined), pair, _I32(0))
            factors.append(builder.bitcast(_shuffled(builder, single, [0] * _SUMS), _PAIRS))
        for lane in range(0, lanes, _SUMS):
            place = builder.bitcast(builder.gep(sums, [_I32(lane)]), _TOTALS.as_pointer())
            total = builder.load(place, align=4)
            for i, factor in enumerate(factors):
                start = builder.gep(matrix, [_I32(2 * (i * lanes + lane))])
                rows = builder.load(builder.bitcast(start, _PAIRS.as_pointer()), align=2)
                total = builder.add(total, _products(builder, factor, rows, fused))
            builder.store(total, place, align=4)
        return context.get_dummy_value()

    def typed(typing: Any, a: Any, p: Any, b: Any, q: Any, out: Any, first: Any) -> Any:
        return types.void(a, types.uint64, b, types.uint64, out, types.uint64), generate

    return intrinsic(typed)


_to_keys = adder(KEY_LANES, fused=has_fused())
_to_channels = adder(CHANNEL_LANES, fused=has_fused())


def add_to_keys(a: Any, p: Any, b: Any, q: Any, out: Any, first: Any) -> None:
    """Add as the loop of `lane_product` does, blocks of `KEY_LANES`."""
    _to_keys(a, p, b, q, out, first)


def add_to_channels(a: Any, p: Any, b: Any, q: Any, out: Any, first: Any) -> None:
    """Add as the loop of `lane_product` does, blocks of `CHANNEL_LANES`."""
    _to_channels(a, p, b, q, out, first)


#: What takes the place of a loop where this processor has it, by name.
FORMS: dict[str, Callable[..., Any]] = {
    f"add_pairs_{KEY_LANES}": add_to_keys,
    f"add_pairs_{CHANNEL_LANES}": add_to_channels,
}
