"""Tiny data sets in the official formats, generated anew for every test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dynrefer.datasets.sample import Sample

SIZE = (100, 80)
MakeCoco = Callable[..., Path]


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def edit(file: Path, change: Any) -> None:
    """Change the content of a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    write_json(file, content)


def texts(sample: Sample, source: str) -> list[str]:
    """The sample's texts of one source."""
    return [text.text for text in sample.texts if text.source == source]


def write_photograph(file: Path, size: tuple[int, int] = SIZE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(file)


def coco_content(
    images: list[int], boxes: list[tuple[int, int, list[float]]], names: dict[int, str], **extra: Any
) -> dict[str, Any]:
    """An instances file: `boxes` are (image id, category id, x y width height), numbered from 1."""
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": SIZE[0], "height": SIZE[1], **extra} for n in images],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
            for number, (image, category, box) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
    }


CAPTIONS = {
    1: ["A man sits on a wooden bench while a dog runs around.", "A dog and a man in the park."],
    2: ["Two cats sleep next to each other."],
}
BOXES: list[tuple[int, int, list[float]]] = [
    (1, 1, [10, 10, 40, 60]),
    (1, 15, [0, 40, 100, 40]),
    (1, 18, [60, 50, 10, 8]),
    (2, 17, [0, 0, 50, 80]),
    (2, 17, [50, 0, 50, 80]),
]
NAMES = {1: "person", 15: "bench", 17: "cat", 18: "dog"}
ATTRIBUTES = ("color:brown", "color:white", "material:wood/wooden", "gender:male/man", "clothes color:red")


@pytest.fixture
def coco_root(tmp_path: Path) -> Path:
    """Image 1 (train): a man on a bench and a dog; image 2 (val): two cats."""
    root = tmp_path / "coco"
    write_json(root / "annotations" / "instances.json", coco_content([1, 2], BOXES, NAMES))
    captions = [{"image_id": image, "caption": text} for image, texts in CAPTIONS.items() for text in texts]
    write_json(root / "annotations" / "captions.json", {"annotations": captions})
    write_json(root / "annotations" / "splits.json", {"train": [1], "val": [2]})
    labels = [
        {"id": 1, "instance_id": 1, "image_id": 1, "category_id": 1, "bbox": BOXES[0][2], "att_vec": [0, 0, -1, 1, 1]},
        {
            "id": 2,
            "instance_id": 9,
            "image_id": 1,
            "category_id": 15,
            "bbox": BOXES[1][2],
            "att_vec": [1, 0, 1, -1, -1],
        },
    ]
    ovad = {
        "attributes": [{"id": k, "name": name} for k, name in enumerate(ATTRIBUTES)],
        "categories": [{"id": number, "name": name} for number, name in NAMES.items()],
        "annotations": labels,
    }
    write_json(root / "annotations" / "ovad.json", ovad)
    for image in (1, 2):
        write_photograph(root / "images" / f"{image}.png")
    return root
