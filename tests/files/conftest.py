"""Photographs, and the files that others wrote about them, as they came with reports about tools of this kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynrefer.__main__ import main

CAT, PUPPY = [10, 4, 60, 40], [20, 10, 70, 50]
"""Boxes x1, y1, x2, y2 on photographs of 80 x 60 pixels."""
CAT_XYWH, PUPPY_XYWH = [10, 4, 50, 36], [20, 10, 50, 40]
IMAGES = [
    {"id": 1, "file_name": "cat.png", "width": 80, "height": 60},
    {"id": 2, "file_name": "puppy.png", "width": 80, "height": 60},
]
ANNOTATIONS = [
    {"id": 1, "image_id": 1, "category_id": 1, "bbox": CAT_XYWH, "caption": "a cat here"},
    {"id": 2, "image_id": 2, "category_id": 2, "bbox": PUPPY_XYWH, "caption": "a dog here"},
]
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def save(path: Path, size: tuple[int, int] = (80, 60), orientation: int = 1) -> Path:
    """A photograph like no other, of a stored size and with an EXIF orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(list(str(path).encode()))
    image = Image.fromarray(chance.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def write(path: Path, content: Any, encoding: str = "utf-8") -> Path:
    """A file with this text, or with this as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    return path


def without(records: list[dict[str, Any]], *keys: str, **changed: Any) -> list[dict[str, Any]]:
    """The records less some entries and with others changed."""
    return [{key: value for key, value in (record | changed).items() if key not in keys} for record in records]


def coco(
    images: list[Any] = IMAGES, annotations: list[Any] = ANNOTATIONS, categories: Any = CATEGORIES
) -> dict[str, Any]:
    """A COCO file."""
    return {"images": images, "annotations": annotations, "categories": categories}


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, the JSON it wrote, and what it said."""

    code: int
    answers: list[dict[str, Any]]
    out: str
    err: str

    @property
    def asked(self) -> list[tuple[str, list[float]]]:
        """The photograph and box of each answer."""
        return [(answer["image"], answer["box"]) for answer in self.answers]


Refer = Callable[..., Ran]
Command = Callable[..., Ran]


@pytest.fixture
def command(tiny_checkpoint: Path, loaded: None, capsys: pytest.CaptureFixture[str]) -> Command:
    """Any command of the command line; those that need a model have the tiny one."""

    def run(*words: object) -> Ran:
        model = [] if words[0] == "data" else ["--model", str(tiny_checkpoint), "--device", "cpu"]
        code = main([*map(str, words), *model])
        said = capsys.readouterr()
        return Ran(code, [], said.out, said.err)

    return run


@pytest.fixture
def refer(command: Command, tmp_path: Path) -> Refer:
    """The command `refer` with its answers."""

    def run(*words: object) -> Ran:
        file = tmp_path / "answers.json"
        file.unlink(missing_ok=True)
        ran = command("refer", *words, "--json", file)
        answers = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return Ran(ran.code, answers, ran.out, ran.err)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with cat.png and puppy.png."""
    for image in IMAGES:
        save(tmp_path / "photos" / str(image["file_name"]))
    return tmp_path / "photos"


def asked_by_evaluate(out: Path) -> dict[str, dict[str, Any]]:
    """The predictions of a run by photograph and box."""
    content = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    return {record["key"]: record["prediction"] for record in content["predictions"]}


def samples(out: Path) -> list[dict[str, Any]]:
    """The training samples that `data build` wrote."""
    return [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
