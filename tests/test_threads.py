"""Turns go to those who wait in the order in which they came, one thread computes for all, and items are made ahead."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count
from traceback import walk_stack
from types import FrameType, SimpleNamespace

import pytest
import torch

from dynrefer.threads import ComputingThread, Turns, made_ahead

PATIENCE = 30


class Queue:
    """Threads that wait for their turn one behind the other."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.done, self.threads = turns, [], []

    def join(self, name: str, work: Callable[[], None] = lambda: None) -> None:
        """Start a thread and go on when it waits."""

        def run() -> None:
            with self.turns:
                work()
                self.done.append(name)

        before = self.turns.waiting
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        with self.turns.changed:
            assert self.turns.changed.wait_for(lambda: self.turns.waiting > before, PATIENCE)

    def finish(self) -> list[str]:
        """Who was served, in order."""
        for thread in self.threads:
            thread.join(PATIENCE)
        return self.done


@pytest.fixture
def queue() -> Queue:
    return Queue(Turns())


def test_turns_come_in_the_order_of_asking(queue: Queue) -> None:
    with queue.turns:
        for name in "abcd":
            queue.join(name)
    assert queue.finish() == ["a", "b", "c", "d"]


def test_who_gives_way_goes_on_after_those_who_waited_by_then(queue: Queue) -> None:
    with queue.turns:
        queue.join("a")
        queue.join("b")
        queue.turns.give_way()
        assert queue.done == ["a", "b"]


def test_giving_way_to_nobody_goes_on_at_once(queue: Queue) -> None:
    with queue.turns:
        queue.turns.give_way()
        assert queue.turns.waiting == 0


def test_an_error_ends_the_turn(queue: Queue) -> None:
    def fail() -> None:
        with queue.turns:
            queue.join("next")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert queue.finish() == ["next"]


@pytest.fixture
def computing() -> ComputingThread:
    return ComputingThread()


def test_one_thread_computes_for_all(computing: ComputingThread) -> None:
    here = computing.run(threading.get_ident)
    with ThreadPoolExecutor(1) as another:
        assert another.submit(computing.run, threading.get_ident).result() == here
    assert here != threading.get_ident()


def test_what_comes_while_another_job_is_under_way_does_not_wait_for_it(computing: ComputingThread) -> None:
    def under_way() -> tuple[int, int]:
        with ThreadPoolExecutor(1) as another:
            return threading.get_ident(), another.submit(computing.run, threading.get_ident).result(PATIENCE)

    first, second = computing.run(under_way)
    assert first != second
    assert computing.run(threading.get_ident) == first


def test_an_error_comes_to_who_asked_and_the_thread_goes_on(computing: ComputingThread) -> None:
    with pytest.raises(ZeroDivisionError):
        computing.run(lambda: 1 / 0)
    assert computing.run(lambda: 5) == 5


def test_as_many_cores_compute_as_the_asker_set(computing: ComputingThread) -> None:
    before = torch.get_num_threads()
    try:
        for cores in (1, 2):
            torch.set_num_threads(cores)
            assert computing.run(torch.get_num_threads) == cores
    finally:
        torch.set_num_threads(before)


def test_interrupts_come_when_the_job_is_over(computing: ComputingThread) -> None:
    interrupted, ended, asker = threading.Semaphore(0), threading.Event(), threading.get_ident()

    def interrupt(*_signal: object) -> None:
        interrupted.release()
        raise KeyboardInterrupt

    def waiting() -> set[FrameType]:
        """The asker's calls of `wait`."""
        return {frame for frame, _ in walk_stack(sys._current_frames()[asker]) if frame.f_code is wait.__code__}

    def job() -> None:
        seen: set[FrameType] = set()
        for _ in range(2):
            while not (now := waiting() - seen):
                os.sched_yield()
            seen |= now
            signal.pthread_kill(asker, signal.SIGINT)
            while not interrupted.acquire(timeout=0.1):  # it came just before the asker began to wait
                signal.pthread_kill(asker, signal.SIGINT)
        torch.rand(500, 500) @ torch.rand(500, 500)
        ended.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            computing.run(job)
        assert ended.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


ENDING = """
import atexit, threading
from dynrefer.threads import computing, made_ahead

def asked(name):
    threading.main_thread().join()
    print(name, computing.run(lambda: 5), *made_ahead(iter("ab"), 1))

def under_way():
    begun.set()
    threading.main_thread().join()  # which has ended, but for the handlers and Python itself
    print("a job under way ends", sum(range(10**6)))

begun = threading.Event()
atexit.register(lambda: print("a handler", computing.run(lambda: 6)))
threading.Thread(target=asked, args=["a thread"]).start()
threading.Thread(target=computing.run, args=[under_way], daemon=True).start()
begun.wait()
"""


@pytest.mark.slow
def test_threads_and_handlers_that_outlive_the_main_thread_are_answered() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=300)
    assert ended.stderr == "" and ended.returncode == 0
    assert sorted(ended.stdout.splitlines()) == ["a handler 6", "a job under way ends 499999500000", "a thread 5 a b"]


def in_fork(ask: Callable[[], object]) -> object:
    """What a forked process is answered."""
    answers, answer = multiprocessing.Pipe(duplex=False)
    forked = multiprocessing.get_context("fork").Process(target=lambda: answer.send(ask()))
    forked.start()
    try:
        assert answers.poll(PATIENCE)
        return answers.recv()
    finally:
        forked.kill()
        forked.join(PATIENCE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_forked_process_has_a_thread_of_its_own(computing: ComputingThread) -> None:
    assert computing.run(os.getpid) == os.getpid()
    assert in_fork(lambda: computing.run(os.getpid)) != os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_forked_process_does_not_wait_for_who_had_the_turn(queue: Queue, computing: ComputingThread) -> None:
    def ask() -> str:
        with queue.turns:
            return computing.run(lambda: "its own turn")

    with queue.turns:
        queue.join("waits")
        assert computing.run(lambda: in_fork(ask)) == "its own turn"
    assert queue.finish() == ["waits"]


def test_a_thread_that_has_to_wait_for_its_core_takes_one_for_more_and_more_of_the_next_jobs(
    computing: ComputingThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, clocks = torch.get_num_threads(), SimpleNamespace(perf_counter=count().__next__)
    monkeypatch.setattr("dynrefer.threads.time", clocks)

    def job(is_alone: bool) -> int:
        clocks.thread_time = count().__next__ if is_alone else lambda: 0
        cores = computing.run(torch.get_num_threads)
        with computing.watched(), ThreadPoolExecutor(1) as beside:
            assert beside.submit(torch.get_num_threads).result() == 2
        return cores

    torch.set_num_threads(2)
    try:
        assert [job(is_alone) for is_alone in (True, False, True, True, True)] == [2, 2, 1, 1, 2]
        for most in (2, 4, 8, 16, 16, 16):
            assert [job(False), *(job(True) for _ in range(most))][1:] == most * [1]
        assert [job(True), job(False), job(True), job(True), job(True)] == [2, 2, 1, 1, 2]
    finally:
        torch.set_num_threads(before)


def test_items_made_ahead_come_in_order_and_their_error_where_it_was() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the sixth")

    made = made_ahead(items(), 2)
    assert [next(made) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="the sixth"):
        next(made)


def test_no_more_are_made_than_were_wanted_ahead() -> None:
    begun = threading.Semaphore(0)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            begun.release()
            yield number

    made = made_ahead(items(), 2)
    assert next(made) == 0
    for _ in range(3):  # the one that was asked for, and two ahead
        assert begun.acquire(timeout=300)
    assert taken == [0, 1, 2]
    made.close()  # type: ignore[attr-defined]


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    made = made_ahead(iter(range(100)), 1)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
