"""Sums of products of bytes in vectors, in LLVM's words: what numba makes of a loop has none.

Imported when a kernel that needs it is compiled, for it brings numba.
"""

from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from .product import LANES, TOKENS

#: Sums of a vector of 512 bits, int32, and so words of four bytes.
_SUMS = 16
_I8, _I32 = ir.IntType(8), ir.IntType(32)
_TOTALS = ir.VectorType(_I32, _SUMS)
#: x86's vpdpbusd: to each word, the sum of four products of an unsigned byte and a signed one. As
#: assembly, for LLVM's name of it has had several types.
_DOT = ir.InlineAsm(
    ir.FunctionType(_TOTALS, [_TOTALS, _TOTALS, _TOTALS]),
    "vpdpbusd $3, $2, $0",
    "=v,0,v,v",
)


def has_dots() -> bool:
    """Whether this processor adds products of four bytes in one instruction, of 512 bits."""
    return "+avx512vnni" in get_host_cpu_features().split(",")


def _typed(typing: Any, codes: Any, first: Any, weights: Any, sums: Any) -> Any:
    """Write the sums of products of `product.dot_tile`."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds = signature.args
        rows, matrix, out = (
            context.make_array(kinds[i])(context, builder, value=given[i]) for i in (0, 2, 3)
        )
        depth = cgutils.unpack_tuple(builder, rows.shape)[1]
        size = depth.type
        tokens = [
            builder.gep(rows.data, [builder.mul(builder.add(given[1], size(t)), depth)])
            for t in range(TOKENS)
        ]
        zero = ir.Constant(_TOTALS, [0] * _SUMS)
        totals = [
            [cgutils.alloca_once_value(builder, zero) for _ in range(LANES // _SUMS)]
            for _ in range(TOKENS)
        ]
        with cgutils.for_range(builder, builder.udiv(depth, size(4))) as loop:
            start = builder.gep(matrix.data, [builder.mul(loop.index, size(4 * LANES))])
            words = [
                builder.load(_cast(builder, start, 4 * _SUMS * i, _TOTALS), align=1)
                for i in range(LANES // _SUMS)
            ]
            for t, token in enumerate(tokens):
                place = builder.gep(token, [builder.mul(loop.index, size(4))])
                word = builder.load(_cast(builder, place, 0, _I32), align=1)
                factor = _spread(builder, word)
                for total, each in zip(totals[t], words, strict=True):
                    old = builder.load(total)
                    builder.store(builder.call(_DOT, [old, factor, each]), total)
        for t, row in enumerate(totals):
            for i, total in enumerate(row):
                end = _cast(builder, out.data, LANES * t + _SUMS * i, _TOTALS)
                builder.store(builder.load(total), end, align=4)
        return context.get_dummy_value()

    return types.void(codes, types.int64, weights, sums), generate


def _cast(builder: Any, start: Any, place: int, kind: Any) -> Any:
    return builder.bitcast(builder.gep(start, [_I32(place)]), kind.as_pointer())


def _spread(builder: Any, word: Any) -> Any:
    single = builder.insert_element(ir.Constant(_TOTALS, ir.Undefined), word, _I32(0))
    mask = ir.Constant(_TOTALS, [0] * _SUMS)
    return builder.shuffle_vector(single, ir.Constant(_TOTALS, ir.Undefined), mask)


binding.initialize_native_asmparser()
_dots: Any = intrinsic(_typed)


def dot_tile(codes: Any, first: Any, weights: Any, sums: Any) -> None:
    """Write the sums as the loop of `product.dot_tile` does."""
    _dots(codes, first, weights, sums)
