"""The requirement matrix: current, and blind to nothing."""

from collections import Counter

import pytest

from bitlog2.golden.assurance import requirements as make_requirements
from bitlog2.golden.assurance.requirements import (
    PAGE,
    ROOT,
    covering_tests,
    ids_of,
    matrix,
    requirements,
    uncovered,
)

SPEC = (ROOT / "sim" / "SPEC.md").read_text(encoding="utf-8")


def test_requirements_page_is_current():
    """`python scripts/make_requirements.py` writes it."""
    assert PAGE.read_text(encoding="utf-8") == matrix()


def test_requirements_all_of_the_specification_are_found():
    assert set(requirements(SPEC)) == ids_of(SPEC)


def test_requirements_each_is_covered_by_a_test():
    assert uncovered() == set()


def test_requirements_an_uncovered_one_is_told():
    planted = "BL2-NEW" + "-01"
    assert uncovered(f"{SPEC}\n- **{planted}.** Something new.\n") == {planted}


MARKED = """
'''BL2-X-09: to mention an id is not to cover it.'''
ROWS = [pytest.param(1, marks=pytest.mark.requirement("BL2-X-03"))]
@pytest.mark.requirement("BL2-X-01", "BL2-X-02")
def test_a():
    pass
@pytest.mark.parametrize("row", ROWS)
@requirement("BL2-X-02")
def test_b(row):
    '''BL2-X-04.'''
    assert "BL2-X-05"
@pytest.mark.requirement("BL2-X-06")
def helper():
    pass
"""


def test_requirements_are_counted_by_the_functions_that_carry_them(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text(MARKED)
    counted = {name: dict(files) for name, files in covering_tests([path]).items()}
    expected = {"BL2-X-01": 1, "BL2-X-02": 2, "BL2-X-03": 1}
    assert counted == {name: {"test_x": count} for name, count in expected.items()}


def test_requirements_of_a_whole_file_are_those_of_all_its_tests(tmp_path):
    path = tmp_path / "test_x.py"
    mark = 'pytestmark = [skip, pytest.mark.requirement("BL2-X-01")]\n'
    path.write_text(mark + "def test_a():\n    pass\ndef test_b():\n    pass\n")
    assert covering_tests([path])["BL2-X-01"]["test_x"] == 2


@pytest.mark.parametrize("argument", ["ID", "'BL2-X-01 to -03'", "'X'", "*IDS", "1"])
def test_requirements_that_are_no_literal_ids_are_refused(argument, tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text(f"\n@requirement({argument})\ndef test_a():\n    pass\n")
    with pytest.raises(ValueError, match=r"^test_x.py line 2: a requirement must be an id"):
        covering_tests([path])


def test_requirements_that_the_running_session_knows_are_those_of_the_syntax_trees(request):
    """Over the test files that this session collected whole."""
    carried = {}
    for item in request.session.items:
        for mark in item.iter_markers("requirement"):
            carried.setdefault(item.path, set()).update(mark.args)
    for path, found in carried.items():
        assert found <= set(covering_tests([path])), path


def test_requirements_beyond_the_specification_are_refused(monkeypatch):
    planted = "BL2-NEW" + "-01"
    monkeypatch.setattr(make_requirements, "covering_tests", lambda _: {planted: Counter()})
    with pytest.raises(ValueError, match=f"ids of SPEC.md, got {planted}"):
        matrix()
