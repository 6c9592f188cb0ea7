"""The MCP tools beside the page: `refer`, `refer_many` and `propose`, which answer with JSON.

Gradio's own MCP server would answer with Python's repr, and takes no list of photographs.
"""

import importlib.util
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from dynrefer.errors import InputError
from dynrefer.question import Question
from dynrefer.server.fetching import MAX_FILE_BYTES, TOO_LARGE, fetch, read_data_url
from dynrefer.server.programs import MAX_IMAGES, Programs, sentence
from dynrefer.server.schema import BOXES, NULL, OPTIONS, PROPOSING

PATH = "/gradio_api/mcp"
AT_ONCE, MOST_WAITING = 8, 40
MAX_REQUEST_BYTES = 4 * MAX_FILE_BYTES

IMAGE = {"type": "string", "description": "a photograph of at most 20 MB, as an https URL or a data URL"}
WITHOUT_POINTING = OPTIONS | {"anyOf": [Question.model_json_schema(), NULL]}
RESULT = {"type": "object", "properties": {"result": {"type": "array"}}, "required": ["result"]}
TOOLS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "refer": (
        "Describe regions of a photograph: caption, classes, tags and attributes of each box, and the views looked at. "
        "Answers with one object a box. Instead of boxes the options may point at one thing.",
        {"image": IMAGE, "boxes": {"anyOf": [BOXES, NULL]}},
        OPTIONS,
    ),
    "propose": (
        "Find things on a photograph: all of it, those at a place or in a box, or those that words name. Answers with "
        "one object a thing, best first: box, score, the score of each word, and mask (null without a segmenter).",
        {"image": IMAGE},
        PROPOSING,
    ),
    "refer_many": (
        "Describe regions of several photographs, with the same options for all. Answers with what refer gives for "
        'every photograph, in their order, and {"error": sentence} where one cannot be answered.',
        {
            "images": {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": MAX_IMAGES},
            "boxes": {"type": "array", "items": BOXES, "description": "for every photograph its list of boxes"},
        },
        WITHOUT_POINTING,
    ),
}


def mcp_options(programs: Programs) -> dict[str, Any]:
    """FastAPI's arguments that serve the tools at PATH; none where the package `mcp` is missing."""
    if importlib.util.find_spec("mcp") is None:
        return {}
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.routing import Mount

    manager = StreamableHTTPSessionManager(_server(programs), stateless=True, json_response=True)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return {"lifespan": lifespan, "routes": [Mount(PATH, manager.handle_request)]}


def _server(programs: Programs) -> Any:
    from mcp import types
    from mcp.server.lowlevel import Server

    server: Any = Server("DynRefer", version="1")
    limiter = anyio.CapacityLimiter(AT_ONCE)

    @server.list_tools()
    async def list_tools() -> list[types.Tool]:
        return [
            types.Tool(
                name=name,
                description=about,
                inputSchema={
                    "type": "object",
                    "properties": {**needed, "options": options},
                    "required": [name for name, schema in needed.items() if "anyOf" not in schema],
                },
                outputSchema=RESULT,
            )
            for name, (about, needed, options) in TOOLS.items()
        ]

    @server.call_tool(validate_input=False)  # the sentences for what is wrong are ours
    async def call_tool(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            answer = await _answer(programs, name, arguments, limiter)
        except Exception as error:
            content = [types.TextContent(type="text", text=sentence(error, name))]
            return types.CallToolResult(content=list(content), isError=True)
        content = [types.TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))]
        return types.CallToolResult(content=list(content), structuredContent={"result": answer})

    return server


async def _answer(programs: Programs, name: str, given: dict[str, Any], limiter: anyio.CapacityLimiter) -> list[Any]:
    if limiter.statistics().tasks_waiting >= MOST_WAITING:
        raise InputError("too many questions are waiting at the moment; please ask again in a while")
    if name not in TOOLS:
        raise InputError(f"there is no such tool; the tools are {', '.join(TOOLS)}")
    boxes, options = given.get("boxes"), given.get("options")
    if name in ("refer", "propose"):
        content = await _fetched(given.get("image"))
        return await anyio.to_thread.run_sync(
            lambda: programs.answer(content, boxes, options) if name == "refer" else programs.propose(content, options),
            limiter=limiter,
        )
    images = given.get("images")
    contents: list[bytes | InputError] = []
    for image in images[:MAX_IMAGES] if isinstance(images, list) else []:
        room = MAX_REQUEST_BYTES - sum(len(content) for content in contents if isinstance(content, bytes))
        try:
            if room < MAX_FILE_BYTES:
                raise InputError(TOO_LARGE)
            contents.append(await _fetched(image))
        except InputError as error:
            contents.append(error)
    asked = contents if isinstance(images, list) and len(images) <= MAX_IMAGES else images
    return await anyio.to_thread.run_sync(
        lambda: programs.answer_many(asked, boxes, options, _content), limiter=limiter
    )


async def _fetched(image: Any) -> bytes:
    """The content of a data URL or https URL. Raises InputError where there is none."""
    if isinstance(image, str) and image.startswith("data:"):
        return read_data_url(image)
    if isinstance(image, str) and "://" in image[:10]:
        return await fetch(image)
    raise InputError("a photograph must be an https URL, or a data URL like data:image/jpeg;base64,...")


def _content(found: bytes | InputError) -> bytes:
    if isinstance(found, InputError):
        raise found
    return found
