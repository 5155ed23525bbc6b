"""Rows in vectors of 512 bits, in place of loops of `rows.py`; and the leading one.

Imported when a kernel that needs it is compiled, for it brings numba.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .constants import SUM_LANES
from .pairs import pair_features

_I1, _I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_CODES, _WORDS = ir.VectorType(_I8, 32), ir.VectorType(_I16, 32)
_SUMS = ir.VectorType(_I32, SUM_LANES)
_FLOATS = ir.VectorType(ir.FloatType(), SUM_LANES)
#: Where the words of two vectors lie that are packed into one: four of each in turn.
_PACKED = [4 * (n % 4 * 2 + n // 4) + i for n in range(8) for i in range(4)]
#: Fraction bits of a float32, and its exponent of 1.
_FLOAT_BITS, _FLOAT_ONE = 23, 127
#: Scores that are fetched ahead: they may come from memory.
_AHEAD = 2048


def has_vectors() -> bool:
    """Whether this processor has vectors of 512 bits for words too, x86's AVX-512BW."""
    return "avx512bw" in pair_features()


def _same(kind: Any, value: int) -> Any:
    """Return a vector with one integer in each lane."""
    return ir.Constant(kind, [value] * kind.count)


class _Loop:
    """Builds a loop over the keys of a row. Its arguments go by their names."""

    def __init__(self, context: Any, builder: Any, named: dict[str, Any]) -> None:
        self._context, self.build, self._named = context, builder, named

    def _found(self, path: str) -> tuple[Any, Any]:
        """Return type and value of an argument, or of a field of one, `layer.steps.half`."""
        name, *fields = path.split(".")
        of, value = self._named[name]
        for field in fields:
            place = of.fields.index(field)
            of, value = of[place], self.build.extract_value(value, place)
        return of, value

    def number(self, path: str, kind: Any) -> Any:
        """Return an integer, of that type."""
        _, value = self._found(path)
        if value.type.width == kind.width:
            return value
        return (self.build.trunc if kind.width < value.type.width else self.build.sext)(value, kind)

    def every(self, value: Any, kind: Any) -> Any:
        """Return a vector with a value, or an argument, in each lane."""
        number = self.number(value, kind.element) if isinstance(value, str) else value
        first = self.build.insert_element(ir.Constant(kind, ir.Undefined), number, _I32(0))
        return self.shuffled(first, [0] * kind.count)

    def shuffled(self, vector: Any, places: list[int]) -> Any:
        """Return the lanes of a vector in another order, or some of them."""
        mask = ir.Constant(ir.VectorType(_I32, len(places)), places)
        return self.build.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def called(self, name: str, kind: Any, *arguments: Any) -> Any:
        """Return what a function of LLVM's gives."""
        signature = ir.FunctionType(kind, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.build.module, signature, name)
        return self.build.call(function, arguments)

    def array(self, path: str) -> Any:
        """Return an array."""
        of, value = self._found(path)
        return self._context.make_array(of)(self._context, self.build, value=value)

    def place(self, path: str, first: Any, kind: Any) -> Any:
        """Return the address of a vector of an array."""
        return self.build.bitcast(self.build.gep(self.array(path).data, [first]), kind.as_pointer())

    def load(self, path: str, first: Any, kind: Any, mask: Any = None) -> Any:
        """Return a vector of an array; 0 where a mask of it is not set."""
        place, align = self.place(path, first, kind), kind.element.width // 8
        if mask is None:
            return self.build.load(place, align=align)
        name = f"llvm.masked.load.v{kind.count}i{kind.element.width}.p0"
        return self.called(name, kind, place, _I32(align), mask, kind(None))

    def store(self, vector: Any, path: str, first: Any) -> None:
        """Write a vector into an array."""
        align = vector.type.element.width // 8
        self.build.store(vector, self.place(path, first, vector.type), align=align)

    def fetch(self, path: str, first: Any) -> None:
        """Have what lies behind a place of an array come into the nearest cache."""
        place = self.place(path, self.build.add(first, _I64(_AHEAD)), _CODES)
        self.called("llvm.prefetch.p0", ir.VoidType(), place, _I32(0), _I32(3), _I32(1))

    def smaller(self, a: Any, b: Any, *, signed: bool = False) -> Any:
        """Return the smaller one in each lane."""
        less = self.build.icmp_signed if signed else self.build.icmp_unsigned
        return self.build.select(less("<", a, b), a, b)

    def packed(self, half: Callable[[Any, Any], Any], first: Any, mask: Any) -> Any:
        """Return 32 words of two vectors of int32, from 0 to 2**16 - 1, in the order of `_PACKED`.

        half: makes 16 of them, as a step is given its place and its mask.
        """
        halves = []
        for start in (0, _SUMS.count):
            places = list(range(start, start + _SUMS.count))
            part = None if mask is None else self.shuffled(mask, places)
            halves.append(half(self.build.add(first, _I64(start)), part))
        return self.called("llvm.x86.avx512.packusdw.512", _WORDS, *halves)

    def over(self, path: str, lanes: int, step: Callable[[Any, Any], None]) -> None:
        """Build a step for each whole vector of an array, and one with a mask for what is left.

        A step is given the place of its first element, and the mask or None.
        """
        build, size = self.build, self.array(path).nitems
        whole = build.udiv(size, _I64(lanes))
        with cgutils.for_range(build, whole) as loop:
            step(build.mul(loop.index, _I64(lanes)), None)
        first = build.mul(whole, _I64(lanes))
        left = build.trunc(build.sub(size, first), _I32)
        with build.if_then(build.icmp_signed(">", left, _I32(0))):
            places = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes)))
            step(first, build.icmp_signed("<", places, self.every(left, places.type)))


def _built(build: Callable[[_Loop], Any], result: Any, arguments: dict[str, Any]) -> Any:
    """Return what an intrinsic of numba returns, whose arguments are `locals()`."""
    names, kinds = list(arguments)[1:], list(arguments.values())[1:]

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        pairs = zip(signature.args, given, strict=True)
        return build(_Loop(context, builder, dict(zip(names, pairs, strict=True))))

    return result(*kinds), generate


def _typed_largest(typing: Any, score: Any) -> Any:
    return _built(_build_largest, types.int32, locals())


_largest: Any = intrinsic(_typed_largest)


def _build_largest(loop: _Loop) -> Any:
    build, lowest = loop.build, _same(_SUMS, -(1 << 31))
    largest = cgutils.alloca_once_value(build, lowest)

    def step(first: Any, mask: Any) -> None:
        score, before = loop.load("score", first, _SUMS, mask), build.load(largest)
        if mask is not None:
            score = build.select(mask, score, lowest)
        build.store(build.select(build.icmp_signed(">", score, before), score, before), largest)

    loop.over("score", _SUMS.count, step)
    return loop.called("llvm.vector.reduce.smax.v16i32", _I32, build.load(largest))


def _weights(loop: _Loop, level: Any, first: Any, total: Any) -> None:
    """Write what levels stand for, and add it to a total: units 8 and 11."""
    build, table = loop.build, loop.load("scheme.weights", _I64(0), _WORDS)
    weight = loop.called("llvm.x86.avx512.permvar.hi.512", _WORDS, table, level)
    loop.store(weight, "weight", first)
    sums = loop.called("llvm.x86.avx512.pmaddw.d.512", _SUMS, weight, _same(_WORDS, 1))
    build.store(build.add(build.load(total), sums), total)


def _sum(loop: _Loop, total: Any) -> Any:
    return loop.called("llvm.vector.reduce.add.v16i32", _I32, loop.build.load(total))


def _typed_look_up(typing: Any, level: Any, scheme: Any, weight: Any) -> Any:
    return _built(_build_look_up, types.int32, locals())


_look_up: Any = intrinsic(_typed_look_up)


def _build_look_up(loop: _Loop) -> Any:
    total = cgutils.alloca_once_value(loop.build, _SUMS(None))

    def step(first: Any, mask: Any) -> None:
        level = loop.load("level", first, _CODES, mask)
        _weights(loop, loop.build.zext(level, _WORDS), first, total)

    loop.over("level", _WORDS.count, step)
    return _sum(loop, total)


def _distances(loop: _Loop) -> Callable[[Any, Any], Any]:
    """Return what builds 16 distances: above - score * M, shifted, 32 bits without a sign."""
    build, above, shift = loop.build, loop.every("above", _SUMS), loop.every("layer.n", _SUMS)
    factors = [build.bitcast(loop.every(name, _SUMS), _WORDS) for name in ("factor", "other")]

    def distances(first: Any, mask: Any) -> Any:
        loop.fetch("score", first)
        score = build.bitcast(loop.load("score", first, _SUMS, mask), _WORDS)
        value = above
        for factor in factors:
            product = loop.called("llvm.x86.avx512.pmaddw.d.512", _SUMS, score, factor)
            value = build.add(value, product)
        return build.lshr(value, shift)

    return distances


def _typed_levels(
    typing: Any,
    score: Any,
    above: Any,
    factor: Any,
    other: Any,
    layer: Any,
    scheme: Any,
    level: Any,
    weight: Any,
) -> Any:
    return _built(_build_levels, types.int32, locals())


_levels: Any = intrinsic(_typed_levels)


def _build_levels(loop: _Loop) -> Any:
    build, distances = loop.build, _distances(loop)
    total = cgutils.alloca_once_value(build, _SUMS(None))
    names = (
        "layer.d_max layer.octave_bits layer.steps.half layer.steps.full layer.steps.whole "
        "layer.steps.farthest scheme.top_level"
    )
    d_max, bits, half, full, whole, last, top = (loop.every(name, _WORDS) for name in names.split())
    most = build.sub(top, _same(_WORDS, 1))

    def step(first: Any, mask: Any) -> None:
        packed = loop.shuffled(loop.packed(distances, first, mask), _PACKED)
        d = loop.smaller(packed, d_max)
        of_half, of_full, of_whole = (
            build.ashr(build.add(d, each), bits) for each in (half, full, whole)
        )
        passed = loop.smaller(build.add(of_half, of_full), of_whole, signed=True)
        passed = loop.smaller(passed, most, signed=True)
        reached = build.icmp_signed("<=", d, last)
        if mask is not None:
            reached = build.and_(reached, mask)
        level = build.select(reached, build.sub(top, passed), _WORDS(None))
        loop.store(build.trunc(level, _CODES), "level", first)
        _weights(loop, level, first, total)

    loop.over("score", _WORDS.count, step)
    return _sum(loop, total)


def _typed_exp2(
    typing: Any, score: Any, above: Any, factor: Any, other: Any, layer: Any, logarithm: Any
) -> Any:
    return _built(_build_exp2, types.int64, locals())


_exp2: Any = intrinsic(_typed_exp2)


def _build_exp2(loop: _Loop) -> Any:
    """Round an entry shifted one less, as (x + 1) >> 1; e's bits as float32 are its logarithm."""
    build, distances, one = loop.build, _distances(loop), _same(_SUMS, 1)
    total = cgutils.alloca_once_value(build, _SUMS(None))
    low, high = (loop.load("layer.doubled", _I64(n), _SUMS) for n in (0, _SUMS.count))
    d_max, octave, fraction_bits = (
        loop.every(f"layer.{name}", _SUMS) for name in ("d_max", "octave_bits", "fraction_bits")
    )
    unused = build.sub(_same(_SUMS, _FLOAT_BITS), fraction_bits)
    of_one = build.shl(_same(_SUMS, _FLOAT_ONE), fraction_bits)

    def step(first: Any, mask: Any) -> None:
        d = loop.smaller(distances(first, mask), d_max)
        entry = loop.called("llvm.x86.avx512.vpermi2var.d.512", _SUMS, low, d, high)
        shift = build.lshr(d, octave)
        shifted = loop.called("llvm.x86.avx512.psrlv.d.512", _SUMS, entry, shift)
        e = build.lshr(build.add(shifted, one), one)
        if mask is not None:
            e = build.select(mask, e, _SUMS(None))
        build.store(build.add(build.load(total), e), total)
        bits = build.bitcast(build.sitofp(e, _FLOATS), _SUMS)
        loop.store(build.sub(build.lshr(bits, unused), of_one), "logarithm", first)

    loop.over("score", _SUMS.count, step)
    wide = build.zext(build.load(total), ir.VectorType(_I64, _SUMS.count))
    return loop.called("llvm.vector.reduce.add.v16i64", _I64, wide)


def _typed_reached(
    typing: Any, logarithm: Any, power: Any, raised: Any, layer: Any, scheme: Any, level: Any
) -> Any:
    return _built(_build_reached, types.void, locals())


_reached: Any = intrinsic(_typed_reached)


def _build_reached(loop: _Loop) -> Any:
    build, octave = loop.build, loop.every("layer.fraction_bits", _SUMS)
    kinds = [
        (loop.every(threshold, _SUMS), loop.every(f"scheme.{most}", _WORDS))
        for threshold, most in (("power", "powers"), ("raised", "raised_powers"))
    ]

    def step(first: Any, mask: Any) -> None:
        level = _WORDS(None)
        for threshold, most in kinds:

            def above(place: Any, part: Any, threshold: Any = threshold) -> Any:
                logarithm = loop.load("logarithm", place, _SUMS, part)
                return build.ashr(build.sub(logarithm, threshold), octave)

            level = build.add(level, loop.smaller(loop.packed(above, first, mask), most))
        level = loop.shuffled(level, _PACKED)
        if mask is not None:
            level = build.select(mask, level, _WORDS(None))
        loop.store(build.trunc(level, _CODES), "level", first)

    loop.over("logarithm", _WORDS.count, step)
    return None


def _typed_zeros_before(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.ctlz(given[0], _I1(0))

    return types.int64(x), generate


_zeros_before: Any = intrinsic(_typed_zeros_before)


def largest_score(score: Any) -> Any:
    """Return the largest one as the loop does."""
    return _largest(score)


def row_weights(level: Any, scheme: Any, weight: Any) -> Any:
    """Look up as the loop computes, where a table is a vector."""
    return _look_up(level, scheme, weight)


@njit(forceinline=True, _nrt=False)  # type: ignore[call-overload, untyped-decorator]
def _terms(row_max: Any, layer: Any) -> Any:
    """Return what a distance of a score is made of: above, and two factors.

    With x = score * M and R = 2**n div 2, a distance is row_max - floor((x + R) / 2**n) =
    floor((row_max * 2**n + 2**n - 1 - R - x) / 2**n), for -floor(y) = ceil(-y): from 0 to twice the
    bound of a product, which has R in it, so 32 bits without a sign. x is added in two products, of
    negative factors that 16 bits hold: -(M div 2), and what is left of -M.
    """
    octave, half = np.int64(1) << layer.n, layer.m >> 1
    above = (np.int64(row_max) << layer.n) + octave - 1 - (octave >> 1)
    return above, -half & 0xFFFF, (half - layer.m) & 0xFFFF


def levels_of_scores(
    score: Any, row_max: Any, layer: Any, scheme: Any, level: Any, weight: Any
) -> Any:
    """Write what the loop does, 32 keys at a time."""
    above, factor, other = _terms(row_max, layer)
    return _levels(score, above, factor, other, layer, scheme, level, weight)


def exp2_of_scores(score: Any, row_max: Any, layer: Any, logarithm: Any) -> Any:
    """Write what the loop does, 16 keys at a time."""
    above, factor, other = _terms(row_max, layer)
    return _exp2(score, above, factor, other, layer, logarithm)


def levels_of_logarithms(
    logarithm: Any, power: Any, raised: Any, layer: Any, scheme: Any, level: Any
) -> None:
    """Write what the loop does, 32 keys at a time."""
    _reached(logarithm, power, raised, layer, scheme, level)


def leading_one(x: Any) -> Any:
    """Return what the search does, by a count of the zeros before the leading one."""
    return np.int64(63) - _zeros_before(np.int64(x) | np.int64(1))


#: What takes the place of a loop where this processor has the vectors, by name.
FORMS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        largest_score,
        row_weights,
        levels_of_scores,
        exp2_of_scores,
        levels_of_logarithms,
        leading_one,
    )
    if has_vectors()
}
