"""Who is answered when, and in which thread: turns at the one network, and requests gathered into batches."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from dynrefer.errors import InputError, shown
from dynrefer.photo import ImageSource, Photo
from dynrefer.selection import Region

BoxLike = Sequence[float] | np.ndarray | torch.Tensor
BATCH_MEGAPIXELS = 24  # of a batch's photographs, each pixel 8 bytes: two of a camera
Request = tuple[ImageSource, Sequence[BoxLike]]
T = TypeVar("T")


class Turns:
    """A lock that goes to those who wait for it in the order in which they came; not to be taken twice."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._numbers = count()
        self._line: list[int] = []
        """Numbers of those who came, the first of whom has the turn."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return max(0, len(self._line) - 1)

    def give_way(self) -> None:
        """Let those who wait now come first, and go on after them."""
        if self.waiting:
            self.__exit__()
            self.__enter__()

    def __enter__(self) -> None:
        with self.changed:
            number = next(self._numbers)
            self._line.append(number)
            self.changed.notify_all()
            try:
                self.changed.wait_for(lambda: self._line[0] == number)
            except BaseException:  # an interrupt: the turn must not come to somebody who is gone
                self._line.remove(number)
                self.changed.notify_all()
                raise

    def __exit__(self, *_error: object) -> None:
        with self.changed:
            del self._line[0]
            self.changed.notify_all()


class ComputingThread:
    """A thread in which PyTorch computes for all others, so that no other does.

    OpenMP's threads wait for the next product busily only as long as it knows of no more of them than there are cores,
    and every thread that ever computed counts with its own until it ends. On two cores, a region answered in the
    asker's own thread takes 111 in place of 91 ms.
    """

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):  # a forked process has no threads but the one that forked
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._thread = ThreadPoolExecutor(1, "computing")
        self._is_free = threading.Lock()

    def run(self, job: Callable[[], T]) -> T:
        """What `job` gives or raises, computed on as many cores as PyTorch takes in the caller's thread.

        While another job is in the thread, this one gets a thread that ends with it. An interrupt comes to the caller
        when the job is over.
        """
        cores = torch.get_num_threads()

        def run() -> T:
            if torch.get_num_threads() != cores:
                torch.set_num_threads(cores)
            return job()

        if not self._is_free.acquire(blocking=False):
            with ThreadPoolExecutor(1, "computing-too") as another:
                return another.submit(run).result()
        try:
            running = self._thread.submit(run)
            try:
                return running.result()
            finally:
                wait([running])
        finally:
            self._is_free.release()


computing = ComputingThread()


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


def made_ahead(items: Iterator[T], most: int) -> Iterator[T]:
    """The same items, of which a thread of its own makes up to `most` before they are asked for.

    An error comes where its item would have. Closing this iterator ends the thread after the item it is at.
    """
    end, thread = object(), ThreadPoolExecutor(1, "made-ahead")
    coming: deque[Future[Any]] = deque(thread.submit(next, items, end) for _ in range(most))
    try:
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, items, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


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
