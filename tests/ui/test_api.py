"""The named endpoints of a live app, as scripts use them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from dynrefer import Predictor
from dynrefer.ui import build_page, launch_options
from dynrefer.ui.page import QUEUE_SIZE

BOX = [20, 15, 80, 60]
OTHER = [5, 40, 50, 88]


@dataclass
class Api:
    """A live app around a predictor that can be held up."""

    url: str
    predictor: Predictor
    client: Client
    running: threading.Event = field(default_factory=threading.Event)

    def call(self, *data: Any) -> httpx.Response:
        """Send a request to /refer without waiting for the result."""
        return httpx.post(f"{self.url}gradio_api/call/refer", json={"data": data})

    def upload(self, photo: Path) -> dict[str, Any]:
        """Upload a photograph; what a request says to mean it."""
        answer = httpx.post(f"{self.url}gradio_api/upload", files={"files": photo.read_bytes()})
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def api(tiny_checkpoint: Path) -> Iterator[Api]:
    predictor = Predictor.from_pretrained(tiny_checkpoint, device="cpu")
    running = threading.Event()
    running.set()
    answer = predictor.refer

    def held_up(*args: Any, **options: Any) -> Any:
        running.wait()
        return answer(*args, **options)

    predictor.refer = held_up  # type: ignore[method-assign]
    page = build_page(predictor)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield Api(url, predictor, Client(url, verbose=False), running)
    page.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((100, 90)).convert("RGB").save(path)
    return path


def without_timing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in result.items() if name != "timing_ms"} for result in results]


def test_refer_answers_with_the_json_of_the_predictor(api: Api, photo: Path) -> None:
    options = {"classes": "dog, cup", "tag_threshold": 0, "mode": "manual", "coefficients": [0, 0.5]}
    answered = api.client.predict(handle_file(photo), [BOX, OTHER], options, api_name="/refer")
    expected = api.predictor.refer(
        photo, boxes=[BOX, OTHER], classes=["dog", "cup"], tag_threshold=0, mode="manual", coefficients=[0, 0.5]
    )
    assert without_timing(answered) == without_timing([result.to_dict() for result in expected])


def test_refer_many_keeps_photographs_and_boxes_in_order(api: Api, photo: Path) -> None:
    file = handle_file(photo)
    answered = api.client.predict([file, file], [[OTHER], [BOX, OTHER]], api_name="/refer_many")
    assert [[result["box"] for result in results] for results in answered] == [[OTHER], [BOX, OTHER]]


@pytest.mark.parametrize(
    ("boxes", "options", "words"),
    [
        ([], None, "no box"),
        ("box", None, "list of boxes"),
        ([[1, 2, 3]], None, "four numbers"),
        ([BOX, [1, 2, "x", 4]], None, "box 2 of 2"),
        ([[500, 500, 600, 600]], None, "outside"),
        ([BOX] * 257, None, "256"),
        ([BOX], {"mode": "best"}, "choose one of"),
        ([BOX], {"coefficients": [0, 2]}, "coefficient"),
        ([BOX], {"classes": [str(number) for number in range(10_000)]}, "1000"),
        ([BOX], {"colour": "red"}, "no option"),
        ([BOX], [1], "object"),
    ],
)
def test_a_bad_request_gets_a_sentence(api: Api, photo: Path, boxes: Any, options: Any, words: str) -> None:
    with pytest.raises(AppError, match=f"(?i){words}"):
        api.client.predict(handle_file(photo), boxes, options, api_name="/refer")


def test_a_file_that_is_no_photograph_gets_a_sentence(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "notes.jpg"
    file.write_text("not a photograph")
    with pytest.raises(AppError, match="not an image that can be read"):
        api.client.predict(handle_file(file), [BOX], None, api_name="/refer")


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["plain", "as an upload"])
def test_a_forged_path_reads_no_file_of_the_server(api: Api, photo: Path, meta: dict[str, Any]) -> None:
    event = api.call({"path": str(photo), **meta}, [BOX], None).json()["event_id"]
    assert httpx.get(f"{api.url}gradio_api/call/refer/{event}").text.startswith("event: error")


def test_wrong_lists_of_many_photographs_get_a_sentence(api: Api, photo: Path) -> None:
    file = handle_file(photo)
    with pytest.raises(AppError, match="so 2 lists"):
        api.client.predict([file, file], [[BOX]], api_name="/refer_many")
    with pytest.raises(AppError, match="1 to 16 photographs"):
        api.client.predict([file] * 17, [[BOX]] * 17, api_name="/refer_many")


def test_a_request_too_many_is_told_that_the_queue_is_full(api: Api, photo: Path) -> None:
    image = api.upload(photo)
    api.running.clear()
    try:
        answers = [api.call(image, [BOX], None) for _ in range(QUEUE_SIZE + 8)]
    finally:
        api.running.set()
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 503
    assert f"Queue is full. Max size is {QUEUE_SIZE}" in answers[-1].text


def test_endpoints_are_documented_and_nothing_else_is_public(api: Api) -> None:
    described = api.client.view_api(return_format="dict", print_info=False)
    assert set(described["named_endpoints"]) == {"/refer", "/refer_many"}
    names = [parameter["parameter_name"] for parameter in described["named_endpoints"]["/refer"]["parameters"]]
    assert names == ["image", "boxes", "options"]


def test_both_endpoints_are_mcp_tools(api: Api) -> None:
    tools = {tool["name"]: tool for tool in httpx.get(f"{api.url}gradio_api/mcp/schema").json()}
    assert set(tools) == {"refer", "refer_many"}
    assert "coefficients" in tools["refer"]["description"]
