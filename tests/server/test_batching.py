"""Questions of several clients share passes of the network, and nobody's answer is another's."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from dynrefer.photo import Photo
from dynrefer.predictor import Predictor
from dynrefer.question import Question
from dynrefer.server.app import build_service
from dynrefer.server.batching import Batcher
from dynrefer.server.intake import Room
from dynrefer.server.metrics import Metrics
from dynrefer.server.service import MOST_REQUESTS
from tests.server.conftest import BOX, FakePredictor, form, picture

Clients = Callable[[httpx.AsyncClient], Awaitable[Any]]


def together(predictor: Any, clients: Clients) -> Any:
    """What `clients` returns, all of whose requests meet in one service."""

    async def run() -> Any:
        transport = httpx.ASGITransport(build_service(predictor, token=""))
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=300) as client:
            return await clients(client)

    return asyncio.run(run())


def box(place: int) -> list[int]:
    return [place, 5, place + 30, 45]


@pytest.fixture
def held(fake: FakePredictor) -> Iterator[FakePredictor]:
    """A predictor whose network is busy until `go_on` is set."""
    fake.go_on.clear()
    return fake


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(300):
        while not condition():
            await asyncio.sleep(0.001)


def test_single_questions_of_many_clients_share_passes_of_eight(held: FakePredictor) -> None:
    async def clients(client: httpx.AsyncClient) -> list[Any]:
        asked = [asyncio.create_task(client.post("/v1/regions", **form([box(place)]))) for place in range(36)]
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        await until(lambda: service.batcher.waiting == 36)
        held.go_on.set()
        return [answer.json()["regions"][0]["box"] for answer in await asyncio.gather(*asked)]

    assert together(held, clients) == [box(place) for place in range(36)]
    assert max(held.passes) == 8
    assert len(held.passes) <= 7


def test_a_question_to_an_idle_network_waits_for_no_other(fake: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynrefer.server.batching.GATHER_SECONDS", 3600)

    async def clients(client: httpx.AsyncClient) -> int:
        async with asyncio.timeout(60):
            return (await client.post("/v1/regions", **form([BOX]))).status_code

    assert together(fake, clients) == 200


def test_a_long_question_is_that_of_one_asker(fake: FakePredictor) -> None:
    async def clients(client: httpx.AsyncClient) -> None:
        await client.post("/v1/regions", **form([box(place) for place in range(40)]))

    together(fake, clients)
    assert (sum(fake.passes), set(fake.askers)) == (40, {1})


def test_answers_of_shared_passes_are_those_of_questions_asked_alone(predictor: Predictor) -> None:
    boxes = [box(place) for place in range(8)]
    alone = [predictor.refer(picture(), own).to_dict() for own in boxes]

    async def clients(client: httpx.AsyncClient) -> list[Any]:
        answers = await asyncio.gather(*(client.post("/v1/regions", **form([own])) for own in boxes))
        return [answer.json()["regions"][0] for answer in answers]

    for shared, own in zip(together(predictor, clients), alone, strict=True):
        assert (shared["box"], shared["caption"]["text"]) == (own["box"], own["caption"]["text"])
        for kind in ("classes", "tags", "attributes"):
            assert [entry["name"] for entry in shared[kind]] == [entry["name"] for entry in own[kind]]
            assert [entry["score"] for entry in shared[kind]] == pytest.approx(
                [e["score"] for e in own[kind]], abs=1e-4
            )


def test_questions_with_other_options_get_passes_of_their_own(fake: FakePredictor) -> None:
    async def clients(client: httpx.AsyncClient) -> None:
        asked = [form([BOX], {"num_views": 1 + place % 2}) for place in range(4)]
        await asyncio.gather(*(client.post("/v1/regions", **one) for one in asked))

    together(fake, clients)
    assert sum(fake.passes) == 4
    assert max(fake.passes) <= 2


def test_a_single_question_does_not_wait_for_the_whole_of_a_long_one(held: FakePredictor) -> None:
    order: list[str] = []

    async def ask(client: httpx.AsyncClient, name: str, boxes: list[list[int]]) -> None:
        await client.post("/v1/regions", **form(boxes))
        order.append(name)

    async def clients(client: httpx.AsyncClient) -> None:
        long = asyncio.create_task(ask(client, "long", [box(place % 80) for place in range(200)]))
        await until(held.begun.is_set)
        short = asyncio.create_task(ask(client, "short", [BOX]))
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        await until(lambda: service.batcher.waiting == 201)
        held.go_on.set()
        await asyncio.gather(long, short)

    together(held, clients)
    assert order == ["short", "long"]


def test_a_single_question_begins_beside_any_number_of_long_ones(held: FakePredictor) -> None:
    async def clients(client: httpx.AsyncClient) -> None:
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        long = [[box(place) for place in range(k, k + 24)] for k in range(4)]
        asked = [asyncio.create_task(client.post("/v1/regions", **form(boxes))) for boxes in long]
        await until(lambda: service.batcher.waiting == 96)
        asked.append(asyncio.create_task(client.post("/v1/regions", **form([BOX]))))
        await until(lambda: len(held.askers) == 3)  # two parts of long ones, and the single one
        held.go_on.set()
        await asyncio.gather(*asked)

    together(held, clients)
    assert max(held.askers) > 1  # of a part of one question, those who wait behind it


def test_a_full_house_is_429_and_says_when_to_come_again(held: FakePredictor) -> None:
    async def clients(client: httpx.AsyncClient) -> httpx.Response:
        asked = [asyncio.create_task(client.post("/v1/regions", **form([BOX]))) for _ in range(MOST_REQUESTS)]
        service = client._transport.app.state.service  # type: ignore[attr-defined]
        await until(lambda: service.batcher.waiting == MOST_REQUESTS)
        refused = await client.post("/v1/regions", **form([BOX]))
        held.go_on.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        return refused

    refused = together(held, clients)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_what_a_client_that_left_asked_for_is_not_computed(held: FakePredictor) -> None:
    messages: list[str] = []

    async def run() -> None:
        app = build_service(held, token="")  # type: ignore[arg-type]
        service = app.state.service
        left = asyncio.Event()
        asked = asyncio.create_task(post(app, json_body([box(place % 80) for place in range(100)]), left, messages))
        await until(held.begun.is_set)
        left.set()
        await asked
        held.go_on.set()
        await until(lambda: service.batcher.waiting == 0 and not service.batcher._passes)

    asyncio.run(run())
    assert sum(held.passes) <= 24
    assert messages == ["499"]


def json_body(boxes: list[list[int]]) -> bytes:
    return json.dumps({"image": base64.b64encode(picture()).decode(), "boxes": boxes}).encode()


async def post(app: Any, body: bytes, left: asyncio.Event, statuses: list[str], length: int | None = None) -> None:
    """One request of a client that leaves when `left` is set; `length` states more than is sent."""
    waiting = [{"type": "http.request", "body": body, "more_body": length is not None}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(str(message["status"]))

    headers = [(b"content-type", b"application/json"), (b"content-length", str(length or len(body)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/regions", "headers": headers, "query_string": b""}
    await app(scope | {"root_path": "", "http_version": "1.1"}, receive, send)


def test_a_body_that_ends_before_its_length_is_400(fake: FakePredictor) -> None:
    statuses: list[str] = []

    async def run() -> None:
        left = asyncio.Event()
        left.set()
        await post(build_service(fake, token=""), b'{"boxes":', left, statuses, length=100)  # type: ignore[arg-type]

    asyncio.run(run())
    assert statuses == ["400"]


def test_a_body_of_100_megabytes_without_a_length_is_413_before_it_is_read_whole(fake: FakePredictor) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(2**20)

    async def clients(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/regions", content=body(), headers={"Content-Type": "application/json"})

    assert together(fake, clients).status_code == 413
    assert sent < 40


def test_a_stated_length_of_100_megabytes_is_413_without_reading(fake: FakePredictor) -> None:
    statuses: list[str] = []
    asyncio.run(post(build_service(fake, token=""), b"", asyncio.Event(), statuses, length=10**8))  # type: ignore[arg-type]
    assert statuses == ["413"]


def test_a_stream_that_nobody_reads_keeps_no_place(fake: FakePredictor) -> None:
    async def run() -> None:
        app = build_service(fake, token="")  # type: ignore[arg-type]
        service, left = app.state.service, asyncio.Event()
        body = json_body([box(place % 80) for place in range(40)])[:-1] + b', "stream": true}'
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await left.wait()  # a full buffer

        scope = {"type": "http", "method": "POST", "path": "/v1/regions", "query_string": b"", "root_path": ""}
        scope |= {"headers": [(b"content-type", b"application/json")], "http_version": "1.1"}
        asked = asyncio.create_task(app(scope, receive, send))
        await until(lambda: sum(fake.passes) == 40 and service._requests == 0)
        left.set()
        await asked

    asyncio.run(run())


def test_every_asker_of_a_pass_that_failed_is_told(fake: FakePredictor) -> None:
    fake.error = RuntimeError("broken")

    async def run() -> list[Any]:
        batcher = Batcher(lambda asked, question, waiting: list(fake.refer_many(asked)), Metrics())
        photo = Photo.open(picture())

        async def ask() -> None:
            async for _ in batcher.refer(photo, [(1, 1, 9, 9)], Question.checked()):
                pass

        return await asyncio.gather(ask(), ask(), return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["broken", "broken"]


def test_room_for_pixels_is_waited_for_and_given_back() -> None:
    content = picture((1000, 1000))  # a megapixel
    order: list[str] = []

    async def hold(room: Room, name: str, release: asyncio.Event) -> None:
        async with room.of(content):
            order.append(f"{name} in")
            await release.wait()
            order.append(f"{name} out")

    async def run() -> None:
        room, release = Room(1.5), asyncio.Event()
        both = asyncio.gather(hold(room, "first", release), hold(room, "second", release))
        await until(lambda: bool(order))
        release.set()
        await both

    asyncio.run(run())
    assert order == ["first in", "first out", "second in", "second out"]
