"""Turns go to those who wait in the order in which they came; items are made before they are asked for."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from dynrefer.photo import Photo
from dynrefer.scheduling import Turns, batches, made_ahead
from dynrefer.selection import Region

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


def test_a_batch_ends_where_its_photographs_have_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynrefer.scheduling.BATCH_MEGAPIXELS", 0.02)
    sent = [np.zeros((100, 100, 3), np.uint8) for _ in range(5)]

    def choose(photo: Photo, _boxes: object) -> list[Region]:
        return [Region(photo, (0, 0, 9, 9), ())]

    assert [len(batch) for batch in batches([(one, None) for one in sent], choose, 32)] == [2, 2, 1]
