"""Parts of pages and headers that declarations make."""

import pytest

from bitlog2.scripts.make_pages import PARTS, page_with_part


@pytest.mark.parametrize("name", PARTS)
def test_declared_parts_are_current(name):
    """`python scripts/make_pages.py` writes them."""
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
