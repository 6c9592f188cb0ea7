"""How the page is served."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from gradio import http_server

from dynrefer.server.app import listening
from dynrefer.ui.page import PatientServer


class Clock:
    """Time that leaps: Gradio loses its patience at the second look, which is then known."""

    def __init__(self) -> None:
        self.seconds, self.given_up = 0, threading.Event()

    def time(self) -> int:
        """Seconds, a minute more with every look."""
        self.seconds += 60
        if self.seconds > 60:
            self.given_up.set()
        return self.seconds


def served(lifespan: Any, port: int = 0) -> PatientServer:
    """A server of nothing."""
    return PatientServer(uvicorn.Config(FastAPI(lifespan=lifespan), port=port, log_level="critical"))


def test_a_server_that_starts_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(http_server, "time", SimpleNamespace(time=clock.time, sleep=lambda seconds: None))

    @asynccontextmanager
    async def slow(_: FastAPI) -> AsyncIterator[None]:
        assert clock.given_up.wait(60)
        yield

    server = served(slow)
    server.run_in_thread()
    assert server.started
    server.close()


def test_no_stub_for_editors_is_written_beside_a_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_component.py").write_text("import gradio\n\nclass Own(gradio.HTML):\n    EVENTS = ['drawn']\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_module("own_component").Own.drawn
    assert list(tmp_path.glob("*.pyi")) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of a thread that is over
def test_a_server_that_cannot_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "time", SimpleNamespace(time=Clock().time, sleep=lambda seconds: None))
    with listening("127.0.0.1", 0) as taken, pytest.raises(http_server.ServerFailedToStartError):
        served(None, taken.getsockname()[1]).run_in_thread()
