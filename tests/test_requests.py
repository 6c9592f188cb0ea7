"""Items that another thread makes before they are asked for."""

import threading
from collections.abc import Iterator

import pytest

from dynrefer.requests import made_ahead


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
    for _ in range(4):  # the one that was asked for, two ahead, and one in the thread's hands
        assert begun.acquire(timeout=300)
    assert taken == [0, 1, 2, 3]
    made.close()  # type: ignore[attr-defined]


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    made = made_ahead(iter(range(100)), 1)
    next(made)
    made.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
