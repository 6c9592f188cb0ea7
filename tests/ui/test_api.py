"""The named endpoints of a live app, as scripts use them."""

import json
import os
import re
import shutil
import subprocess
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
from dynrefer.server import fetching
from dynrefer.ui.api import ENDPOINT
from dynrefer.ui.page import QUEUE_SIZE, build_page, launch_options

AT_ONCE = ENDPOINT["concurrency_limit"]
PATIENCE_S = 240.0  # longest wait for an answer; what comes sooner ends it

BOX = [20, 15, 80, 60]
OTHER = [5, 40, 50, 88]


@dataclass
class Api:
    """A live app around a predictor that can be held up."""

    url: str
    predictor: Predictor
    client: Client
    running: threading.Event
    web: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE_S))

    def call(self, *data: Any) -> httpx.Response:
        """Send a request to /refer without waiting for the result."""
        return self.web.post(f"{self.url}gradio_api/call/refer", json={"data": data})

    def outcome(self, called: httpx.Response) -> str:
        """How a request sent by `call` ended, "complete" or "error"; while it lasts there are heartbeats."""
        stream = self.web.get(f"{self.url}gradio_api/call/refer/{called.json()['event_id']}").text
        return str(re.findall(r"^event: (\w+)", stream, re.MULTILINE)[-1])

    def upload(self, photo: Path) -> dict[str, Any]:
        """Upload a photograph; what a request says to mean it."""
        answer = self.web.post(f"{self.url}gradio_api/upload", files={"files": photo.read_bytes()})
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
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(predictor))
    yield Api(url, predictor, Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE_S}), running)
    page.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").resize((100, 90)).convert("RGB").save(path)
    return path


def without_timing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in result.items() if name != "timing_ms"} for result in results]


def test_refer_answers_with_the_json_of_the_predictor(api: Api, photo: Path) -> None:
    options = {"classes": "dog, cup", "tag_threshold": 0, "coefficients": [0, 0.5]}
    answered = api.client.predict(handle_file(photo), [BOX, OTHER], options, api_name="/refer")
    expected = api.predictor.refer(
        photo, boxes=[BOX, OTHER], classes=["dog", "cup"], tag_threshold=0, coefficients=[0, 0.5]
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
        ([BOX], {"classes": [str(number) for number in range(1001)]}, "1000"),
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
    assert api.outcome(api.call({"path": str(photo), **meta}, [BOX], None)) == "error"


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
        answers = [api.call(image, [BOX], None) for _ in range(QUEUE_SIZE + 2 * AT_ONCE)]
    finally:
        api.running.set()
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert api.outcome(accepted[-1]) == "complete"
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 503
    assert f"Queue is full. Max size is {QUEUE_SIZE}" in answers[-1].text


def test_endpoints_are_documented_and_nothing_else_is_public(api: Api) -> None:
    described = api.client.view_api(return_format="dict", print_info=False)
    assert set(described["named_endpoints"]) == {"/refer", "/refer_many", "/propose"}
    names = [parameter["parameter_name"] for parameter in described["named_endpoints"]["/refer"]["parameters"]]
    assert names == ["image", "boxes", "options"]


@dataclass
class Host:
    """A host on the internet that has photographs."""

    content: bytes
    asked: list[str] = field(default_factory=list)

    async def connect(self, host: str) -> httpx.AsyncBaseTransport:
        """A connection to it."""
        self.asked.append(host)
        return httpx.MockTransport(lambda request: httpx.Response(200, content=self.content))


def test_a_photograph_behind_a_url_is_described(api: Api, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(photo.read_bytes())
    monkeypatch.setattr(fetching, "public_transport", host.connect)
    image = handle_file("https://photographs.example/dog.png")
    assert api.client.predict(image, [BOX], None, api_name="/refer")[0]["box"] == BOX
    assert host.asked == ["photographs.example"]


def test_a_url_gets_no_more_room_than_an_upload(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "public_transport", Host(bytes(fetching.MAX_FILE_BYTES + 1)).connect)
    with pytest.raises(AppError, match="limit is 20 MB"):
        api.client.predict(handle_file("https://photographs.example/big.png"), [BOX], None, api_name="/refer")


def test_an_upload_that_is_too_large_is_refused(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "big.png"
    file.write_bytes(bytes(fetching.MAX_FILE_BYTES + 1))
    answer = api.web.post(f"{api.url}gradio_api/upload", files={"files": file.read_bytes()})
    assert answer.status_code == 413


def test_a_bad_photograph_among_many_costs_itself_alone(api: Api, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("not a photograph")
    files = [handle_file(photo), handle_file(bad), handle_file(photo)]
    first, second, third = api.client.predict(files, [[BOX], [BOX], [[1, 2, 3]]], api_name="/refer_many")
    assert first[0]["box"] == BOX
    assert "not an image that can be read" in second["error"]
    assert "four numbers" in third["error"]


def test_photographs_of_one_request_have_a_limit_together_that_headers_are_held_to(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynrefer.server.programs.MAX_REQUEST_MEGAPIXELS", 0.02)
    files = []
    for number in range(3):
        Image.new("RGB", (100, 90), (number, 0, 0)).save(tmp_path / f"{number}.png")
        files.append(handle_file(tmp_path / f"{number}.png"))
    last = tmp_path / "2.png"
    last.write_bytes(last.read_bytes()[:60])  # decoding it would say that it is damaged
    *answered, refused = api.client.predict(files, [[BOX]] * 3, api_name="/refer_many")
    assert [answer[0]["box"] for answer in answered] == [BOX, BOX]
    assert "megapixels together" in refused["error"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_receives_the_answer(api: Api, photo: Path) -> None:
    data = json.dumps({"data": [api.upload(photo), [BOX], None]})
    address = f"{api.url}gradio_api/call/refer"
    called = subprocess.run(["curl", "-s", "--json", data, address], capture_output=True, check=True, text=True)
    event = json.loads(called.stdout)["event_id"]
    answer = subprocess.run(["curl", "-sN", f"{address}/{event}"], capture_output=True, check=True, text=True)
    event_line, data_line = answer.stdout.strip().split("\n")[-2:]
    assert event_line == "event: complete"
    assert json.loads(data_line.removeprefix("data: "))[0][0]["box"] == BOX


JAVASCRIPT = """
import { readFile } from "node:fs/promises";
const { Client } = await import(process.argv[2]);
const client = await Client.connect(process.argv[3]);
const photo = new Blob([await readFile(process.argv[4])], { type: "image/png" });
const said = [];
for (const boxes of [[[20, 15, 80, 60]], []]) {
  try {
    said.push((await client.predict("/refer", [photo, boxes, null])).data[0]);
  } catch (error) {
    said.push({ error: error.message });
  }
}
console.log(JSON.stringify(said));
process.exit(0);
"""


@pytest.fixture(scope="module")
def javascript_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradio's client for JavaScript, from NODE_CLIENT where `npm install` has put it before, else by npm."""
    folder = Path(os.environ.get("NODE_CLIENT") or tmp_path_factory.mktemp("node"))
    client = folder / "node_modules" / "@gradio" / "client" / "dist" / "index.js"
    if not client.exists():
        npm = shutil.which("npm")
        if npm is None:
            if os.environ.get("CI") == "true":
                pytest.fail("npm is missing; install the package npm, or name a folder with the client by NODE_CLIENT")
            pytest.skip("npm is missing")
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@gradio/client@2"]
        subprocess.run(command, check=True, capture_output=True)
    return client


@pytest.mark.slow
def test_the_javascript_client_receives_answers_and_sentences(
    api: Api, photo: Path, javascript_client: Path, tmp_path: Path
) -> None:
    script = tmp_path / "ask.mjs"
    script.write_text(JAVASCRIPT)
    command = ["node", str(script), javascript_client.as_uri(), api.url, str(photo)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (answer,), refusal = json.loads(run.stdout.splitlines()[-1])
    assert answer["box"] == BOX
    assert "There is no box" in refusal["error"]
