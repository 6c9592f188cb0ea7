"""Label Studio's ML backend: a rectangle that an annotator draws comes back with label, sentence, choices and scores.

It speaks the protocol that Label Studio's servers speak to their backends: GET /health, POST /setup, POST /predict.
What the labelling configuration lists is what the model chooses from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import ParseError

import httpx
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dynrefer.boxes import check_box
from dynrefer.errors import InputError, LeftOut, shown
from dynrefer.files.photo_files import PhotoFinder
from dynrefer.formats.label_studio import Controls, photograph, prediction, regions
from dynrefer.formats.record import Record
from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.proposals import EVERYTHING
from dynrefer.server.app import listening, run
from dynrefer.server.fetching import MAX_FILE_BYTES, TOO_LARGE, fetch

PORT = 9090
SERVER = "http://localhost:8080"
SECONDS = 60

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelling:
    """What a labelling configuration asks about a region of its photograph."""

    controls: Controls
    field: str
    """Of a task's data, where the photograph stands."""
    labels: tuple[str, ...]
    """To choose the class from; none: the model's own names."""
    choices: tuple[str, ...]
    """To choose attributes from, as "red" or "color: red"."""
    single: bool
    """Whether only one of the choices may be set."""

    @classmethod
    def read(cls, configuration: str) -> Labelling:
        """Of the XML. Raises InputError where it has no Image, or no rectangle for it."""
        try:
            root = fromstring(configuration)
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise InputError("the labelling configuration is no XML that can be read") from error
        image = root.find(".//Image")
        if image is None:
            raise InputError("the labelling configuration has no <Image>")
        name = image.get("name", "image")
        about = [tag for tag in root.iter() if tag.get("toName") == name]
        texts = [tag.get("name") for tag in about if tag.tag == "TextArea"]
        named = {kind: next((tag for tag in about if tag.tag == kind), None) for kind in TAGS}
        label, rectangle, choices = (named[kind] for kind in TAGS)
        if label is None and rectangle is None:
            raise InputError("the labelling configuration has no <RectangleLabels> or <Rectangle> for its <Image>")
        controls = Controls(
            name,
            rectangle.get("name") if rectangle is not None and label is None else None,
            label.get("name") if label is not None else None,
            next((text for text in texts if text != "tags"), None),
            "tags" if "tags" in texts else None,
            choices.get("name") if choices is not None else None,
        )
        return cls(
            controls,
            image.get("value", "$image").removeprefix("$"),
            _values(label, "Label"),
            _values(choices, "Choice"),
            choices is not None and choices.get("choice") in ("single", "single-radio"),
        )

    def chosen(self, record: Record) -> Record:
        """A record with those of its attributes alone that may be chosen, spelt as they are there."""
        offered = {choice.casefold(): choice for choice in self.choices}
        kept: list[dict[str, Any]] = []
        for kind, name in record.attributes:
            spelt = next((offered[key] for key in (f"{kind}: {name}", name) if key in offered), None)
            if spelt is not None and not (self.single and kept):
                kept.append({"name": spelt})
        return replace(record, said={**record.said, "attributes": kept})


TAGS = ("RectangleLabels", "Rectangle", "Choices")


def _values(control: Any, tag: str) -> tuple[str, ...]:
    found = [] if control is None else [child.get("value") or child.get("alias") or "" for child in control.iter(tag)]
    return tuple(dict.fromkeys(value for value in found if value))


@dataclass
class Backend:
    """Answers Label Studio about the rectangles of its tasks.

    Photographs are read below `photos`, or fetched from `server` (with `token`) or from public https addresses.
    """

    predictor: Predictor
    server: str = SERVER
    token: str = ""
    photos: Path | None = None

    async def health(self) -> dict[str, str]:
        """GET / and /health."""
        return {"status": "UP", "model_class": "DynRefer", "model_version": self.predictor.model_name}

    async def setup(self, request: Request) -> dict[str, str]:
        """POST /setup: checks the project's labelling configuration."""
        given = await _body(request)
        Labelling.read(str(given.get("schema") or ""))
        if given.get("access_token") and not self.token and _same_server(str(given.get("hostname")), self.server):
            self.token = str(given["access_token"])
        return {"model_version": self.predictor.model_name}

    async def predict(self, request: Request) -> dict[str, Any]:
        """POST /predict: an answer a task, about the rectangles that are drawn, or that it has already.

        Of several tasks, one that cannot be answered has an empty answer.
        """
        given = await _body(request)
        labelling = Labelling.read(str(given.get("label_config") or ""))
        tasks = given.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise InputError('"tasks" must be a list of tasks')
        params = given.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        drawn = context.get("result") if isinstance(context, dict) else None
        results: list[dict[str, Any]] = []
        errors: list[InputError] = []
        for task in tasks:
            try:
                results.append(await self._answer(task, drawn if isinstance(drawn, list) else None, labelling))
            except InputError as error:
                logger.warning("task %s: %s", shown(task.get("id")), error)
                errors.append(error)
                results.append(self._nothing())
        if errors and len(errors) == len(tasks):
            raise errors[0]
        return {"results": results, "model_version": self.predictor.model_name}

    async def train(self) -> JSONResponse:
        """POST /webhook and /train: nothing is learnt here."""
        return JSONResponse({}, 201)

    async def _answer(
        self, task: Mapping[str, Any], drawn: Sequence[Any] | None, labelling: Labelling
    ) -> dict[str, Any]:
        data = task.get("data")
        if not isinstance(data, dict):
            raise InputError("a task has no data")
        name = data.get(labelling.field)
        name = name if isinstance(name, str) and name else photograph(data)
        given = drawn if drawn is not None else _own_result(task)
        found = [region for region in regions(given, name, f"task {shown(task.get('id'))}") if _usable(region)]
        photo = await self._photograph(name)
        if not found and drawn is None:
            found = await asyncio.to_thread(self._proposed, photo)
        if not found:
            return self._nothing()
        return await asyncio.to_thread(self._described, photo, found, labelling)

    def _nothing(self) -> dict[str, Any]:
        return {"result": [], "score": 0.0, "model_version": self.predictor.model_name}

    def _proposed(self, photo: Photo) -> list[Record | LeftOut]:
        """Regions worth describing; none where the model cannot point them out."""
        try:
            return [Record("", found.box, photo.size) for found in self.predictor.propose(photo, limit=EVERYTHING)]
        except InputError as error:
            logger.warning("%s", error)
            return []

    def _described(self, photo: Photo, found: Sequence[Any], labelling: Labelling) -> dict[str, Any]:
        boxes = [check_box(_pixels(region, photo.size), photo.size) for region in found]
        results = self.predictor.refer(photo, boxes=boxes, classes=list(labelling.labels) or None)
        records = [
            labelling.chosen(Record.of(result, size=photo.size, id=region.id))
            for region, result in zip(found, results, strict=True)
        ]
        return prediction(records, photo.size, labelling.controls)

    async def _photograph(self, name: str) -> Photo:
        """The photograph that a task names. Raises InputError where it cannot be had."""
        if self.photos is not None and not name.startswith(("http://", "https://")):
            return await asyncio.to_thread(Photo.open, PhotoFinder(self.photos).find(photograph({"image": name})))
        url = urljoin(self.server.rstrip("/") + "/", name)
        if not _same_server(url, self.server):
            return Photo.read(await fetch(url))
        return Photo.read(await self._from_server(url))

    async def _from_server(self, url: str) -> bytes:
        """A file of Label Studio's own, whose token is sent to no other server."""
        try:
            async with httpx.AsyncClient(timeout=SECONDS) as client:
                response = await client.get(url, headers=await self._authorisation(client))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputError(f"Label Studio at {self.server} does not answer; say --server URL") from error
        if response.has_redirect_location:  # to where the photographs are stored
            return await fetch(urljoin(url, response.headers["Location"]))
        if response.status_code in (401, 403):
            raise InputError("Label Studio wants a token; set LABEL_STUDIO_API_KEY or say --photos FOLDER")
        if response.status_code != 200:
            raise InputError(f"Label Studio answered {response.status_code} instead of the photograph")
        if len(response.content) > MAX_FILE_BYTES:
            raise InputError(TOO_LARGE)
        return response.content

    async def _authorisation(self, client: httpx.AsyncClient) -> dict[str, str]:
        """The header for a legacy token, or for a personal one, which is exchanged for one that ends soon."""
        if self.token.count(".") != 2:
            return {"Authorization": f"Token {self.token}"} if self.token else {}
        url = urljoin(self.server.rstrip("/") + "/", "api/token/refresh")
        answer = await client.post(url, json={"refresh": self.token})
        access = answer.json().get("access") if answer.status_code == 200 else None
        return {"Authorization": f"Bearer {access}"} if access else {}


def _own_result(task: Mapping[str, Any]) -> list[Any]:
    """The regions that a task has already: a person's before those of a model."""
    for key in ("annotations", "predictions"):
        for entry in reversed(task.get(key) or []):
            if isinstance(entry, dict) and isinstance(entry.get("result"), list) and entry["result"]:
                return entry["result"]
    return []


def _usable(region: Record | LeftOut) -> bool:
    if isinstance(region, LeftOut):
        logger.warning("left out: %s", region)
    return isinstance(region, Record)


def _pixels(region: Record, size: tuple[int, int]) -> tuple[float, ...]:
    """A region's box on the photograph: Label Studio's are percentages, whatever size it states."""
    width, height = (1.0, 1.0) if region.shares else region.size or size
    return tuple(value * size[axis % 2] / (width, height)[axis % 2] for axis, value in enumerate(region.box))


def _same_server(url: str, server: str) -> bool:
    first, second = urlsplit(url), urlsplit(server)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


async def _body(request: Request) -> dict[str, Any]:
    try:
        given = await request.json()
    except (ValueError, RecursionError) as error:
        raise InputError("the body is no JSON") from error
    if not isinstance(given, dict):
        raise InputError("the body must be a JSON object")
    return given


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """Label Studio shows what a backend says in its own log; so it is in ours too."""
    logger.warning("%s", error)
    return JSONResponse({"error": str(error), "detail": str(error)}, 422)


def build_backend(backend: Backend) -> FastAPI:
    """The routes."""
    app = FastAPI(title="DynRefer for Label Studio", openapi_url=None)
    app.add_exception_handler(InputError, _refused)
    for path in ("/", "/health"):
        app.add_api_route(path, backend.health)
    app.add_api_route("/setup", backend.setup, methods=["POST"])
    app.add_api_route("/predict", backend.predict, methods=["POST"])
    for path in ("/webhook", "/train"):
        app.add_api_route(path, backend.train, methods=["POST"])
    return app


def serve_label_studio(backend: Backend, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve until stopped. Raises InputError where the port cannot be had."""
    listening(host, port).close()  # before the seconds that warming up takes
    backend.predictor.warm_up()
    run(partial(build_backend, backend), host, port)
