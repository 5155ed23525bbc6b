"""JSON documents: what is read, what is refused and how, and the schema that is published."""

import json
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta
from msgspec.structs import replace

from bitlog2 import documents
from bitlog2.documents import (
    Count,
    Document,
    Name,
    Percent,
    Sha256,
    Text,
    check_once,
    checked,
    matching,
    of,
    parse,
    render,
)


class Circle(Document, tag_field="kind", tag="circle", frozen=True, kw_only=True):
    radius: Annotated[int, Meta(ge=1, le=9)]


class Square(Document, tag_field="kind", tag="square", frozen=True, kw_only=True):
    side: Count


class Range(Document, frozen=True, kw_only=True):
    low: Count
    high: Count

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low must be at most {self.high}, got {self.low}")


class Drawing(Document, frozen=True, kw_only=True):
    """Example of every type of field."""

    title: Annotated[Text, of("Title of the drawing.")]
    version: Literal[1, 2]
    seed: Count | None
    share: Percent
    sum: Sha256
    path: Annotated[str, matching("[a-z]+/[a-z]+")]
    shapes: tuple[Circle | Square, ...]
    place: tuple[Count, Count]
    hits: dict[Name, Count]
    names: Annotated[tuple[Name, ...], Meta(min_length=1)]
    open: bool = False
    range: Range | None = None

    def __post_init__(self) -> None:
        check_once("names", self.names)


RIGHT: dict[str, Any] = {
    "title": "one",
    "version": 2,
    "seed": None,
    "share": 12.5,
    "sum": "0" * 64,
    "path": "a/b",
    "shapes": [{"kind": "circle", "radius": 3}, {"kind": "square", "side": 0}],
    "place": [1, 2],
    "hits": {"a": 1},
    "names": ["a", "b"],
    "open": True,
    "range": {"low": 1, "high": 2},
}
#: place, value, message. None of a value: the field is left out.
MISSING = object()
WRONG = [
    (("title",), "", "title must be text that is not empty, got ''"),
    (("title",), 3, "title must be text that is not empty, got 3"),
    (("title",), MISSING, "must have the field title: it is missing"),
    (("other",), 1, "must have the fields title, version, seed, share, sum, path, shapes, place, "
                    "hits, names, open, range, got 'other' too"),
    (("version",), 3, "version must be one of 1, 2, got 3"),
    (("seed",), -1, "seed must be an integer from 0 to 9223372036854775807 or null, got -1"),
    (("seed",), 2**63, "seed must be an integer from 0 to 9223372036854775807 or null, "
                       "got 9223372036854775808"),
    (("seed",), True, "seed must be an integer from 0 to 9223372036854775807 or null, got True"),
    (("seed",), 17.0, "seed must be an integer from 0 to 9223372036854775807 or null, got 17.0"),
    (("seed",), "17", "seed must be an integer from 0 to 9223372036854775807 or null, got '17'"),
    (("share",), 100.5, "share must be a number from 0 to 100, got 100.5"),
    (("share",), "7", "share must be a number from 0 to 100, got '7'"),
    (("sum",), "0" * 64 + "\n", "sum must be text like [0-9a-f]{64}, got '0000"),
    (("path",), "../etc", "path must be text like [a-z]+/[a-z]+, got '../etc'"),
    (("shapes",), {}, "shapes must be a list, got {}"),
    (("shapes", 0, "kind"), "oval", "shapes[0].kind must be one of circle, square, got 'oval'"),
    (("shapes", 0, "kind"), MISSING, "shapes[0] must have the field kind: it is missing"),
    (("shapes", 0, "radius"), 10, "shapes[0].radius must be an integer from 1 to 9, got 10"),
    (("shapes", 1, "radius"), 1, "shapes[1] must have the fields side, kind, got 'radius' too"),
    (("place",), [1], "place must be a list of 2, got [1]"),
    (("place", 1), None, "place[1] must be an integer from 0 to 9223372036854775807, got None"),
    (("hits", "a"), -1, "hits['a'] must be an integer from 0 to 9223372036854775807, got -1"),
    (("hits", "A b"), 1, "hits must have names that are text like [a-z][a-z0-9_]*, got 'A b'"),
    (("names",), [], "names must be a list of at least 1, got []"),
    (("names",), ["a", "a"], "names must name each once, got 'a' twice"),
    (("open",), 0, "open must be true or false, got 0"),
    (("range",), "wide", "range must be an object or null, got 'wide'"),
    (("range", "low"), 3, "range: low must be at most 2, got 3"),
]  # fmt: skip
NO_JSON = [
    (b"[]", "must be an object, got []"),
    (b'{"title": "one', "must be JSON: Unterminated string"),
    (b'{"title": "\xff"}', "must be JSON: 'utf-8' codec can't decode byte 0xff"),
    (b'{"title": "one", "title": "two"}', "must be JSON: name 'title' stands twice in an object"),
    (b'{"share": NaN}', "must be JSON: NaN is no number of JSON"),
    (b'{"share": -Infinity}', "must be JSON: -Infinity is no number of JSON"),
    (b'{"share": 1e999}', "must be JSON: number 1e999 is too large"),
    (b'{"seed": ' + b"9" * 5000 + b"}", "must be JSON: Exceeds the limit"),
    (b"[" * 100_000 + b"]" * 100_000, "must be JSON: nested too deep"),
    (b'{"title": "\\ud800"}', "must be JSON: half of a surrogate pair is no text"),
]


def changed(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(RIGHT))
    inner: Any = values
    for step in place[:-1]:
        inner = inner[step]
    if value is MISSING:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return values


def as_bytes(values: object) -> bytes:
    return json.dumps(values, indent=2).encode() + b"\n"


def refusal(data: bytes) -> str:
    with pytest.raises(ValueError, match="drawing") as caught:
        parse(data, Drawing, "drawing.json")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message.removeprefix("drawing.json").removeprefix(":").strip()


def test_documents_read_back_what_they_write():
    document = parse(as_bytes(RIGHT), Drawing, "drawing.json")
    assert document.shapes == (Circle(radius=3), Square(side=0))
    assert json.loads(render(document)) == RIGHT
    assert parse(render(document), Drawing, "drawing.json") == document
    assert checked(Drawing, "drawing", **{**RIGHT, "names": ("a", "b")}) == document


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_documents_refusal_names_field_range_and_value(place, value, message):
    assert refusal(as_bytes(changed(place, value))).startswith(message)


@pytest.mark.parametrize(("data", "message"), NO_JSON, ids=range(len(NO_JSON)))
def test_documents_refuse_what_is_no_json(data, message):
    assert refusal(data).startswith(message)


def test_documents_take_text_beyond_the_basic_plane():
    values = changed(("title",), "\U0001f600")
    assert parse(as_bytes(values), Drawing, "drawing.json").title == "\U0001f600"


def test_documents_are_not_written_against_their_class():
    with pytest.raises(ValueError, match="Circle: radius must be an integer from 1 to 9, got 10"):
        render(Circle(radius=10))
    with pytest.raises(ValueError, match="circle: radius must be an integer from 1 to 9, got 0"):
        checked(Circle, "circle", radius=0, kind="circle")
    drawing = parse(as_bytes(RIGHT), Drawing, "drawing.json")
    with pytest.raises(ValueError, match=r"Drawing: shapes\[0\]\.radius must be an integer from 1"):
        render(replace(drawing, shapes=(Circle(radius=0),)))


def test_documents_schema_refuses_what_the_class_refuses():
    """But for rules across fields; `17.0` is an integer of JSON schema."""
    schema = documents.schema(Drawing, "A drawing")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(RIGHT)
    for place, value, message in WRONG:
        loose = message.startswith(("range: low", "names must name")) or value == 17.0
        assert validator.is_valid(changed(place, value)) == loose, message
