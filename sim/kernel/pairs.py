"""Vectors in LLVM's words that numba makes of no loop: sums of products of pairs, and look-ups.

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


#: Words of a vector of 512 bits.
_WORDS = 32
_CODES, _VALUES = ir.VectorType(ir.IntType(8), _WORDS), ir.VectorType(_I16, _WORDS)
_PAIR_SUMS = ir.VectorType(_I32, _WORDS // 2)


def looks_up_words() -> bool:
    """Whether this processor takes 32 words from a vector in one instruction, x86's vpermw."""
    return "+avx512bw" in get_host_cpu_features().split(",")


def _called(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, arguments)


def _typed_look_up(typing: Any, level: Any, weights: Any, weight: Any) -> Any:
    """Write the weight of each level, and return their sum; of both arrays, whole vectors."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        codes, table, found = (
            context.make_array(kind)(context, builder, value=value)
            for kind, value in zip(signature.args, given, strict=True)
        )
        entries = builder.load(builder.bitcast(table.data, _VALUES.as_pointer()), align=2)
        ones = ir.Constant(_VALUES, [1] * _WORDS)
        total = cgutils.alloca_once_value(builder, ir.Constant(_PAIR_SUMS, [0] * (_WORDS // 2)))
        size = codes.nitems.type
        with cgutils.for_range(builder, builder.udiv(codes.nitems, size(_WORDS))) as loop:
            place = [builder.mul(loop.index, size(_WORDS))]
            start = builder.bitcast(builder.gep(codes.data, place), _CODES.as_pointer())
            levels = builder.zext(builder.load(start, align=1), _VALUES)
            values = _called(builder, "llvm.x86.avx512.permvar.hi.512", _VALUES, entries, levels)
            end = builder.bitcast(builder.gep(found.data, place), _VALUES.as_pointer())
            builder.store(values, end, align=2)
            sums = _called(builder, "llvm.x86.avx512.pmaddw.d.512", _PAIR_SUMS, values, ones)
            builder.store(builder.add(builder.load(total), sums), total)
        return _called(builder, "llvm.vector.reduce.add.v16i32", _I32, builder.load(total))

    return types.int32(level, weights, weight), generate


_look_up: Any = intrinsic(_typed_look_up)


def look_up(level: Any, scheme: Any, weight: Any) -> Any:
    """Look up as the loop of `row_weights` computes, where a table is a vector."""
    return _look_up(level, scheme.weights, weight)


#: What takes the place of a loop where this processor has it, by name.
FORMS: dict[str, Callable[..., Any]] = {
    f"add_pairs_{KEY_LANES}": add_to_keys,
    f"add_pairs_{CHANNEL_LANES}": add_to_channels,
}
if looks_up_words():
    FORMS["row_weights"] = look_up
