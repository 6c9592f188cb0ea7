"""Photographs that others name by a URL or write as text: how much is read, and from where."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from dynrefer.errors import InputError
from dynrefer.server import fetching

URL = "https://photographs.example/a%20dog.jpg"


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> fetching.Connect:
    async def connect(host: str) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(answer)

    return connect


def fetched(answer: Callable[[httpx.Request], httpx.Response], url: str = URL) -> bytes:
    return asyncio.run(fetching.fetch(url, answering(answer)))


def test_what_is_behind_a_url_is_fetched() -> None:
    assert fetched(lambda request: httpx.Response(200, content=b"photograph")) == b"photograph"


def test_a_redirect_is_followed_and_checked_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/moved.jpg":
            return httpx.Response(200, content=str(request.url).encode())
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/moved.jpg"})

    assert fetched(answer) == b"https://elsewhere.example/moved.jpg"


def test_bytes_are_counted_while_they_come() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield bytes(1_000_000)

    with pytest.raises(InputError, match="limit is 20 MB"):
        fetched(lambda request: httpx.Response(200, content=endless()))
    assert sent <= fetching.MAX_FILE_BYTES + 2_000_000


@pytest.mark.parametrize(
    ("url", "answer", "words"),
    [
        ("http://photographs.example/a.jpg", httpx.Response(200), "begin with https"),
        ("https:///a.jpg", httpx.Response(200), "begin with https"),
        (URL, httpx.Response(404), "answered 404"),
        (URL, httpx.Response(302, headers={"Location": "http://photographs.example/"}), "begin with https"),
        (URL, httpx.Response(302, headers={"Location": URL}), "more than 5 times"),
    ],
)
def test_what_cannot_be_fetched_gets_a_sentence(url: str, answer: httpx.Response, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fetched(lambda request: answer, url)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_an_address_inside_the_house_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="has no public address"):
        asyncio.run(fetching.fetch(f"https://{host}/a.jpg"))


def test_a_data_url_is_read() -> None:
    assert fetching.read_data_url("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/png,abc", "data URL like"),
        ("data:image/png;base64,@@@", "damaged"),
        ("data:image/png;base64," + "A" * 28_000_000, "20 MB"),
    ],
)
def test_a_bad_data_url_gets_a_sentence(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fetching.read_data_url(url)
