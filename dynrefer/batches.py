"""Requests about many photographs, made ready and gathered, as many as are answered together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dynrefer.errors import InputError, shown
from dynrefer.photo import ImageSource, Photo
from dynrefer.selection import Region

BoxLike = Sequence[float] | np.ndarray | torch.Tensor
BATCH_MEGAPIXELS = 24  # of a batch's photographs, each pixel 8 bytes: two of a camera
Request = tuple[ImageSource, Sequence[BoxLike]]


@dataclass(frozen=True)
class Ready:
    """A request with its photograph opened and its views chosen, or why it cannot be answered."""

    regions: list[Region] | InputError
    views_ms: float
    """How long that took, in milliseconds."""

    @property
    def known(self) -> list[Region]:
        """The regions to ask about; none where the request cannot be used."""
        return [] if isinstance(self.regions, InputError) else self.regions


def batches(
    requests: Iterable[Any], choose: Callable[[Photo, object], list[Region]], batch_size: int
) -> Iterator[list[Ready]]:
    """Requests by `choose` (photograph and boxes -> regions), as many as are answered together.

    A batch ends at `batch_size` photographs or regions, at BATCH_MEGAPIXELS, and with a request that cannot be used. No
    request is taken before the batch it belongs to is asked for.
    """
    batch: list[Ready] = []
    opened: tuple[Any, Photo] | None = None
    for request in requests:
        start = time.perf_counter()
        regions: list[Region] | InputError
        try:
            source, boxes = _pair(request)
            if opened is None or not _is_same_file(source, opened[0]):
                opened = (source, Photo.read(_unchanging(source)))
            regions = choose(opened[1], boxes)
        except InputError as error:
            regions = error
        batch.append(Ready(regions, 1000 * (time.perf_counter() - start)))
        if _is_enough(batch, batch_size):
            yield batch
            batch = []
    if batch:
        yield batch


def _pair(request: Any) -> tuple[ImageSource, Any]:
    if not isinstance(request, (tuple, list)) or len(request) != 2:
        raise InputError(f'a request must be a pair of an image and its list of boxes, not "{shown(request)}"')
    return request[0], request[1]


def _is_same_file(source: Any, opened: Any) -> bool:
    """Whether a request names the file that was opened last."""
    return isinstance(source, (str, Path)) and type(source) is type(opened) and source == opened


def _unchanging(source: Any) -> Any:
    """A copy of an array that its owner may fill with the next photograph before this one is answered."""
    return source.copy() if isinstance(source, np.ndarray) and source.flags.writeable else source


def _is_enough(batch: Sequence[Ready], batch_size: int) -> bool:
    if isinstance(batch[-1].regions, InputError):
        return True
    photos = {id(region.photo): region.photo for ready in batch for region in ready.known}
    megapixels = sum(photo.width * photo.height for photo in photos.values()) / 1e6
    regions = sum(len(ready.known) for ready in batch)
    return regions >= batch_size or len(photos) >= batch_size or megapixels >= BATCH_MEGAPIXELS
