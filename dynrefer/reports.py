"""A function that reports while it works, as a generator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


class ClosedError(Exception):
    """Nobody listens any more."""


def reports(work: Callable[[Callable[[T], None]], T], thread: Executor) -> Iterator[T]:
    """What `work(report)` reports while it runs in `thread`, and last what it returns; raises what `work` raises.

    Of reports that come faster than they are taken only the latest is given. Closing the generator makes the next
    `report` raise `ClosedError`, so that the work ends there; it is not waited for.
    """
    waiting: SimpleQueue[Any] = SimpleQueue()
    closed = threading.Event()

    def report(item: T) -> None:
        if closed.is_set():
            raise ClosedError
        waiting.put(item)

    def run() -> T:
        try:
            return work(report)
        finally:
            waiting.put(END)

    answer = thread.submit(run)
    try:
        while (item := _latest(waiting)) is not END:
            yield item
        yield answer.result()
    finally:
        closed.set()
        answer.cancel()


def _latest(waiting: SimpleQueue[Any]) -> Any:
    """Wait for an item, and skip to the last one there is."""
    item = waiting.get()
    while not waiting.empty():
        item = waiting.get()
    return item
