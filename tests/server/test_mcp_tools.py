"""The MCP tools, called by the client that MCP's makers publish."""

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Tool
from PIL import Image

from dynrefer import Predictor
from dynrefer.server import fetching
from dynrefer.ui.page import build_page, launch_options

BOX, OTHER = [20.0, 15.0, 80.0, 60.0], [5.0, 40.0, 50.0, 88.0]


def png(size: tuple[int, int] = (100, 90)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


DATA_URL = "data:image/png;base64," + base64.b64encode(png()).decode()


@pytest.fixture(scope="module")
def url(tiny_predictor: Predictor) -> Iterator[str]:
    page = build_page(tiny_predictor)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(tiny_predictor))
    yield f"{address}gradio_api/mcp/"
    page.close()


def ask(url: str, use: Callable[[ClientSession], Any]) -> Any:
    async def talk() -> Any:
        async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await use(session)

    return asyncio.run(talk())


def call(url: str, tool: str, **arguments: Any) -> CallToolResult:
    return ask(url, lambda session: session.call_tool(tool, arguments))  # type: ignore[no-any-return]


def text(result: CallToolResult) -> str:
    (content,) = result.content
    return str(content.text)  # type: ignore[union-attr]


def without_timing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in result.items() if name != "timing_ms"} for result in results]


def test_all_tools_are_listed_with_every_option(url: str) -> None:
    listed = ask(url, lambda session: session.list_tools())
    tools: dict[str, Tool] = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {"refer", "refer_many", "propose"}
    given = tools["refer"].inputSchema["properties"]["options"]["anyOf"][0]
    assert given["description"] == "What is asked of every region; null leaves the choice to the model."
    options = given["properties"]
    assert {"classes", "coefficients", "mode", "point", "mask"} <= set(options)


def test_refer_answers_a_data_url_with_json_and_structured_content(url: str, tiny_predictor: Predictor) -> None:
    answer = call(url, "refer", image=DATA_URL, boxes=[BOX, OTHER], options={"classes": "dog, cup"})
    assert not answer.isError, text(answer)
    expected = tiny_predictor.refer(png(), boxes=[BOX, OTHER], classes=["dog", "cup"])
    assert without_timing(json.loads(text(answer))) == without_timing([result.to_dict() for result in expected])
    assert answer.structuredContent == {"result": json.loads(text(answer))}


def test_refer_answers_an_https_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def connect(host: str) -> httpx.AsyncBaseTransport:
        asked.append(host)
        return httpx.MockTransport(lambda request: httpx.Response(200, content=png()))

    monkeypatch.setattr(fetching, "public_transport", connect)
    answer = call(url, "refer", image="https://photographs.example/dog.png", boxes=[BOX])
    assert json.loads(text(answer))[0]["box"] == BOX
    assert asked == ["photographs.example"]


def test_refer_many_answers_several_photographs_and_names_the_bad_one(url: str) -> None:
    damaged = "data:image/png;base64,AAAA"
    answer = call(url, "refer_many", images=[DATA_URL, damaged, DATA_URL], boxes=[[BOX], [BOX], [OTHER, BOX]])
    first, bad, last = json.loads(text(answer))
    assert [result["box"] for result in first] == [BOX]
    assert "not an image that can be read" in bad["error"]
    assert [result["box"] for result in last] == [OTHER, BOX]


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("refer", {"boxes": [BOX]}, "https URL, or a data URL"),
        ("refer", {"image": "dog.jpg", "boxes": [BOX]}, "https URL, or a data URL"),
        ("refer", {"image": DATA_URL}, "There is no box"),
        ("refer", {"image": DATA_URL, "boxes": [[1, 2, 3]]}, "four numbers"),
        ("refer", {"image": DATA_URL, "boxes": [BOX], "options": {"mode": "best"}}, "choose one of"),
        ("refer", {"image": DATA_URL, "boxes": [BOX], "options": "all"}, "object"),
        ("refer", {"image": "https://127.0.0.1/dog.jpg", "boxes": [BOX]}, "has no public address"),
        ("refer_many", {"images": [], "boxes": []}, "1 to 16 photographs"),
        ("refer_many", {"images": [DATA_URL] * 17, "boxes": [[BOX]] * 17}, "1 to 16 photographs"),
        ("refer_many", {"images": [DATA_URL], "boxes": []}, "so 1 lists"),
    ],
)
def test_a_bad_call_gets_a_sentence(url: str, tool: str, arguments: dict[str, Any], words: str) -> None:
    answer = call(url, tool, **arguments)
    assert answer.isError
    assert words in text(answer)
    assert "show_error" not in text(answer)


def test_a_point_instead_of_boxes_and_proposals(url: str) -> None:
    pointed = call(url, "refer", image=DATA_URL, options={"point": [40, 40]})
    assert not pointed.isError and pointed.structuredContent is not None
    assert pointed.structuredContent["result"][0]["prompt"] == {"point": [40, 40]}
    found = call(url, "propose", image=DATA_URL, options={"words": ["cup"], "limit": 2})
    assert not found.isError and found.structuredContent is not None
    assert all(set(proposal["words"]) == {"cup"} for proposal in found.structuredContent["result"])
    assert call(url, "refer", image=DATA_URL, options={"mask": "/etc/passwd"}).isError
