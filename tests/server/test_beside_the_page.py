"""`/v1` and the page on one port."""

import base64
import errno
import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from dynrefer import InputError, Predictor
from dynrefer.server import app
from dynrefer.server.app import with_service
from dynrefer.ui.page import build_page, launch_options, serve
from tests.server.conftest import BOX, form, picture


@pytest.fixture(scope="module")
def address(tiny_predictor: Predictor) -> Iterator[str]:
    page = build_page(tiny_predictor)
    options = with_service(launch_options(tiny_predictor), tiny_predictor)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **options)
    yield url.rstrip("/")
    page.close()


def test_the_page_and_v1_answer_on_the_same_port(address: str) -> None:
    assert "<html" in httpx.get(f"{address}/").text
    assert httpx.get(f"{address}/health").json() == {"status": "ok"}
    answer = httpx.post(f"{address}/v1/regions", timeout=300, **form([BOX]))
    assert [region["box"] for region in answer.json()["regions"]] == [BOX]


def test_the_tools_for_mcp_are_still_there(address: str) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream"}
    answer = httpx.post(f"{address}/gradio_api/mcp/", json=asked, headers=headers, timeout=300)
    assert [tool["name"] for tool in answer.json()["result"]["tools"]] == ["refer", "propose", "refer_many"]


def test_a_stream_passes_the_page_region_by_region(address: str) -> None:
    body = {"image": base64.b64encode(picture()).decode(), "boxes": [BOX, BOX], "stream": True}
    with httpx.stream("POST", f"{address}/v1/regions", json=body, timeout=300) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("event: ")]
    assert "content-encoding" not in answer.headers
    assert events == ["event: region", "event: region", "event: done"]


def test_wrong_paths_below_v1_are_answered_by_the_service(address: str) -> None:
    assert "nothing at /v1/nothing" in httpx.get(f"{address}/v1/nothing").json()["error"]


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_of_100_megabytes_is_told_what_the_limit_is(address: str, stated: bool) -> None:
    body = bytes(10**8)
    content = body if stated else (body[start : start + 2**20] for start in range(0, len(body), 2**20))
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{address}/v1/regions", content=content, headers=headers, timeout=300)
    assert (answer.status_code, "20 MB" in answer.json()["error"]) == (413, True)


@pytest.mark.parametrize("page", [True, False])
def test_a_port_that_is_taken_is_told_before_the_model_runs(tiny_predictor: Predictor, page: bool) -> None:
    with pytest.raises(InputError, match=r"nowhere\.invalid is no address of this machine"):
        app.listening("nowhere.invalid", 0)
    with app.listening("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        before = threading.active_count()
        with pytest.raises(InputError, match=rf"The port {port} of 127\.0\.0\.1 cannot be used"):
            (serve if page else app.serve)(tiny_predictor, port=port)
        assert threading.active_count() == before


def test_a_closed_terminal_is_not_taken_for_a_taken_port(
    tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("gradio.Blocks.launch", launch)
    with pytest.raises(BrokenPipeError):
        serve(tiny_predictor)


@pytest.mark.parametrize(("path", "status"), [("/v1/regions", 413), ("/v1/nothing", 404)])
def test_a_client_that_closes_its_connection_hears_why_it_was_refused(address: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    headers = {"Connection": "close", "Content-Type": "application/json"}
    connection.request("POST", path, bytes(4 * 10**7), headers)
    answer = connection.getresponse()
    assert (answer.status, set(json.load(answer))) == (status, {"error"})
