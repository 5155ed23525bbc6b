"""JSON documents as frozen classes: written, read, checked and refused in one line.

A document is a class of typed fields (`Document`). `parse` reads one, `render` writes one,
`checked` makes one of values that a user gave, `schema` gives its published JSON schema. msgspec
alone judges; where it refuses a value, `_fault` walks the values beside the types to the first that
does not fit and names its place, its legal range and the value.
"""

import json
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from reprlib import Repr
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, inspect

_BRIEF = Repr()
_BRIEF.maxstring = _BRIEF.maxother = 100
_BRIEF.maxlong = 60


def brief(value: object) -> str:
    """Return the repr of a value for an error message, its middle left out where it is long."""
    return _BRIEF.repr(value)


def counted(count: int, noun: str) -> str:
    """Return a number of things in words: `1 unit`, `2 units`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


class Document(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """JSON object with exactly the fields of its class; no value is converted to another type.

    Rules across fields stand in `__post_init__` (ValueError). A constructor checks nothing else:
    `checked`, `from_json` and `render` do. Each subclass repeats `frozen=True, kw_only=True`.
    """


D = TypeVar("D", bound=Document)

# -- Types of fields -------------------------------------------------------------------------------


def of(text: str) -> Meta:
    """Return the annotation that describes a field in the published schema."""
    return Meta(description=text)


def matching(pattern: str) -> Meta:
    """Return the annotation of text that matches as a whole.

    `$` alone lets a line end pass, in Python and in ECMA 262.
    """
    return Meta(pattern=f"^{pattern}{_END}")


_END = "$(?!\\n)"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
#: Integers that a reader with float64 numbers holds exactly.
Exact = Annotated[int, Meta(ge=0, le=2**53)]
Name = Annotated[str, matching("[a-z][a-z0-9_]*")]
Sha256 = Annotated[str, matching("[0-9a-f]{64}")]
Text = Annotated[str, Meta(min_length=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
#: Annotation of a list without repetition; `check_once` holds it.
UNIQUE = Meta(extra_json_schema={"uniqueItems": True})


def check_once(name: str, values: Sequence[Any]) -> None:
    """Refuse a list that holds a value twice.

    Raises:
        ValueError: it does; `name` is that of the field.
    """
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{name} must name each once, got {brief(value)} twice")
        seen.add(value)


# -- Reading and writing ---------------------------------------------------------------------------


def parse(data: bytes, kind: type[D], what: str) -> D:
    """Return the document in `data`.

    Args:
        data: the file.
        kind: class of the document.
        what: name of the file for messages.

    Raises:
        ValueError: it is no JSON, or no document of that class: one line with the field, its legal
            range and the value.
    """
    return from_json(plain(data, what), kind, what)


def plain(data: bytes, what: str) -> Any:
    """Return the JSON values in `data`.

    Raises:
        ValueError: it is no JSON in UTF-8, an object names something twice, or a number or text has
            no exact meaning (NaN, infinity, beyond float64, half of a surrogate pair).
    """
    try:
        values = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        if b"\\u" in data:  # the one way to write half of a surrogate pair
            json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"{what} must be JSON: nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be JSON: half of a surrogate pair is no text") from None
    except ValueError as error:
        raise ValueError(f"{what} must be JSON: {one_line(error)}") from None
    return values


def from_json(values: Any, kind: type[D], what: str) -> D:
    """Return the document that JSON values hold; ValueError as `parse`."""
    try:
        return msgspec.convert(values, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        path, sentence = _fault(values, kind, "") or ("", one_line(error))
        # A rule across fields names its field itself.
        raise ValueError(f"{what}: {one_line(f'{path} {sentence}'.strip())}") from None


def checked(kind: type[D], what: str, /, **fields: Any) -> D:
    """Return a document of values that were not read from JSON; ValueError as `parse`."""
    return from_json(msgspec.to_builtins(fields), kind, what)


def plain_values(document: Document) -> dict[str, Any]:
    """Return the JSON values of a document, in the order of its fields.

    Raises:
        ValueError: it breaks its own class: nothing is written that would not be read.
    """
    values: dict[str, Any] = msgspec.to_builtins(document)
    from_json(values, type(document), type(document).__name__)
    return values


def render(document: Document) -> bytes:
    """Return a document as JSON text; ValueError as `plain_values`."""
    return (json.dumps(plain_values(document), indent=2, allow_nan=False) + "\n").encode()


def schema(kind: type[Document], title: str) -> dict[str, Any]:
    """Return the JSON schema of a document: all its rules but those of `__post_init__`."""
    found = msgspec.json.schema(kind)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **found}


def one_line(text: object, longest: int = 300) -> str:
    """Return a message in one line of bounded length: it may repeat a value of any size."""
    line = " ".join(str(text).split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"name {brief(twice)} stands twice in an object")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text[:60]} is too large")
    return value


# -- The place where values break a class ----------------------------------------------------------


def _fault(value: Any, hint: Any, path: str) -> tuple[str, str] | None:
    """Return the path of the first value that does not fit its type, and what it must be."""
    try:
        msgspec.convert(value, hint)
        return None
    except msgspec.ValidationError as error:
        rule = error.__cause__
    except (ValueError, RecursionError) as error:
        return path, f"must be text or numbers of JSON: {one_line(error)}"
    hint = _member(value, hint)
    for place, child, wanted in _children(value, hint):
        if found := _fault(child, wanted, _joined(path, place)):
            return found
    node = _node(hint)
    if isinstance(value, dict):
        if isinstance(node, inspect.UnionType) and (found := _unknown_tag(value, node, path)):
            return found
        if isinstance(node, inspect.StructType):
            if found := _other_fields(value, node, path):
                return found
            if rule is not None:  # of __post_init__: it names its field itself
                return path + ":" * bool(path), one_line(rule)
        if isinstance(node, inspect.DictType):
            for key in value:
                if _fault(key, get_args(_bare(hint))[0], ""):
                    wanted = _wanted(_node(get_args(_bare(hint))[0]))
                    return path, f"must have names that are {wanted}, got {brief(key)}"
    return path, f"must be {_wanted(node)}, got {brief(value)}"


def _joined(path: str, place: str) -> str:
    return path + place if not path or place.startswith("[") else f"{path}.{place}"


def _unknown_tag(
    value: dict[str, Any], node: inspect.UnionType, path: str
) -> tuple[str, str] | None:
    """Return the fault of an object whose tag names no member of a union."""
    tagged = _tagged(node)
    if not tagged:
        return None
    name = tagged[0].tag_field or ""
    if name not in value:
        return path, f"must have the field {name}: it is missing"
    known = ", ".join(str(each.tag) for each in tagged)
    return _joined(path, name), f"must be one of {known}, got {brief(value[name])}"


def _tagged(node: inspect.UnionType) -> list[inspect.StructType]:
    return [e for e in node.types if isinstance(e, inspect.StructType) and e.tag_field]


def _other_fields(
    value: dict[str, Any], node: inspect.StructType, path: str
) -> tuple[str, str] | None:
    """Return the fault of an object that lacks a field of its class or has another."""
    required = [field.encode_name for field in node.fields if field.required]
    tags = [node.tag_field] if node.tag_field else []
    for name in required + tags:
        if name not in value:
            return path, f"must have the field {name}: it is missing"
    known = [field.encode_name for field in node.fields] + tags
    for name in value:
        if name not in known:
            return path, f"must have the fields {', '.join(known)}, got {brief(name)} too"
    return None


def _children(value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, value, type) of what a value holds, as far as its type tells."""
    node, bare = _node(hint), _bare(hint)
    if isinstance(node, inspect.StructType) and isinstance(value, dict):
        hints = _hints(node.cls)
        for field in node.fields:
            if field.encode_name in value:
                yield field.encode_name, value[field.encode_name], hints[field.name]
        if node.tag_field and value.get(node.tag_field, node.tag) != node.tag:
            yield node.tag_field, value[node.tag_field], Literal[node.tag]
    elif isinstance(node, (inspect.VarTupleType, inspect.ListType)) and isinstance(
        value, (list, tuple)
    ):
        for index, each in enumerate(value):
            yield f"[{index}]", each, get_args(bare)[0]
    elif isinstance(node, inspect.TupleType) and isinstance(value, (list, tuple)):
        for index, (each, wanted) in enumerate(zip(value, get_args(bare), strict=False)):
            yield f"[{index}]", each, wanted
    elif isinstance(node, inspect.DictType) and isinstance(value, dict):
        for key, each in value.items():
            yield f"[{brief(key)}]", each, get_args(bare)[1]


def _member(value: Any, hint: Any) -> Any:
    """Return the member of a union that a value means: by its tag, or the one besides null."""
    bare = _bare(hint)
    if get_origin(bare) not in (Union, UnionType) or not isinstance(value, (dict, list, tuple)):
        return hint
    members = [each for each in get_args(bare) if each is not type(None)]
    if len(members) == 1:
        inner = _node(members[0])
        objects = (inspect.StructType, inspect.DictType)
        lists = (inspect.ListType, inspect.VarTupleType, inspect.TupleType)
        fits = isinstance(inner, objects if isinstance(value, dict) else lists)
        return members[0] if fits else hint
    tags = {
        node.tag: each for each in members if isinstance(node := _node(each), inspect.StructType)
    }
    if isinstance(value, dict):
        for node in map(_node, members):
            if isinstance(node, inspect.StructType) and node.tag_field:
                return tags.get(str(value.get(node.tag_field)), hint)
    return hint


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _node(hint: Any) -> Any:
    node = inspect.type_info(hint)
    return node.type if isinstance(node, inspect.Metadata) else node


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _wanted(node: Any) -> str:
    """Return what a value must be, in words, with its legal range."""
    node = node.type if isinstance(node, inspect.Metadata) else node
    match node:
        case inspect.IntType(ge=low, le=high):
            return f"an integer{_range(low, high)}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number{_range(low, high)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType(values=values):
            return ("one of " if len(values) > 1 else "") + ", ".join(map(str, values))
        case inspect.StrType(pattern=pattern, min_length=shortest):
            if pattern is not None:
                return f"text like {pattern.removesuffix(_END).removeprefix('^')}"
            return "text" if not shortest else "text that is not empty"
        case inspect.UnionType(types=types):
            if len(tagged := _tagged(node)) > 1:
                tags = ", ".join(str(each.tag) for each in tagged)
                return f"an object with {tagged[0].tag_field} one of {tags}"
            return " or ".join(_wanted(each) for each in types)
        case inspect.TupleType(item_types=items):
            return f"a list of {len(items)}"
        case (
            inspect.VarTupleType(min_length=least, max_length=most)
            | inspect.ListType(min_length=least, max_length=most)
        ):
            if least is not None and least == most:
                return f"a list of {least}"
            return "a list" + (f" of at least {least}" if least else "")
        case inspect.StructType() | inspect.DictType():
            return "an object"
    return "another value"


def _range(low: int | float | None, high: int | float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low}"
    return f" from {low} to {high}" if low is not None else f" of at most {high}"
