"""Calls on other threads: order, bound, errors, ends."""

import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from support.evaluations import running_threads

from bitlog2.models.watch.in_order import InOrder

THREADS = pytest.mark.parametrize("threads", [0, 1, 3])


def square(number, seconds=0.0):
    time.sleep(seconds)
    return number * number


@THREADS
def test_in_order_results_come_in_the_order_of_the_calls(threads):
    """Later calls take less time."""
    work, results = InOrder(threads, 2), []
    for number in range(12):
        results += work.submit(partial(square, number, 0.01 * (3 - number % 4)))
    results += work.drain()
    assert results == [number * number for number in range(12)]


def test_in_order_without_threads_calls_at_once_on_the_callers_thread():
    assert InOrder(0, 2).submit(threading.get_ident) == [threading.get_ident()]


def test_in_order_calls_are_made_on_other_threads():
    work = InOrder(1, 2)
    work.submit(threading.get_ident)
    assert work.drain() != [threading.get_ident()]


@pytest.mark.parametrize(("threads", "waiting"), [(1, 0), (1, 2), (3, 1)])
def test_in_order_who_submits_too_much_waits(threads, waiting):
    """Nothing ends before the gate opens: so many are taken, and no more."""
    work, gate, taken = InOrder(threads, waiting), threading.Event(), []

    def submit_ten():
        for number in range(10):
            work.submit(lambda: gate.wait(30))
            taken.append(number)

    caller = threading.Thread(target=submit_ten)
    caller.start()
    deadline = time.monotonic() + 10
    while len(taken) < threads + waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    held = len(taken)
    gate.set()
    caller.join(30)
    work.drain()
    assert (held, len(taken)) == (threads + waiting, 10)


@pytest.mark.parametrize("threads", [1, 3])
def test_in_order_threads_end_with_drain_and_come_back(threads):
    work = InOrder(threads, 2)
    work.submit(partial(square, 2, 0.5))
    assert running_threads() != []
    assert work.drain() == [4]
    assert running_threads() == []
    work.submit(partial(square, 3))
    assert work.drain() == [9]


def fail(text):
    raise ValueError(text)


@THREADS
def test_in_order_error_reaches_the_caller(threads):
    work = InOrder(threads, 2)

    def all_of_it():
        for number in range(20):
            work.submit(partial(fail, "no") if number == 3 else partial(square, number))
        work.drain()

    with pytest.raises(ValueError, match="no"):
        all_of_it()
    assert running_threads() == []


def test_in_order_first_error_is_the_one_that_is_raised():
    work = InOrder(2, 4)
    work.submit(partial(time.sleep, 0.05))
    work.submit(partial(fail, "first"))
    work.submit(partial(fail, "second"))
    with pytest.raises(ValueError, match="first"):
        work.drain()


def test_in_order_error_is_raised_again_by_every_later_use():
    work = InOrder(1, 2)
    work.submit(partial(fail, "no"))
    for use in (work.drain, work.drain, partial(work.submit, partial(square, 2))):
        with pytest.raises(ValueError, match="no"):
            use()


def test_in_order_cancelled_calls_are_not_made():
    work, made, started = InOrder(1, 9), [], threading.Event()

    def call(number):
        started.set()
        time.sleep(0.05)
        made.append(number)

    for number in range(9):
        work.submit(partial(call, number))
    started.wait(10)
    work.cancel()
    assert made in ([0], [0, 1])
    assert (running_threads(), work.drain()) == ([], [])


ENDLESS = """
import signal, time
from functools import partial
from bitlog2.models.watch.in_order import InOrder
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
work = InOrder(2, 2)
print("ready", flush=True)
for number in range(10**6):
    work.submit(partial(time.sleep, 1e-4))
"""


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.05])
def test_in_order_interrupted_process_ends(seconds):
    """At once, or, where the first interrupt came between a lock and its use, at the second."""
    command = [sys.executable, "-c", ENDLESS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(seconds)
        run.send_signal(signal.SIGINT)
        try:
            run.wait(5)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
            run.wait(20)
    assert run.returncode != 0


def test_in_order_interrupt_of_a_wait_loses_no_call():
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    work = InOrder(1, 9)
    try:
        for number in range(5):
            work.submit(partial(square, number, 0.1))
        signal.setitimer(signal.ITIMER_REAL, 0.25)
        with pytest.raises(KeyboardInterrupt):
            work.drain()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert work.drain() == [0, 1, 4, 9, 16]


FORGETFUL = """
import time
from bitlog2.models.watch.in_order import InOrder
work = InOrder(2, 3)
for _ in range(4):
    work.submit(lambda: time.sleep(0.1))
raise SystemExit(7)
"""


def test_in_order_a_process_that_fails_does_not_hang():
    run = subprocess.run([sys.executable, "-c", FORGETFUL], timeout=60, check=False)
    assert run.returncode == 7


@pytest.mark.parametrize(("threads", "waiting"), [(-1, 0), (257, 0), (1, -1)])
def test_in_order_wrong_number_is_refused(threads, waiting):
    with pytest.raises(ValueError, match="must be"):
        InOrder(threads, waiting)
