"""Vectors in LLVM's words that numba makes of no loop: sums of products of pairs.

Imported when a kernel that needs it is compiled, for it brings numba.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from .lane_product import CHANNEL_LANES, DEPTH, KEY_LANES

_I16, _I32 = ir.IntType(16), ir.IntType(32)
#: How x86 adds the products of pairs, by the feature that a processor has for it: sums of a vector,
#: and LLVM's name of the instruction; the last one adds them to what is there, too.
_INSTRUCTIONS = {
    "avx2": (8, "llvm.x86.avx2.pmadd.wd"),
    "avx512bw": (16, "llvm.x86.avx512.pmaddw.d.512"),
    "avx512vnni": (16, "llvm.x86.avx512.vpdpwssd.512"),
}
#: Sums of a vector where no instruction does.
_GENERAL = 8
#: Vectors of sums that grow side by side at least: a result takes as long as so many of them.
_CHAINS = 8


def pair_features() -> list[str]:
    """Return the features of x86 that this processor has for pairs, the best last; "" is none."""
    features = get_host_cpu_features().split(",")
    return ["", *(name for name in _INSTRUCTIONS if f"+{name}" in features)]


def _shuffled(builder: Any, vector: Any, places: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, len(places)), places)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _added(builder: Any, total: Any, a: Any, b: Any, feature: str) -> Any:
    """Return total[i] + a[2 i] * b[2 i] + a[2 i + 1] * b[2 i + 1] of each pair, int32."""
    kind = total.type
    if feature:
        given = [a, b]
        if feature == "avx512vnni":
            given = [total, *(builder.bitcast(each, kind) for each in given)]
        signature = ir.FunctionType(kind, [each.type for each in given])
        name = _INSTRUCTIONS[feature][1]
        made = builder.call(cgutils.get_or_insert_function(builder.module, signature, name), given)
        return made if feature == "avx512vnni" else builder.add(total, made)
    for first in (0, 1):
        places = list(range(first, a.type.count, 2))
        x, y = (builder.sext(_shuffled(builder, v, places), kind) for v in (a, b))
        total = builder.add(total, builder.mul(x, y))
    return total


def block_former(lanes: int, feature: str) -> Any:
    """Return the intrinsic of `lane_product.block_loop` for blocks of so many lanes.

    All sums stay in registers.

    Args:
        lanes: a multiple of 16.
        feature: one of `pair_features`, whose instruction adds; "" adds by general ones.
    """
    width = _INSTRUCTIONS[feature][0] if feature else _GENERAL
    totals, words = ir.VectorType(_I32, width), ir.VectorType(_I16, 2 * width)
    chains = max(1, _CHAINS * width // lanes)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        a, b, out = (
            context.make_array(signature.args[i])(context, builder, value=given[i])
            for i in range(3)
        )
        sums = [
            [cgutils.alloca_once_value(builder, totals(None)) for _ in range(chains)]
            for _ in range(0, lanes, width)
        ]
        size = a.nitems.type
        with cgutils.for_range(builder, builder.udiv(a.nitems, size(DEPTH))) as loop:
            first = builder.mul(loop.index, size(DEPTH))
            pairs = builder.bitcast(builder.gep(a.data, [first]), _I32.as_pointer())
            matrix = builder.gep(b.data, [builder.mul(first, size(lanes))])
            for i in range(DEPTH // 2):
                pair = builder.load(builder.gep(pairs, [_I32(i)]), align=2)
                single = builder.insert_element(ir.Constant(totals, ir.Undefined), pair, _I32(0))
                factor = builder.bitcast(_shuffled(builder, single, [0] * width), words)
                for lane in range(0, lanes, width):
                    start = builder.gep(matrix, [_I32(2 * (i * lanes + lane))])
                    rows = builder.load(builder.bitcast(start, words.as_pointer()), align=2)
                    total = sums[lane // width][i % chains]
                    more = _added(builder, builder.load(total), factor, rows, feature)
                    builder.store(more, total)
        for lane, parts in zip(range(0, lanes, width), sums, strict=True):
            place = builder.gep(out.data, [builder.add(given[3], size(lane))])
            total = reduce(builder.add, map(builder.load, parts))
            builder.store(total, builder.bitcast(place, totals.as_pointer()), align=4)
        return context.get_dummy_value()

    def typed(typing: Any, a: Any, b: Any, out: Any, first: Any) -> Any:
        return types.void(a, b, out, types.uint64), generate

    return intrinsic(typed)


_key_block = block_former(KEY_LANES, pair_features()[-1])
_channel_block = block_former(CHANNEL_LANES, pair_features()[-1])


def key_block(a: Any, b: Any, out: Any, first: Any) -> None:
    """Write what the loop of `lane_product` does, blocks of `KEY_LANES`."""
    _key_block(a, b, out, first)


def channel_block(a: Any, b: Any, out: Any, first: Any) -> None:
    """Write what the loop of `lane_product` does, blocks of `CHANNEL_LANES`."""
    _channel_block(a, b, out, first)


#: What takes the place of a loop, by name.
FORMS: dict[str, Callable[..., Any]] = {
    f"block_product_{KEY_LANES}": key_block,
    f"block_product_{CHANNEL_LANES}": channel_block,
}
