"""Photographs of one named thing each."""

import json
from pathlib import Path

from PIL import Image

from dynrefer.datasets.records import Problems
from recipes.mini import named_things


def test_named_things_are_described_and_not_human(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (100, 80)).save(tmp_path / name)
    things = [
        {"file_name": "a.png", "name": "snail", "box": [10, 10, 20, 20], "description": "brown snail on a leaf"},
        {"file_name": "b.png", "name": "reef", "box": None, "description": None},
    ]
    (tmp_path / "annotations.json").write_text(json.dumps(things))
    snail, reef = named_things.read(tmp_path, Problems())

    assert [(t.text, t.source) for t in snail.texts] == [("brown snail on a leaf", "described"), ("a snail", "class")]
    assert (snail.name, reef.name, reef.box) == ("snail", "reef", (0, 0, 100, 80))
