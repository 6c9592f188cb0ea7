"""What clients send or name by a URL: where it lies, and how much of it is read."""

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from dynrefer.errors import InputError
from dynrefer.ui import uploads

URL = "https://photographs.example/a%20dog.jpg"


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> uploads.Connect:
    async def connect(host: str) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(answer)

    return connect


def fetched(answer: Callable[[httpx.Request], httpx.Response], url: str = URL) -> bytes:
    return asyncio.run(uploads.fetch(url, answering(answer)))


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
    assert sent <= uploads.MAX_FILE_BYTES + 2_000_000


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
        asyncio.run(uploads.fetch(f"https://{host}/a.jpg"))


def test_a_download_lies_below_its_folder_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "public_transport", answering(lambda request: httpx.Response(200, content=b"x")))
    path = Path(asyncio.run(uploads.download("https://photographs.example/..%2F..%2Fa%20dog.jpg", str(tmp_path))))
    assert tmp_path in path.parents
    assert path.name == "a dog.jpg"
    assert path.read_bytes() == b"x"


def test_a_data_url_is_read() -> None:
    assert uploads.read_data_url("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"


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
        uploads.read_data_url(url)


def folder(temporary: Path, **environment: str) -> Path:
    """Where a program keeps uploads that imports nothing but this module."""
    program = (
        "import importlib.util, os, sys;"
        f"spec = importlib.util.spec_from_file_location('uploads', {uploads.__file__!r});"
        "uploads = importlib.util.module_from_spec(spec); spec.loader.exec_module(uploads);"
        "uploads.use_own_folder(); print(os.environ['GRADIO_TEMP_DIR'])"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    inherited |= {"PYTHONPATH": str(Path(uploads.__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "TMPDIR": str(temporary), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(run.stdout.strip())


def test_uploads_lie_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "gradio").write_text("somebody else's")
    own = folder(tmp_path)
    assert own.parent == tmp_path.resolve()
    assert own.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_ours_is_not_used(tmp_path: Path) -> None:
    taken = folder(tmp_path)
    taken.rmdir()
    taken.write_text("somebody else's")
    other = folder(tmp_path)
    assert other != taken
    assert other.is_dir()


def test_a_folder_that_was_named_is_used(tmp_path: Path) -> None:
    assert folder(tmp_path, GRADIO_TEMP_DIR="/somewhere/else") == Path("/somewhere/else")
