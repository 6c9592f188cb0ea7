"""Questions of several clients, gathered for one pass of the network."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dynrefer.boxes import Box
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.question import Question
from dynrefer.results import RegionResult
from dynrefer.server.metrics import Metrics

TOGETHER = 8
GATHER_SECONDS = 0.01
PASSES = 2  # of full groups, and of others: while one has the network, the other chooses the views of the next regions
AHEAD = 1  # parts of one request that wait behind the one being answered, so that the network never idles for it
FIRST_GUESS = 0.2  # seconds a region, until one was measured
LONGEST_WAIT = 60

Asked = list[tuple[Photo, list[Box]]]
Answer = Callable[[Asked, Question, int], Sequence[list[RegionResult] | InputError]]
"""Photographs with their boxes, one question for all, and how many requests wait for these answers or behind them ->
results a photograph, or why there are none."""


@dataclass(eq=False)
class Part:
    """At most TOGETHER boxes of one photograph, the `request` that asks for them, and what it waits for."""

    request: object
    photo: Photo
    boxes: list[Box]
    results: asyncio.Future[list[RegionResult]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(eq=False)
class Group:
    """Parts with the same question. Others may join until a pass takes it."""

    question: Question
    began: float
    parts: list[Part] = field(default_factory=list)
    is_due: bool = False

    @property
    def regions(self) -> int:
        """How many boxes it holds."""
        return sum(len(part.boxes) for part in self.parts)

    @property
    def is_full(self) -> bool:
        """Whether nobody else can join it, so that it gains nothing by waiting."""
        return self.regions == TOGETHER


class Batcher:
    """Gathers what is asked with the same options for GATHER_SECONDS or up to TOGETHER regions.

    What finds the network idle begins at once, and while it is busy a group goes on growing. Groups are answered in the
    order in which they became due, but one that is not full waits for no full one. A request with many boxes joins them
    part by part, so that nobody waits for the whole of it.
    Belongs to one event loop.
    """

    def __init__(self, answer: Answer, metrics: Metrics) -> None:
        self._answer, self._metrics = answer, metrics
        self._threads = ThreadPoolExecutor(2 * PASSES, "regions")
        self._open: dict[Question, Group] = {}
        self._due: deque[Group] = deque()
        self._passes: dict[asyncio.Task[None], bool] = {}  # -> whether its group was full
        self._waiting = 0
        self._seconds_a_region = FIRST_GUESS

    @property
    def waiting(self) -> int:
        """Regions that wait or are being answered."""
        return self._waiting

    @property
    def seconds_to_wait(self) -> int:
        """After how many seconds what waits now is about half answered: 1 to LONGEST_WAIT."""
        return min(LONGEST_WAIT, max(1, math.ceil(self._waiting * self._seconds_a_region / 2)))

    async def refer(
        self, photo: Photo, boxes: Sequence[Box], question: Question
    ) -> AsyncGenerator[list[RegionResult], None]:
        """Results of the boxes in their order, a few at a time. What nobody waits for any more is not computed.

        Raises InputError where the boxes cannot be used, and whatever the model raises.
        """
        self._count(len(boxes))
        ahead: deque[asyncio.Future[list[RegionResult]]] = deque()
        request = object()
        try:
            for start in range(0, len(boxes), TOGETHER):
                ahead.append(self._submit(Part(request, photo, list(boxes[start : start + TOGETHER])), question))
                if len(ahead) > AHEAD:
                    yield await ahead[0]
                    ahead.popleft()
            while ahead:
                yield await ahead[0]
                ahead.popleft()
        finally:
            for results in ahead:
                if not results.cancel() and not results.cancelled():
                    results.exception()  # seen, so that asyncio does not complain of it
            self._count(-len(boxes))

    def _count(self, regions: int) -> None:
        self._waiting += regions
        self._metrics.waiting_regions.set(self._waiting)

    def _submit(self, part: Part, question: Question) -> asyncio.Future[list[RegionResult]]:
        loop = asyncio.get_running_loop()
        group = self._open.get(question)
        if group is None or group.regions + len(part.boxes) > TOGETHER:
            if group is not None:
                self._call(group)
            group = self._open[question] = Group(question, time.monotonic())
            loop.call_later(GATHER_SECONDS if self._passes else 0, self._call, group)
        group.parts.append(part)
        if group.is_full:
            self._call(group)
        return part.results

    def _call(self, group: Group) -> None:
        """A group has gathered long enough."""
        if not group.is_due:
            group.is_due = True
            self._due.append(group)
        self._begin()

    def _begin(self) -> None:
        for group in list(self._due):
            if list(self._passes.values()).count(group.is_full) == PASSES:
                continue
            self._due.remove(group)
            if self._open.get(group.question) is group:
                del self._open[group.question]
            parts = [part for part in group.parts if not part.results.done()]
            if parts:
                running = asyncio.get_running_loop().create_task(self._pass(group, parts))
                self._passes[running] = group.is_full
                running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[None]) -> None:
        del self._passes[running]
        self._begin()

    async def _pass(self, group: Group, parts: list[Part]) -> None:
        """One pass of the network for all parts; every one who waits is told of an error."""
        asked = [(part.photo, part.boxes) for part in parts]
        behind = [part for group in self._due for part in group.parts if not part.results.done()]
        waiting = len({part.request for part in (*parts, *behind)})
        start, regions = time.monotonic(), sum(len(part.boxes) for part in parts)
        self._metrics.together.observe(regions)
        self._metrics.stages.labels("queue").inc((start - group.began) * len(parts))
        answers: Sequence[list[RegionResult] | Exception]
        try:
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(self._threads, self._answer, asked, group.question, waiting)
        except Exception as error:
            answers = [error] * len(parts)
        self._seconds_a_region += ((time.monotonic() - start) / regions - self._seconds_a_region) / 4
        for part, answer in zip(parts, answers, strict=True):
            if part.results.done():  # gone meanwhile
                continue
            if isinstance(answer, Exception):
                part.results.set_exception(answer)
            else:
                self._note(answer)
                part.results.set_result(answer)

    def _note(self, results: list[RegionResult]) -> None:
        self._metrics.regions.inc(len(results))
        for result in results:
            for stage, milliseconds in result.timing_ms.items():
                if stage != "total":
                    self._metrics.stages.labels(stage).inc(milliseconds / 1000)
