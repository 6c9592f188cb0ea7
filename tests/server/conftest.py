"""The service around a predictor that answers at once, or when it is told to."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from dynrefer.errors import InputError
from dynrefer.proposals import Proposal
from dynrefer.results import RegionResult
from dynrefer.server.app import build_service

BOX = [10, 10, 60, 50]


@dataclass
class FakePredictor:
    """Names every region by its box, and remembers how many regions came in each pass, and how many waited for it."""

    passes: list[int] = field(default_factory=list)
    askers: list[int] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    warmed: threading.Event = field(default_factory=threading.Event)
    mask: np.ndarray | None = None
    segmenter: Any = None
    checkpoint: Any = field(default_factory=lambda: SimpleNamespace(fingerprint="0123456789abcdef"))
    model_name, num_views, default_mode, tag_threshold, device = "fake", 3, "dynamic", 0.5, "cpu"

    def refer_many(self, requests: Any, askers: int = 1, **_: Any) -> Iterator[list[RegionResult] | InputError]:
        self.begun.set()
        self.askers.append(askers)
        assert self.go_on.wait(300)
        self.passes.append(sum(len(boxes) for _, boxes in requests))
        if self.error is not None:
            raise self.error
        for _, boxes in requests:
            yield [RegionResult(box, None, (), (), (), (), {"encode": 1.0}, "fake") for box in boxes]

    def refer(self, *_: Any, **__: Any) -> RegionResult:
        raise NotImplementedError  # the service gathers questions, and asks about many

    def propose(self, *_: Any, words: Any = None, **__: Any) -> list[Proposal]:
        return [Proposal((1.0, 2.0, 30.0, 40.0), 0.9, dict.fromkeys(words or (), 0.9))]

    def pointed_at(self, *_: Any) -> Proposal:
        return Proposal((10.0, 10.0, 60.0, 50.0), 0.9, mask=self.mask)

    def warm_up(self) -> float:
        assert self.warmed.wait(300)
        return 0.0


@pytest.fixture
def fake() -> Iterator[FakePredictor]:
    predictor = FakePredictor()
    predictor.go_on.set()
    yield predictor
    predictor.go_on.set()
    predictor.warmed.set()


@pytest.fixture
def client(fake: FakePredictor) -> Iterator[TestClient]:
    with TestClient(build_service(fake, token="")) as client:  # type: ignore[arg-type]
        yield client


def picture(size: tuple[int, int] = (120, 90), kind: str = "PNG") -> bytes:
    """An image file with something different everywhere."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def form(boxes: Any, options: Any = None, content: bytes | None = None, **more: str) -> dict[str, Any]:
    """Arguments of a client's `post` that send a form."""
    data = {"boxes": json.dumps(boxes), **more}
    if options is not None:
        data["options"] = json.dumps(options)
    return {"files": {"file": ("photo.png", picture() if content is None else content)}, "data": data}


def ask(client: TestClient, boxes: Any, options: Any = None, **more: Any) -> httpx.Response:
    """POST /v1/regions about the picture."""
    return client.post("/v1/regions", **form(boxes, options, **more))
