"""The example photographs that the page, the README and the benchmarks use."""

import json
from pathlib import Path

import pytest
from PIL import Image

ASSETS = Path(__file__).resolve().parents[1] / "assets"
EXAMPLES = json.loads((ASSETS / "examples" / "examples.json").read_text())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["title"])
def test_box_lies_inside_its_photograph(example: dict[str, str | list[int]]) -> None:
    width, height = Image.open(ASSETS / "examples" / str(example["file"])).size
    x1, y1, x2, y2 = map(int, example["box"])
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height


def test_every_photograph_has_a_box_and_a_named_source() -> None:
    photographs = {path.name for path in (ASSETS / "examples").glob("*.jpg")}
    sources = (ASSETS / "README.md").read_text()
    assert photographs == {example["file"] for example in EXAMPLES}
    assert [name for name in sorted(photographs) if f"`{name}`" not in sources] == []


def test_photographs_stay_small() -> None:
    heavy = [path.name for path in (ASSETS / "examples").glob("*.jpg") if path.stat().st_size >= 300_000]
    assert heavy == []


def test_every_box_has_names_that_are_right_for_it() -> None:
    named = [name for example in EXAMPLES for name in set(example["names"])]
    assert all(example["names"] for example in EXAMPLES)
    assert len(named) == sum(len(example["names"]) for example in EXAMPLES)
    assert named == [name.strip().lower() for name in named]
