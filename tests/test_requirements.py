"""The requirement matrix: current, and blind to nothing."""

from bitlog2.scripts.make_requirements import (
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


def test_requirements_are_counted_by_the_functions_that_name_them(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text(
        '"""A file."""\n'
        'def test_a():\n    """BL2-X-01 to -02."""\n'
        "def test_b():\n    assert 1  # BL2-X-02\n"
        "def helper():\n    'BL2-X-03'\n"
    )
    counted = {name: dict(files) for name, files in covering_tests([path]).items()}
    assert counted == {"BL2-X-01": {"test_x": 1}, "BL2-X-02": {"test_x": 2}}


def test_requirements_of_a_files_first_lines_are_those_of_all_its_tests(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text('"""BL2-X-01."""\ndef test_a():\n    pass\ndef test_b():\n    pass\n')
    assert covering_tests([path])["BL2-X-01"]["test_x"] == 2
