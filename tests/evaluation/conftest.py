"""A data set of four photographs in COCO's and OVAD's formats, small enough to ask a tiny model about; one METEOR."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynrefer.evaluation.meteor import Meteor

SIZE = (120, 90)
# photograph -> boxes as (class, x, y, width, height, labels of "color:red", "color:blue", "size:big/large")
BOXES: dict[int, list[tuple[str, list[int], list[int]]]] = {
    1: [("dog", [5, 5, 80, 70], [1, 0, 1]), ("cat", [90, 50, 20, 20], [0, 1, 0])],
    2: [("car", [10, 10, 90, 60], [0, 1, -1]), ("cup", [2, 70, 15, 15], [1, 0, 0])],
    3: [("cat", [20, 10, 70, 70], [0, -1, 1])],
    4: [("dog", [0, 0, 60, 80], [1, 1, 1])],
}
CAPTIONS = {
    1: "A dog sitting on the green grass.",
    2: "A car parked beside an old house.",
    3: "A cat sleeping on a wooden table.",
    4: "A dog looking out of a window.",
}
CLASSES = ("person", "dog", "cat", "car", "cup")
ATTRIBUTES = (("color:red", "color", "head"), ("color:blue", "color", "tail"), ("size:big/large", "size", "medium"))


@pytest.fixture(scope="session")
def meteor() -> Iterator[Meteor]:
    """METEOR's Java, started once for all tests and in surroundings that would write "0,5"."""
    if shutil.which("java") is None:
        pytest.skip("METEOR and its tokenizer need Java")
    with pytest.MonkeyPatch.context() as surroundings, Meteor() as running:
        surroundings.setenv("LC_ALL", "de_DE.UTF-8")
        surroundings.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
        running.score(["a dog"], [["a dog"]])
        yield running


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """Four photographs, six boxes with classes and attributes, a caption each; all in the part 'val'."""
    root = tmp_path / "tiny_coco"
    (root / "images").mkdir(parents=True)
    instances, labels = [], []
    for image_id, boxes in BOXES.items():
        pixels = np.random.default_rng(image_id).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{image_id:012}.png")
        for name, bbox, vector in boxes:
            box = {"id": len(instances) + 1, "image_id": image_id, "category_id": CLASSES.index(name), "bbox": bbox}
            instances.append(box)
            labels.append({**box, "instance_id": box["id"], "att_vec": vector})
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    images = [
        {"id": i, "file_name": f"{i:012}.png", "width": SIZE[0], "height": SIZE[1], "boxes_complete_80": True}
        for i in BOXES
    ]
    attributes = [
        {"id": number, "name": name, "type": kind, "is_has_att": "has" if kind == "color" else "is", "freq_set": group}
        for number, (name, kind, group) in enumerate(ATTRIBUTES)
    ]
    captions = [{"id": i, "image_id": i, "caption": text} for i, text in CAPTIONS.items()]
    write(root / "annotations/instances.json", {"images": images, "annotations": instances, "categories": categories})
    write(root / "annotations/captions.json", {"images": images, "annotations": captions})
    write(
        root / "annotations/ovad.json",
        {"images": images, "annotations": labels, "categories": categories, "attributes": attributes},
    )
    write(root / "annotations/splits.json", {"train": [], "val": list(BOXES)})
    return root
