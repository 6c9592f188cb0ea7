"""What the load tests ask, over the page's endpoints and over `/v1`, and when two answers are the same."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client, handle_file

from benchmarks.page import Box, examples, photographs

LONGEST = 600  # seconds that a program waits


@dataclass(frozen=True)
class Question:
    """What one request asks: an endpoint, photographs, and a list of boxes for each."""

    endpoint: str
    photos: tuple[Path, ...]
    boxes: tuple[tuple[Box, ...], ...]

    @property
    def is_single(self) -> bool:
        """Whether it is about one box."""
        return sum(map(len, self.boxes)) == 1

    @property
    def data(self) -> tuple[Any, Any, None]:
        """The arguments of the endpoint."""
        files = [handle_file(photo) for photo in self.photos]
        return (files, self.boxes, None) if self.endpoint == "/refer_many" else (files[0], self.boxes[0], None)


def questions() -> list[Question]:
    """Single boxes, all boxes of the gallery on each photograph that holds some, and several photographs at once."""
    boxes: dict[Path, tuple[Box, ...]] = {}
    for photograph, box in examples():
        boxes[photograph] = (*boxes.get(photograph, ()), box)
    single = [Question("/refer", (photograph,), ((box,),)) for photograph, box in examples()]
    batches = [Question("/refer", (photo,), (several * 4,)) for photo, several in boxes.items() if len(several) > 1]
    three = photographs()[:3]
    many = Question("/refer_many", tuple(photo for photo, _ in three), tuple((box,) for _, box in three))
    return [*single, *batches, many]


def grid(count: int) -> tuple[Box, ...]:
    """Different boxes on any photograph of the gallery."""
    return tuple((4.0 * place, 2.0 * place, 4.0 * place + 150, 2.0 * place + 120) for place in range(count))


def ask(client: Client, question: Question) -> Any:
    """The answer without what differs from run to run."""
    return plain(client.predict(*question.data, api_name=question.endpoint))


def plain(answer: Any) -> Any:
    """Without times."""
    if isinstance(answer, list):
        return [plain(part) for part in answer]
    return {key: value for key, value in answer.items() if key != "timing_ms"}


def same(first: Any, second: Any) -> bool:
    """Equal, numbers to a thousandth: two threads may add floats in another order."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return abs(first - second) < 1e-3 if isinstance(first, float) else bool(first == second)


def over_v1(address: str, content: bytes, boxes: Sequence[Box]) -> Any:
    """The answer of `/v1/regions` without times. Raises httpx.HTTPStatusError where it is refused."""
    form = {"boxes": json.dumps(boxes)}
    answer = httpx.post(f"{address}/v1/regions", files={"file": content}, data=form, timeout=LONGEST)
    return plain(answer.raise_for_status().json()["regions"])
