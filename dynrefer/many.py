"""Many photographs asked about together: each answer comes beside what asked for it, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from dynrefer.boxes import MAX_BOXES, Box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.results import RegionResult

T = TypeVar("T")
Asks = tuple[T, Photo | None, list[Box]]
"""Whatever asks, its photograph and at most MAX_BOXES boxes on it; without a photograph it only keeps its place."""


def answers(
    predictor: Predictor, asking: Iterable[Asks[T]], **options: Any
) -> Iterator[tuple[T, list[RegionResult] | InputError]]:
    """What asks, each beside its results (none without a photograph), or the error where it cannot be answered.

    `options` are those of `Predictor.refer_many`, which takes what asks one at a time, in another thread with `ahead`.
    """
    waiting: deque[tuple[T, Photo | None]] = deque()

    def requests() -> Iterator[tuple[Photo, list[Box]]]:
        for who, photo, boxes in asking:
            waiting.append((who, photo))
            if photo is not None:
                yield photo, boxes

    def unasked() -> Iterator[tuple[T, list[RegionResult]]]:
        while waiting and waiting[0][1] is None:
            yield waiting.popleft()[0], []

    for results in predictor.refer_many(requests(), errors="return", **options):
        yield from unasked()
        yield waiting.popleft()[0], results
    yield from unasked()


def parts(items: Sequence[T], most: int = MAX_BOXES) -> Iterator[Sequence[T]]:
    """As many at a time as one request may ask about, and no more than `most`."""
    size = min(most, MAX_BOXES)
    return (items[start : start + size] for start in range(0, len(items), size))
