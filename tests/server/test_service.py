"""What clients get from the routes, whatever they send."""

import base64
import json
import threading
from dataclasses import fields
from typing import Any

import pytest
from starlette.testclient import TestClient

from dynrefer.predictor import Predictor
from dynrefer.question import MAX_CLASSES, MOST_NAMES
from dynrefer.results import RegionResult
from dynrefer.server.app import HEALTH, METRICS, MODELS, PATHS, PROPOSE, READY, REGIONS, build_service
from dynrefer.server.fetching import MAX_FILE_BYTES
from dynrefer.server.schema import EXAMPLE_REGION, Refusal
from tests.server.conftest import BOX, FakePredictor, ask, form, picture


def test_a_form_is_answered_box_by_box_in_their_order(client: TestClient) -> None:
    boxes = [[place, 5, place + 20, 40] for place in range(20)]
    answer = ask(client, boxes).json()
    assert [region["box"] for region in answer["regions"]] == boxes
    assert answer["model"] == "fake"


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_json_with_base64_is_answered_as_the_form_is(client: TestClient, head: str) -> None:
    body = {"image": head + base64.b64encode(picture()).decode(), "boxes": [BOX]}
    assert client.post("/v1/regions", json=body).json() == ask(client, [BOX]).json()


def test_a_real_model_answers_with_the_fields_of_the_schema(predictor: Predictor) -> None:
    with TestClient(build_service(predictor, token="")) as client:
        (region,) = ask(client, [BOX], {"classes": ["dog", "cup"]}).json()["regions"]
    assert set(region) == {field.name for field in fields(RegionResult)} == set(EXAMPLE_REGION)
    assert {entry["name"] for entry in region["classes"]} == {"dog", "cup"}


def test_a_stream_brings_every_region_and_then_says_that_it_is_done(client: TestClient) -> None:
    boxes = [[place, 5, place + 20, 40] for place in range(10)]
    answer = ask(client, boxes, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *regions, done = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    assert {name for name, _ in regions} == {"event: region"}
    data = [json.loads(line.removeprefix("data: ")) for _, line in regions]
    assert [(entry["index"], entry["region"]["box"]) for entry in data] == list(enumerate(boxes))
    assert done == ["event: done", 'data: {"regions": 10, "model": "fake"}']


def test_a_stream_whose_boxes_are_wrong_is_refused_before_it_begins(client: TestClient) -> None:
    assert ask(client, [[500, 500, 600, 600]], stream="true").status_code == 422


def test_an_error_inside_a_stream_is_its_last_event(client: TestClient, fake: FakePredictor) -> None:
    fake.error = RuntimeError("secret")
    answer = ask(client, [BOX], stream="true")
    assert answer.text.startswith('event: error\ndata: {"error": "Something went wrong here')


@pytest.mark.parametrize(
    ("boxes", "options", "told"),
    [
        ([], None, "There is no box"),
        ([[500, 500, 600, 600]], None, "outside"),
        ([BOX, [1, 2, 3]], None, "Box 2 of 2"),
        ([BOX], {"tag_threshold": 2}, "The tag threshold must be a number from 0 to 1"),
        ([BOX], {"colour": "red"}, 'There is no option "colour"'),
        ([BOX], {"num_views": 4}, "The number of views must be a whole number from 1 to 3"),
        ([BOX], [1], "The options must be an object"),
        ([BOX], {"classes": ["\ud800"]}, "The class list must be a list of texts"),
    ],
)
def test_boxes_and_options_of_no_use_are_422_with_one_sentence(
    client: TestClient, boxes: Any, options: Any, told: str
) -> None:
    answer = ask(client, boxes, options)
    assert answer.status_code == 422
    assert set(answer.json()) == set(Refusal.model_fields)
    assert told.lower() in answer.json()["error"].lower()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"boxes": [BOX]}, "either image, in base64, or url"),
        ({"boxes": [BOX], "image": "AAAA", "url": "https://example.org/a.jpg"}, "either image, in base64, or url"),
        ({"image": "AAAA"}, "There is no box"),
        ({"boxes": [BOX], "image": "a*"}, "Image cannot be decoded from base64"),
        ({"boxes": [BOX], "image": "AAAA"}, "is not an image that can be read"),
        ({"boxes": [BOX], "image": 7}, "Image must be the photograph's file in base64"),
        ({"boxes": [BOX], "image": "AAAA", "photo": 1}, 'There is no field "photo"'),
        ({"boxes": [BOX], "image": "AAAA", "stream": "maybe"}, "Stream must be true or false"),
        ({"boxes": [BOX], "image": "https://example.org/a.jpg"}, "give a web address as url"),
        ([1], "The body must be a JSON object"),
    ],
)
def test_json_of_no_use_is_422_with_one_sentence(client: TestClient, body: Any, told: str) -> None:
    answer = client.post("/v1/regions", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.jpg",
        "https://127.0.0.1/a.jpg",
        "https://[::1]/a.jpg",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "https://[::1",
    ],
)
def test_urls_that_are_not_https_or_not_public_are_refused(client: TestClient, url: str) -> None:
    answer = client.post("/v1/regions", json={"url": url, "boxes": [BOX]})
    assert answer.status_code == 422
    assert any(words in answer.json()["error"] for words in ("https://", "no public address", "is the URL right"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"boxes": [[1, 2', "The body is not JSON (line 1"),
        (b'{"boxes": [], "boxes": [[1, 2, 3, 4]]}', '"boxes" stands twice in one object'),
        (b"[" * 100_000, "The body is not JSON that can be read (it is nested too deeply)"),
        (b"9" * 5000, "The body is not JSON that can be read (a number has thousands of digits)"),
        (b'{"\\ud800": 1}', 'There is no field "\\ud800"'),
    ],
    ids=["cut", "twice", "deep", "long number", "half a letter"],
)
def test_a_body_that_is_no_json_is_answered_with_a_sentence(client: TestClient, body: bytes, told: str) -> None:
    answer = client.post("/v1/regions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert told in answer.json()["error"]


def test_a_field_of_a_form_that_cannot_be_used_is_told_how(client: TestClient) -> None:
    boxes = client.post("/v1/regions", files={"file": picture()}, data={"boxes": "64,255,383,382"}).json()
    assert "send for example [[64, 255, 383, 382]]" in boxes["error"]
    photo = client.post("/v1/regions", files={"image": picture()}, data={"boxes": "[]"}).json()
    assert 'a photograph is sent as "file"' in photo["error"]


def test_a_compressed_body_is_415(client: TestClient) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post("/v1/regions", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, "Content-Encoding" in answer.json()["error"]) == (415, True)


def test_a_form_that_is_cut_off_is_answered_with_a_sentence(client: TestClient) -> None:
    request = client.build_request("POST", "/v1/regions", **form([BOX]))
    headers = {"Content-Type": request.headers["Content-Type"]}
    answer = client.post("/v1/regions", content=request.read()[:-100], headers=headers)
    assert answer.status_code == 422
    assert "cut off" in answer.json()["error"]


def test_other_kinds_of_bodies_are_415(client: TestClient) -> None:
    assert client.post("/v1/regions", content=picture(), headers={"Content-Type": "image/png"}).status_code == 415


def test_a_photograph_over_the_limit_is_413_however_it_is_sent(client: TestClient) -> None:
    large = bytes(MAX_FILE_BYTES + 3)
    for answer in (
        ask(client, [BOX], content=large),
        client.post("/v1/regions", json={"image": base64.b64encode(large).decode(), "boxes": [BOX]}),
    ):
        assert answer.status_code == 413
        assert "20 MB" in answer.json()["error"]


def test_an_error_of_ours_is_500_and_does_not_tell_what_it_was(client: TestClient, fake: FakePredictor) -> None:
    fake.error = RuntimeError("secret")
    answer = ask(client, [BOX])
    assert answer.status_code == 500
    assert "secret" not in answer.text


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "Basic c2VjcmV0", "Bearer sécret"])
def test_without_the_token_v1_and_metrics_are_401(fake: FakePredictor, given: str | None) -> None:
    client = TestClient(build_service(fake, token="secret"))  # type: ignore[arg-type]
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    answers = [client.post("/v1/regions", headers=headers)]
    answers += [client.get(path, headers=headers) for path in ("/v1/models", "/metrics")]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"


def test_the_token_of_the_environment_opens_v1(fake: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNREFER_TOKEN", "secret")
    client = TestClient(build_service(fake))  # type: ignore[arg-type]
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_ready_is_503_until_the_model_has_answered_once(client: TestClient, fake: FakePredictor) -> None:
    before = client.get("/ready").status_code
    fake.warmed.set()
    service: Any = client.app
    assert service.state.service.warm.wait(300)
    assert (before, client.get("/ready").status_code) == (503, 200)


@pytest.mark.usefixtures("client")
def test_a_program_that_ends_waits_for_the_first_answer_in_which_it_would_abort() -> None:
    warming = [thread.daemon for thread in threading.enumerate() if thread.name == "warm-up"]
    assert warming and not any(warming)


def test_health_and_models_tell_what_runs(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["id"], model["fingerprint"], model["num_views"]) == ("fake", "0123456789abcdef", 3)
    assert model["segmenter"] is None


def test_metrics_count_requests_regions_stages_and_refusals(client: TestClient) -> None:
    ask(client, [BOX, BOX])
    ask(client, [])
    client.get("/v1/nothing")
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'dynrefer_requests_total{path="/v1/regions",status="200"} 1.0',
        'dynrefer_requests_total{path="/v1/regions",status="422"} 1.0',
        'dynrefer_requests_total{path="other",status="404"} 1.0',
        "dynrefer_regions_total 2.0",
        'dynrefer_stage_seconds_total{stage="encode"} 0.002',
        'dynrefer_refusals_total{reason="values"} 1.0',
        "dynrefer_open_requests 0.0",
        "dynrefer_waiting_regions 0.0",
    ):
        assert line in lines


def test_the_openapi_document_has_every_route_with_examples(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]) == set(PATHS) - {"/v1/openapi.json"}
    post = document["paths"]["/v1/regions"]["post"]
    assert {"multipart/form-data", "application/json"} == set(post["requestBody"]["content"])
    example = post["responses"]["200"]["content"]["application/json"]["example"]["regions"][0]
    assert set(EXAMPLE_REGION) - set(example) == {"prompt", "mask"}  # FastAPI leaves nulls out of its document
    region = document["components"]["schemas"]["RegionResult"]["properties"]
    assert region["none_of_these"]["description"] == "Probability that no name of the class list fits."
    assert set(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == {"text/plain"}


def test_as_many_class_names_are_taken_as_the_document_says(client: TestClient) -> None:
    schemas = json.dumps(client.get("/v1/openapi.json").json())
    assert f"at most {MAX_CLASSES} ({MOST_NAMES} over HTTP and MCP)" in schemas
    names = [f"kind {number}" for number in range(MOST_NAMES + 1)]
    assert ask(client, [BOX], {"classes": names[1:]}).status_code == 200
    refused = ask(client, [BOX], {"classes": names})
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "The class list may hold at most 1000 words; 1001 were given.",
    )


@pytest.mark.parametrize(("token", "ways"), [("secret", [{"HTTPBearer": []}]), ("", [{"HTTPBearer": []}, {}])])
def test_the_openapi_document_asks_for_the_token_where_there_is_one(
    fake: FakePredictor, token: str, ways: list[dict[str, list[str]]]
) -> None:
    with TestClient(build_service(fake, token=token)) as client:  # type: ignore[arg-type]
        paths = client.get("/v1/openapi.json").json()["paths"]
    told = {path: asked.get("security") for path, methods in paths.items() for asked in methods.values()}
    assert told == dict.fromkeys((REGIONS, PROPOSE, MODELS, METRICS), ways) | dict.fromkeys((HEALTH, READY))


def test_paths_and_methods_that_do_not_exist_are_answered_in_json(client: TestClient) -> None:
    assert client.get("/v1/nothing").json() == {
        "error": "There is nothing at /v1/nothing; /v1/openapi.json lists what there is."
    }
    assert client.get("/v1/regions").json() == {"error": "/v1/regions is asked by POST, not by GET."}
    assert client.head("/health").status_code == 200
    assert client.get("/v1/regions").status_code == 405
