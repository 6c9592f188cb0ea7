"""Many photographs asked about together."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
import pytest

from dynrefer import many
from dynrefer.errors import InputError
from dynrefer.many import answers, parts
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor

BOX = (1.0, 1.0, 5.0, 5.0)
PHOTO = Photo.read(np.zeros((8, 8, 3), dtype=np.uint8))
REFUSED = InputError("it cannot be answered")


class Batching:
    """Takes two requests before it answers either, as a Predictor does; `[n]` stands for the results of n boxes."""

    def refer_many(self, requests: Iterable[tuple[Photo, list[Any]]], errors: str) -> Iterator[list[int] | InputError]:
        """A request of three boxes cannot be answered."""
        assert errors == "return"
        coming = iter(requests)
        while batch := list(islice(coming, 2)):
            yield from (REFUSED if len(boxes) == 3 else [len(boxes)] for _, boxes in batch)


def test_every_answer_comes_beside_what_asked_and_what_asks_nothing_keeps_its_place() -> None:
    asking = [("a", None, 0), ("b", PHOTO, 1), ("c", None, 0), ("d", PHOTO, 3), ("e", PHOTO, 2), ("f", None, 0)]
    found = answers(cast(Predictor, Batching()), ((who, photo, [BOX] * count) for who, photo, count in asking))
    assert list(found) == [("a", []), ("b", [1]), ("c", []), ("d", REFUSED), ("e", [2]), ("f", [])]


def test_parts_are_no_larger_than_a_request_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MAX_BOXES", 3)
    assert [list(part) for part in parts(range(7), 5)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [list(part) for part in parts(range(3), 2)] == [[0, 1], [2]]
