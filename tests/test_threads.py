"""Parts of a batch side by side."""

import os
import signal
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest

from bitlog2.sim.threads import each_part, usable_processors


def parts_of(size, workers):
    taken, lock = [], threading.Lock()

    def prepare():
        def work(part):
            with lock:
                taken.append(part)

        return nullcontext(work)

    each_part(size, workers, prepare)
    return taken


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 96, 1000])
def test_threads_every_item_is_taken_once(size, workers):
    items = sorted(i for part in parts_of(size, workers) for i in range(part.start, part.stop))
    assert items == list(range(size))


def test_threads_each_has_scratch_of_its_own():
    made = []

    def prepare():
        made.append(threading.get_ident())
        return nullcontext(lambda part: None)

    each_part(100, 3, prepare)
    assert 1 <= len(made) <= 3
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("fails", [False, True])
def test_threads_scratch_is_given_back(fails):
    lent, back = [], []

    @contextmanager
    def prepare():
        lent.append(threading.get_ident())
        try:
            yield lambda part: 1 // int(not (fails and part.start == 0))
        finally:
            back.append(threading.get_ident())

    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        each_part(100, 3, prepare)
    assert sorted(back) == sorted(lent)


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_an_error_reaches_the_caller(workers):
    def prepare():
        def work(part):
            if part.start <= 50 < part.stop:
                raise ValueError("item 50")

        return nullcontext(work)

    with pytest.raises(ValueError, match="item 50"):
        each_part(100, workers, prepare)


def test_threads_one_worker_stays_on_the_callers_thread():
    seen = set()

    def prepare():
        return nullcontext(lambda part: seen.add(threading.get_ident()))

    each_part(50, 1, prepare)
    assert seen == {threading.get_ident()}


def test_threads_work_in_a_forked_child():
    """A child has none of the threads that its parent has started."""
    parts_of(100, 3)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(parts_of(100, 3)) > 1 else 1)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.WEXITSTATUS(status) == 0


def test_threads_several_callers_at_once_all_end():
    taken = []
    callers = [threading.Thread(target=lambda: taken.append(parts_of(50, 4))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert [sorted(i for p in parts for i in range(p.start, p.stop)) for parts in taken] == [
        list(range(50))
    ] * 8


def test_threads_there_is_a_processor():
    assert usable_processors() >= 1
