"""What the routes do, around one Predictor."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from dynrefer.boxes import Box, check_boxes
from dynrefer.errors import InputError, shown
from dynrefer.photo import Photo
from dynrefer.pointing import encode_mask, read_prompt
from dynrefer.predictor import Predictor
from dynrefer.question import Question
from dynrefer.results import RegionResult
from dynrefer.server.batching import TOGETHER, Asked, Batcher
from dynrefer.server.intake import Fields, RefusedError, Room, read_fields
from dynrefer.server.metrics import CONTENT_TYPE, Metrics
from dynrefer.server.programs import Programs, on_gpu, sentence, spaces

REGIONS, PROPOSE = "/v1/regions", "/v1/propose"
MOST_REQUESTS = 40
MOST_REGIONS = 1024
EVENTS = "text/event-stream"
GONE = 499  # for the counters: nobody is there to read it

logger = logging.getLogger(__name__)
T = TypeVar("T")
Told = dict[str, Any]  # what was pointed with, and the mask; nothing for boxes
Prepared = tuple[Photo, list[Box], Question, Told]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


class Service:
    """Answers requests with one `predictor`; within limits of what may wait."""

    def __init__(self, predictor: Predictor, token: str | None) -> None:
        self.predictor = predictor
        self.metrics = Metrics()
        self.warm = threading.Event()
        self.batcher = Batcher(self._answer_group, self.metrics)
        self.room = Room()
        self._refer_many, self._pointed_at = on_gpu(self._refer_together), on_gpu(predictor.pointed_at)
        self.programs = Programs(predictor)
        self._token = token
        self._requests = 0

    @property
    def guarded(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._token)

    def warm_up(self) -> None:
        """Answer a first question, after which the service is ready."""
        try:
            if not spaces:  # there a GPU is lent for visitors' questions alone
                self.predictor.warm_up()
        except Exception:
            logger.exception("the model does not answer; /ready stays at 503")
            return
        self.warm.set()
        self.metrics.ready.set(1)

    async def authorise(self, given: Bearer) -> None:
        """Refuse who does not know the token; without one everybody may ask."""
        if not self._token:
            return
        named = given.credentials if given else ""
        if not secrets.compare_digest(named.encode(), self._token.encode()):
            what = "not right" if given else "missing"
            told = f"The token is {what}; send the header Authorization: Bearer TOKEN."
            raise RefusedError(401, told, "token", {"WWW-Authenticate": "Bearer"})

    async def regions(self, request: Request) -> Response:
        """POST /v1/regions."""
        async with self._answering(REGIONS) as held:
            fields = await read_fields(request)
            asked = await _unless_gone(request, self._prepared(fields, held))
            if fields.stream:
                events = self._events(*asked, held.pop_all())
                return StreamingResponse(events, media_type=EVENTS, headers={"Cache-Control": "no-store"})
            return JSONResponse(await _unless_gone(request, self._whole(*asked)))

    async def propose(self, request: Request) -> Response:
        """POST /v1/propose."""
        async with self._answering(PROPOSE) as held:
            fields = await read_fields(request, regions=False)
            photo = await _unless_gone(request, self._opened(fields, held))
            found = await _unless_gone(request, asyncio.to_thread(self.programs.propose, photo, fields.options))
            return JSONResponse({"proposals": found, "model": self.predictor.model_name})

    async def models(self) -> dict[str, Any]:
        """GET /v1/models."""
        predictor = self.predictor
        about = {
            "id": predictor.model_name,
            "fingerprint": await asyncio.to_thread(lambda: predictor.checkpoint.fingerprint),
            "num_views": predictor.num_views,
            "default_mode": predictor.default_mode,
            "tag_threshold": predictor.tag_threshold,
            "device": str(predictor.device),
            "segmenter": predictor.segmenter.name if predictor.segmenter else None,
        }
        return {"models": [about]}

    async def health(self) -> dict[str, str]:
        """GET /health: the process answers."""
        return {"status": "ok"}

    async def readiness(self) -> Response:
        """GET /ready: 200 once the model has answered a first question, 503 before."""
        ready = self.warm.is_set()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def counters(self) -> Response:
        """GET /metrics, for Prometheus."""
        return Response(self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def refuse(self, request: Request, error: Exception) -> Response:
        """An error as its status and {"error": sentence}."""
        if isinstance(error, HTTPException):
            headers, told = dict(error.headers or {}), f"{error.detail}."
            if error.status_code == 404:
                told = f"There is nothing at {shown(request.url.path)}; /v1/openapi.json lists what there is."
            elif error.status_code == 405:
                told = f"{shown(request.url.path)} is asked by {headers.get('Allow', 'POST')}, not by {request.method}."
            error = RefusedError(error.status_code, told, "path", headers)
        elif not isinstance(error, RefusedError):
            error = RefusedError(422, str(error), "values")
        self.metrics.refusals.labels(error.reason).inc()
        return JSONResponse({"error": error.sentence}, error.status, error.headers)

    @asynccontextmanager
    async def _answering(self, path: str) -> AsyncIterator[AsyncExitStack]:
        """A place among those whose question is open, which it holds with whatever the question needs.

        Raises RefusedError with a sentence for whatever was not foreseen.
        """
        try:
            async with AsyncExitStack() as held:
                held.enter_context(self._place())
                yield held
        except (RefusedError, InputError):
            raise
        except Exception as error:
            raise RefusedError(500, sentence(error, path), "error") from error

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place among those whose question is open; refused where too many are."""
        if self._requests >= MOST_REQUESTS or self.batcher.waiting >= MOST_REGIONS:
            seconds = self.batcher.seconds_to_wait
            told = f"Too many questions are waiting; ask again in {seconds} s."
            raise RefusedError(429, told, "queue", {"Retry-After": str(seconds)})
        self._requests += 1
        self.metrics.open_requests.set(self._requests)
        try:
            yield
        finally:
            self._requests -= 1
            self.metrics.open_requests.set(self._requests)

    async def _prepared(self, fields: Fields, held: AsyncExitStack) -> Prepared:
        """All values checked and the photograph open; `held` keeps the room that it takes."""
        pointed, question = self.programs.asked(fields.boxes, fields.options)
        photo = await self._opened(fields, held)
        prompt = read_prompt(photo.size, **pointed)
        if prompt is None:
            return photo, check_boxes(fields.boxes, photo.size), question, {}
        found = await asyncio.to_thread(self._pointed_at, photo, prompt)
        mask = None if found.mask is None else encode_mask(found.mask)
        return photo, [found.box], question, {"prompt": prompt.to_dict(), "mask": mask}

    async def _opened(self, fields: Fields, held: AsyncExitStack) -> Photo:
        with self._timed("fetch"):
            content = await fields.photograph()
        await held.enter_async_context(self.room.of(content))
        with self._timed("open"):
            return await asyncio.to_thread(Photo.open, content)

    async def _whole(self, photo: Photo, boxes: list[Box], question: Question, pointed: Told) -> dict[str, Any]:
        async with aclosing(self.batcher.refer(photo, boxes, question)) as parts:
            regions = [_told(result, pointed) async for results in parts for result in results]
        return {"regions": regions, "model": self.predictor.model_name}

    def _events(
        self, photo: Photo, boxes: list[Box], question: Question, pointed: Told, held: AsyncExitStack
    ) -> AsyncIterator[str]:
        """Server-sent events, computed whether or not they are read: who reads slowly keeps nobody's place."""
        events: asyncio.Queue[str | None] = asyncio.Queue()

        async def work() -> None:
            async with held:
                try:
                    index = 0
                    async with aclosing(self.batcher.refer(photo, boxes, question)) as parts:
                        async for results in parts:
                            for result in results:
                                events.put_nowait(_event("region", {"index": index, "region": _told(result, pointed)}))
                                index += 1
                    events.put_nowait(_event("done", {"regions": index, "model": self.predictor.model_name}))
                except Exception as error:
                    told = error.sentence if isinstance(error, RefusedError) else sentence(error, REGIONS)
                    events.put_nowait(_event("error", {"error": told}))
                finally:
                    events.put_nowait(None)

        working = asyncio.create_task(work())

        async def read() -> AsyncIterator[str]:
            try:
                while (event := await events.get()) is not None:
                    yield event
            finally:
                working.cancel()

        return read()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.metrics.stages.labels(stage).inc(time.monotonic() - start)

    def _answer_group(self, asked: Asked, question: Question, waiting: int) -> list[list[RegionResult] | InputError]:
        try:
            return self._refer_many(asked, question, waiting)
        except InputError as error:  # of the machine: what the asker gave was checked, or comes back in its place
            raise RefusedError(503, str(error), "memory") from error

    def _refer_together(self, asked: Asked, question: Question, waiting: int) -> list[list[RegionResult] | InputError]:
        answers = self.predictor.refer_many(
            asked, batch_size=TOGETHER, errors="return", askers=waiting, question=question
        )
        return list(answers)


def _told(result: RegionResult, pointed: Told) -> dict[str, Any]:
    return replace(result, **pointed).to_dict()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which ends when the client leaves."""
    working, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise RefusedError(GONE, "The client left before its answer came.", "gone")
    finally:
        working.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
