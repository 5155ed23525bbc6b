"""Codes of a user's own: declared once, by a name that carries the declaration wherever it goes."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from .scheme import FAMILIES, OWN_FRACTION_BITS, QUOTIENT, ROW_MAX, SCHEMES, Scheme, scheme_label

_LABEL = r"[A-Za-z]\w{0,31}"
_NUMBERS = r"\d{1,6}(?:/\d{1,6}){0,16}"
#: label=family:values[:thresholds], in the family quotient with A behind it. No part of it needs
#: quotes in a shell or ends an element of a list.
OWN_NAME = rf"{_LABEL}=(?:{ROW_MAX}|{QUOTIENT}/\d{{1,6}}):{_NUMBERS}(?::{_NUMBERS})?"
#: Values fit 16 bits, p of a quotient 17, and a distance of 6 octave bits OWN_FRACTION_BITS more.
_LARGEST_VALUE, _LARGEST_A = 1 << 15, 1 << 16
_LARGEST_DISTANCE = (1 << 6 + OWN_FRACTION_BITS) - 1
_MOST_LEVELS = 17
#: 17 values and 16 thresholds of five digits, beside label, family and A.
_LONGEST_NAME = 300
#: Labels that mean something else where a scheme is named.
_TAKEN = re.compile(r"(BitLog2|RowMax|Sqrt2|uniform)_\w*|all|default|none|normalized|unquantized")
_REGISTERED: dict[str, str] = {}


def register_scheme(
    name: str,
    values: Sequence[int],
    *,
    family: str = ROW_MAX,
    int_max: int | None = None,
    thresholds: Sequence[int] | None = None,
) -> Scheme:
    """Declare a code of one's own; in this process `name` then stands for it as for a scheme.

    The name of the scheme that is returned carries the declaration. It is the one that files keep,
    so that any process reads them, and `--scheme` takes it too.

    Args:
        name: a letter, then up to 31 letters, digits and _; none that means something already.
        values: what levels 0 to the top one stand for, in units of 1/A: 2 to 17 integers from 0 to
            32768, rising from 0. Seventeen take a zero flag beside four bits.
        family: `row_max`: a level is read from the distance d to the row's maximum, and outputs are
            divided by the sum of the row's values; `quotient`: it is read from p, the smaller of
            floor(e * A / s) and A - 1, with s the sum of e over the row.
        int_max: A, of the family quotient: above every threshold, at most 65536. In the family
            row_max A is the last value.
        thresholds: what reaches levels 1 to the top one. Quotient: the least p of each, rising from
            1 or more; without them the values. Row_max: the largest distance of each, in units of
            2**-8 octaves, at most 16383, never rising; without them the logarithmic means of
            neighbours, and for level 1 an octave behind its value (BL2-DIST-01).

    Returns:
        the scheme. `is_ladder` says whether the reference RTL has a form of it: the values are
        powers of two, or of two and their 1.5-fold, by the thresholds that follow from these.

    Raises:
        TypeError, ValueError: an argument is out of range, or the name is that of another code.
    """
    from .checks import check_choice, check_int  # numpy, for which a list of names should not wait

    check_choice("family", family, FAMILIES)
    numbers = [str(check_int(f"values[{i}]", x, 0, _LARGEST_VALUE)) for i, x in enumerate(values)]
    limits = [
        str(check_int(f"thresholds[{i}]", x, 0, 1 << 16)) for i, x in enumerate(thresholds or ())
    ]
    if (family == ROW_MAX) != (int_max is None):
        raise ValueError(f"int_max must be given in the family quotient alone, got {int_max!r}")
    a = "" if int_max is None else f"/{check_int('int_max', int_max, 2, _LARGEST_A)}"
    parts = [f"{family}{a}", "/".join(numbers), *(["/".join(limits)] if limits else [])]
    scheme = own_scheme(f"{name}={':'.join(parts)}")
    label = scheme_label(scheme.name)
    if _REGISTERED.setdefault(label, scheme.name) != scheme.name:
        other = _REGISTERED[label]
        raise ValueError(f"name must be of one code: {name} is registered as {other}")
    return scheme


def scheme_named(name: str) -> Scheme:
    """Return a scheme by its name, or a code of one's own by its name or registered label.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(name, str):
        if name in SCHEMES:
            return SCHEMES[name]
        name = _REGISTERED.get(name, name)
        if "=" in name:
            return own_scheme(name)
    legal = ", ".join((*SCHEMES, *_REGISTERED, "LABEL=FAMILY:VALUES[:THRESHOLDS]"))
    raise ValueError(f"scheme must be one of {legal}, got {str(name)[:100]!r}")


def is_coded(name: str) -> bool:
    """Whether a name is that of a scheme with a datapath; ValueError if it declares no code."""
    return name in SCHEMES or is_own(name)


def is_own(name: str) -> bool:
    """Whether a name is that of a code of one's own; ValueError if it declares none."""
    named = isinstance(name, str) and (name in _REGISTERED or "=" in name)
    return named and bool(scheme_named(name))


def canonical_scheme(name: str) -> str:
    """Return a name as files keep it: of a code of one's own the whole declaration."""
    return scheme_named(name).name if is_own(name) else name


@lru_cache(maxsize=256)
def own_scheme(name: str) -> Scheme:
    """Return the code that a name declares.

    Raises:
        ValueError: it is no such name, or declares no code.
    """
    if len(name) > _LONGEST_NAME or not re.fullmatch(OWN_NAME, name, re.ASCII):
        raise ValueError(
            f"scheme must be LABEL={ROW_MAX}:VALUES[:THRESHOLDS] or "
            f"LABEL={QUOTIENT}/A:VALUES[:THRESHOLDS], up to 17 numbers joined by /, "
            f"got {name[:_LONGEST_NAME]!r}"
        )
    label, _, declared = name.partition("=")
    if _TAKEN.fullmatch(label):
        raise ValueError(f"scheme must have a label that means nothing else, got {label!r}")
    head, *lists = declared.split(":")
    values, *given = (tuple(map(int, each.split("/"))) for each in lists)
    family, _, a = head.partition("/")
    _check_values(values)
    code = Scheme(name, int(a or values[-1]), 0, len(values), family, values)
    own = given[0] if given else ()
    _check_thresholds(own or code.thresholds(), code)
    octaves = 0 if own else _octave_levels(code)
    return Scheme(name, code.int_max, octaves, len(values), family, () if octaves else values, own)


def _check_values(values: tuple[int, ...]) -> None:
    rising = values[0] == 0 and all(a < b for a, b in pairwise(values))
    if not (2 <= len(values) <= _MOST_LEVELS and rising and values[-1] <= _LARGEST_VALUE):
        raise ValueError(
            f"scheme must have 2 to {_MOST_LEVELS} values that rise from 0 to at most "
            f"{_LARGEST_VALUE}, got {'/'.join(map(str, values))}"
        )


def _check_thresholds(limits: tuple[int, ...], code: Scheme) -> None:
    """Refuse thresholds that are not one a level, in order and in range."""
    top, shown = code.top_level, "/".join(map(str, limits))
    if code.row_max:
        fine = all(a >= b for a, b in pairwise(limits)) and limits[0] <= _LARGEST_DISTANCE
        must = f"never rise, from at most {_LARGEST_DISTANCE} on"
    else:
        fine = all(a < b for a, b in pairwise(limits)) and limits[0] >= 1
        fine = fine and limits[-1] < code.int_max <= _LARGEST_A
        must = f"rise from 1 or more to below A, {code.int_max}, which is at most {_LARGEST_A}"
    if len(limits) != top or not fine:
        raise ValueError(f"scheme must have {top} thresholds that {must}, got {shown}")


def _octave_levels(code: Scheme) -> int:
    """Return the `octave_levels` of the ladder that has these values, 0 where none has.

    The thresholds of a ladder repeat octave by octave. RowMax: A is a power of two. Quotients: A is
    one, or three of one with half steps, and the level after the top one would stand for A or more,
    so that the clamp of p is that of the level.
    """
    top, a = code.top_level, code.int_max
    three = a % 3 == 0
    if (a // 3 if three else a).bit_count() != 1 or (three and code.row_max):
        return 0
    for octaves in range(1, top + 1) if code.row_max else {2, top}:
        longer = octaves + (octaves == top)
        ladder = Scheme(code.name, a, longer, code.levels + 1, code.family).values
        if ladder[:-1] == code.values and (code.row_max or ladder[-1] >= a):
            return 0 if three and octaves == top else octaves
    return 0
