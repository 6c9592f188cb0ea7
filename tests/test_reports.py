"""Work that reports from a thread, taken as a generator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dynrefer.reports import ClosedError, reports

PATIENCE = 10


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_reports_come_in_order_and_the_answer_last(thread: ThreadPoolExecutor) -> None:
    taken = threading.Semaphore(0)

    def count(report: Callable[[int], None]) -> int:
        for number in range(3):
            report(number)
            assert taken.acquire(timeout=PATIENCE)
        return 3

    seen = []
    for number in reports(count, thread):
        seen.append(number)
        taken.release()
    assert seen == [0, 1, 2, 3]


def test_of_reports_faster_than_they_are_taken_the_latest_is_given(thread: ThreadPoolExecutor) -> None:
    written = threading.Event()

    def count(report: Callable[[int], None]) -> int:
        report(0)
        for number in range(1, 100):
            report(number)
        written.set()
        return 100

    seen = []
    for number in reports(count, thread):
        assert written.wait(PATIENCE)
        seen.append(number)
    assert len(seen) <= 3
    assert seen[-1] == 100


def test_an_error_reaches_the_one_who_asked(thread: ThreadPoolExecutor) -> None:
    def fail(report: Callable[[int], None]) -> int:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        list(reports(fail, thread))


def test_closing_ends_the_work_at_its_next_report(thread: ThreadPoolExecutor) -> None:
    closed = threading.Event()
    ended: list[type[BaseException]] = []

    def work(report: Callable[[int], None]) -> int:
        report(0)
        assert closed.wait(PATIENCE)
        try:
            report(1)
        except ClosedError as error:
            ended.append(type(error))
            raise
        return 2

    listening = reports(work, thread)
    assert next(listening) == 0
    listening.close()  # type: ignore[attr-defined]
    closed.set()
    thread.shutdown(wait=True)
    assert ended == [ClosedError]
