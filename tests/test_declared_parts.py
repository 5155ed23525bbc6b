"""What declarations make: parts of pages and headers, and the JSON schemas."""

import json

import pytest
from jsonschema import Draft202012Validator

from bitlog2.flow.derived import PARTS, SCHEMAS, page_with_part
from bitlog2.sim import AttentionConfig


@pytest.mark.parametrize("name", PARTS)
def test_declared_parts_are_current(name):
    """`python scripts/make_derived.py` writes them."""
    page = PARTS[name][0].read_text(encoding="utf-8")
    assert page_with_part(name, page) == page


@pytest.mark.parametrize("name", PARTS)
def test_declared_parts_that_were_edited_are_noticed(name):
    page = PARTS[name][0].read_text(encoding="utf-8")
    begin = PARTS[name][1]
    edited = page.replace(begin, f"{begin}edited\n")
    assert page_with_part(name, edited) == page != edited


@pytest.mark.parametrize("name", PARTS)
def test_declared_parts_need_their_marks(name):
    with pytest.raises(ValueError, match="must hold the marks"):
        page_with_part(name, "a page")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_declared_schemas_are_current(path):
    """`python scripts/make_derived.py` writes them."""
    assert path.read_text(encoding="utf-8") == SCHEMAS[path]()
    Draft202012Validator.check_schema(json.loads(SCHEMAS[path]()))


@pytest.mark.parametrize("name", ["manifest", "export"])
def test_declared_schemas_of_manifests_are_closed(name):
    path = next(path for path in SCHEMAS if path.name == f"{name}.schema.json")
    schema = json.loads(SCHEMAS[path]())
    objects = [each for each in schema["$defs"].values() if each["type"] == "object"]
    assert all(each["additionalProperties"] is False for each in objects)
    manifest = next(each for each in objects if "configuration" in each["properties"])
    configuration = manifest["properties"]["configuration"]
    assert configuration["required"] == list(AttentionConfig().as_dict())
    assert configuration["additionalProperties"] is False


def test_declared_result_describes_every_field():
    path = next(path for path in SCHEMAS if path.name == "result.schema.json")
    kinds = json.loads(SCHEMAS[path]())["$defs"]
    bare = [
        (kind, name)
        for kind, found in kinds.items()
        for name, field in found["properties"].items()
        if "description" not in field
    ]
    assert bare == []
