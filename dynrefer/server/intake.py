"""A request's body -> what it asks: read within limits, whatever a client sends."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynrefer.errors import InputError, reason, shown
from dynrefer.files.decoding import MAX_MEGAPIXELS, megapixels
from dynrefer.files.text import parse_json
from dynrefer.pointing import take_prompt
from dynrefer.server.fetching import MAX_FILE_BYTES, MAX_FILE_MEGABYTES, TOO_LARGE, fetch, read_data_url

TEXT_BYTES = 2**20  # for boxes and options
MAX_FORM_BYTES = MAX_FILE_BYTES + 2 * TEXT_BYTES
MAX_JSON_BYTES = MAX_FILE_BYTES * 4 // 3 + 2 * TEXT_BYTES
BODY_SECONDS = 60
DRAIN_SECONDS = 30
MEGAPIXELS_AT_ONCE = 4 * MAX_MEGAPIXELS
FORM, JSON = "multipart/form-data", "application/json"
FIELDS = {FORM: ("file", "boxes", "options", "stream"), JSON: ("image", "url", "boxes", "options", "stream")}
EXAMPLES = {"boxes": "[[64, 255, 383, 382]]", "options": '{"classes": ["dog", "cat"]}'}
ABOUT_BOXES = ("boxes", "stream")  # fields that only a question about regions has
TRUTHS = {"true": True, "1": True, "false": False, "0": False, "": False}


class RefusedError(Exception):
    """An answer other than 200: its status, one sentence, and the reason under which it is counted."""

    def __init__(self, status: int, sentence: str, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.reason, self.headers = status, sentence, reason, headers


@dataclass(frozen=True)
class Fields:
    """A body's fields: the photograph's bytes or its URL, and what else it says, unchecked."""

    content: bytes | None
    url: str | None
    boxes: Any
    options: Any
    stream: bool

    async def photograph(self) -> bytes:
        """The photograph's file, fetched where a URL was given. Raises InputError where it cannot be."""
        if self.content is not None:
            return self.content
        assert self.url is not None
        return await fetch(self.url)


async def read_fields(request: Request, regions: bool = True) -> Fields:
    """Read the body of POST /v1/regions, or of /v1/propose, which asks about no `regions` and so has no boxes.

    Raises RefusedError (400, 408, 413, 415) or InputError (422).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FIELDS:
        raise RefusedError(415, f"The body must be {FORM} or {JSON}.", "media type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "The body must not be compressed; send it without Content-Encoding.", "media type")
    body = await read_body(request, MAX_JSON_BYTES if kind == JSON else MAX_FORM_BYTES)
    given = await (asyncio.to_thread(_from_json, body) if kind == JSON else _from_form(request, body))
    fields = [name for name in FIELDS[kind] if regions or name not in ABOUT_BOXES]
    unknown = [name for name in given if name not in fields]
    if unknown:
        raise InputError(f'there is no field "{shown(unknown[0])}"; the fields are {", ".join(fields)}')
    if regions and "boxes" not in given and not take_prompt(given.get("options"))[0]:
        raise InputError("there is no box; give at least one in boxes as [[x1, y1, x2, y2]], or point with the options")
    content, url = given.get("file"), given.get("url")
    if kind == JSON and (image := given.get("image")) is not None:
        content = await asyncio.to_thread(_decoded, image)
    if (content is None) == (url is None):
        wanted = "a photograph as file" if kind == FORM else "either image, in base64, or url"
        raise InputError(f"the request needs {wanted}")
    if url is not None and not isinstance(url, str):
        raise InputError("url must be a text that begins with https://")
    return Fields(content, url, given.get("boxes"), given.get("options"), _truth(given.get("stream", False)))


async def read_body(request: Request, limit: int) -> bytes:
    """The body, counted while it is read. Raises RefusedError where it is too long, too slow or cut off."""
    too_long = RefusedError(413, f"The body is too long; a photograph may have {MAX_FILE_MEGABYTES} MB.", "size")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_long
    except TimeoutError:
        sentence = f"The body did not arrive within {BODY_SECONDS} seconds."
        raise RefusedError(408, sentence, "slow", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise RefusedError(400, "The body was cut off.", "cut off") from None
    return bytes(body)


class Drained:
    """ASGI middleware that lets a refusal arrive where its connection ends and the body is still on its way.

    With what nobody read the connection would be reset, and the answer be lost. A client that asks before it sends,
    by `Expect: 100-continue`, is answered at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        headers = {name: value.lower() for name, value in scope.get("headers", ())}
        ends = scope.get("http_version") == "1.0" or b"close" in headers.get(b"connection", b"")
        if scope["type"] != "http" or not ends:
            return await self.app(scope, receive, send)
        is_left, is_sent = True, b"expect" not in headers

        async def read() -> Message:
            nonlocal is_left, is_sent
            message = await receive()
            is_left, is_sent = message.get("more_body", False), True
            return message

        async def answer(message: Message) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    while is_left and is_sent:
                        await read()
            await send(message)

        return await self.app(scope, read, answer)


class Room:
    """Bounds the pixels of photographs that are open at the same time; others wait, holding their files only."""

    def __init__(self, room: float = MEGAPIXELS_AT_ONCE) -> None:
        self._free = room
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def of(self, content: bytes) -> AsyncIterator[None]:
        """Room for the photograph of a file; one that is no photograph takes none."""
        needed = megapixels(content)
        async with self._changed:
            await self._changed.wait_for(lambda: needed <= self._free)
            self._free -= needed
        try:
            yield
        finally:
            self._free += needed
            async with self._changed:
                self._changed.notify_all()


def _from_json(body: bytes) -> dict[str, Any]:
    given = parse_json(body, "the body")
    if not isinstance(given, dict):
        raise InputError("the body must be a JSON object with boxes and image or url")
    return given


async def _from_form(request: Request, body: bytes) -> dict[str, Any]:
    """Fields by name; boxes and options are parsed from their JSON text."""
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary")
    if not boundary:
        raise InputError(f"the content type names no boundary; let your HTTP library write it for {FORM}")
    if not body.rstrip().endswith(b"--" + boundary + b"--"):
        raise InputError("the body was cut off: its last boundary is missing")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=8, max_part_size=TEXT_BYTES)
    parser.spool_max_size = MAX_FORM_BYTES  # in memory, where it is already
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InputError(f"the body cannot be used as {FORM}: {shown(error.message, 100)}") from error
    return {name: await _part(name, form) for name in form}


async def _part(name: str, form: FormData) -> Any:
    value = form[name]
    if len(form.getlist(name)) > 1:
        raise InputError(f'the field "{shown(name)}" is there more than once')
    if name == "file":
        if not isinstance(value, UploadFile):
            raise InputError("file must be a file, with a file name")
        if (value.size or 0) > MAX_FILE_BYTES:
            raise RefusedError(413, str(InputError(TOO_LARGE)), "size")
        return await value.read()
    if not isinstance(value, str):
        raise InputError(f'"{shown(name)}" must be a text; a photograph is sent as "file"')
    if name not in ("boxes", "options"):
        return value
    try:
        return parse_json(value, name) if value.strip() else None
    except InputError as error:
        raise InputError(f"{reason(error)}; send for example {EXAMPLES[name]}") from error


def _decoded(image: Any) -> bytes:
    """The bytes of a photograph in base64, with or without the head of a data URL."""
    if not isinstance(image, str):
        raise InputError("image must be the photograph's file in base64")
    if image.startswith("data:"):
        return read_data_url(image)
    if image[:8].lower().startswith(("http://", "https://")):
        raise InputError("image must be the photograph's file in base64; give a web address as url")
    if len(image) * 3 / 4 > MAX_FILE_BYTES + 2:
        raise RefusedError(413, str(InputError(TOO_LARGE)), "size")
    try:
        return base64.b64decode("".join(image.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("image cannot be decoded from base64; is it whole?") from error


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUTHS:
        return TRUTHS[value.lower()]
    raise InputError(f'stream must be true or false, not "{shown(value)}"')
