"""Parts worked on side by side: the results in order, the first error raised."""

from __future__ import annotations

import threading

import pytest

from bitlog2.golden import threads
from bitlog2.golden.threads import each_part, parts_of


@pytest.fixture(params=[1, 2, 8])
def _processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_processors", lambda: request.param)


@pytest.mark.parametrize(
    ("words", "size", "parts"),
    [
        (0, 4, []),
        (3, 4, [slice(0, 3)]),
        (4, 4, [slice(0, 4)]),
        (9, 4, [slice(0, 4), slice(4, 8), slice(8, 9)]),
    ],
    ids=range(4),
)
def test_golden_threads_parts_make_up_the_words(words: int, size: int, parts: list) -> None:
    assert parts_of(words, size) == parts


@pytest.mark.usefixtures("_processors")
def test_golden_threads_give_the_results_in_order() -> None:
    assert list(each_part(lambda part: part * part, range(100))) == [i * i for i in range(100)]


@pytest.mark.usefixtures("_processors")
def test_golden_threads_raise_the_error_of_the_first_part_that_fails() -> None:
    def work(part: int) -> int:
        if part >= 5:
            raise ValueError(f"part {part}")
        return part

    with pytest.raises(ValueError, match="part 5"):
        list(each_part(work, range(20)))


def test_golden_threads_leave_a_single_part_to_the_caller() -> None:
    found = list(each_part(lambda part: threading.current_thread(), [0]))
    assert found == [threading.current_thread()]
