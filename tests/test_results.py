import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from dynrefer.results import (
    CSV_COLUMNS,
    Attribute,
    Caption,
    RegionResult,
    Scored,
    to_coco,
    to_csv,
    to_json,
)
from dynrefer.selection import ViewChoice

RESULT = RegionResult(
    box=(64.123456, 255.0, 383.0, 382.5),
    caption=Caption("a red boat", 0.87654321),
    classes=(Scored("boat", 0.9), Scored("surfboard", 3.21e-6)),
    tags=(Scored("boat", 0.95), Scored("sea", 0.81)),
    attributes=(Attribute("red", "color", 0.7), Attribute("wet", "state", 1 / 3)),
    views=(
        ViewChoice(0.0, (64.123456, 255.0, 383.0, 382.5), None, 0),
        ViewChoice(0.1, (57.711111, 229.5, 408.7, 392.25), 123.456789, 1),
        ViewChoice(0.2, (51.3, 204.0, 434.4, 402.0), 50.0, None),
    ),
    timing_ms={"encode": 80.123, "caption": 61.0},
    model="dynrefer-mini",
    none_of_these=0.1,
    sure=False,
    notes=("A note.",),
)
BARE = RegionResult((1.0, 2.0, 30.0, 40.0), None, (), (), (), (ViewChoice(0.0, (1.0, 2.0, 30.0, 40.0), None, 0),))


def named(text: str) -> RegionResult:
    return RegionResult((1.0, 2.0, 30.0, 40.0), Caption(text, 0.5), (Scored(text, 0.5),), (Scored(text, 0.5),), (), ())


def test_a_result_is_the_documented_json() -> None:
    assert RESULT.to_dict() == {
        "box": [64.123, 255.0, 383.0, 382.5],
        "prompt": None,
        "caption": {"text": "a red boat", "score": 0.8765},
        "classes": [{"name": "boat", "score": 0.9}, {"name": "surfboard", "score": 3.21e-06}],
        "none_of_these": 0.1,
        "sure": False,
        "tags": [{"name": "boat", "score": 0.95}, {"name": "sea", "score": 0.81}],
        "attributes": [
            {"name": "red", "type": "color", "score": 0.7},
            {"name": "wet", "type": "state", "score": 0.3333},
        ],
        "views": [
            {"t": 0.0, "box": [64.123, 255.0, 383.0, 382.5], "gain": None, "rank": 0},
            {"t": 0.1, "box": [57.711, 229.5, 408.7, 392.25], "gain": 123.5, "rank": 1},
            {"t": 0.2, "box": [51.3, 204.0, 434.4, 402.0], "gain": 50.0, "rank": None},
        ],
        "notes": ["A note."],
        "timing_ms": {"encode": 80.1, "caption": 61.0},
        "model": "dynrefer-mini",
    }


def test_how_a_region_was_pointed_at_is_part_of_the_json() -> None:
    assert replace(BARE, prompt={"point": [3, 4]}).to_dict()["prompt"] == {"point": [3, 4]}
    assert BARE.to_dict()["none_of_these"] is None


def test_json_names_the_images_where_asked_to() -> None:
    text = to_json([RESULT, BARE], images=["a.jpg", "b.jpg"])
    assert [entry["image"] for entry in json.loads(text)] == ["a.jpg", "b.jpg"]
    assert [entry["box"] for entry in json.loads(text)] == [[64.123, 255.0, 383.0, 382.5], list(BARE.box)]


def test_attributes_of_the_same_name_are_told_apart_by_their_type() -> None:
    attributes = (Attribute("light", "color", 0.9), Attribute("light", "hair color", 0.1))
    assert replace(BARE, attributes=attributes).attribute_scores == {
        ("color", "light"): 0.9,
        ("hair color", "light"): 0.1,
    }


def test_views_taken_are_those_with_a_rank_in_its_order() -> None:
    views = tuple(ViewChoice(t, (0, 0, 1, 1), 1.0, rank) for t, rank in ((0.0, 0), (0.1, 2), (0.2, None), (0.3, 1)))
    assert [view.t for view in replace(BARE, views=views).taken] == [0.0, 0.3, 0.1]


def test_csv_has_a_row_a_result() -> None:
    header, first, second = csv.reader(io.StringIO(to_csv([RESULT, BARE], "boat.jpg")))
    assert tuple(header) == CSV_COLUMNS
    corners = ["64.123", "255.0", "383.0", "382.5"]
    assert first == [
        "boat.jpg",
        *corners,
        "a red boat",
        "0.8765",
        "boat",
        "0.9",
        "0.1",
        "False",
        "boat | sea",
        "dynrefer-mini",
    ]
    assert second == ["boat.jpg", "1.0", "2.0", "30.0", "40.0", "", "", "", "", "", "True", "", ""]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_no_text_cell_of_the_csv_begins_a_formula(text: str) -> None:
    _, row = csv.reader(io.StringIO(to_csv([named(text)], images=text), newline=""))
    cells = dict(zip(CSV_COLUMNS, row, strict=True))
    assert {cells[column] for column in ("image", "caption", "class", "tags")} == {"'" + text}


def test_csv_keeps_commas_quotes_and_line_ends_inside_a_cell() -> None:
    text = 'a "big", red\nboat'
    _, row = csv.reader(io.StringIO(to_csv([named(text)]), newline=""))
    assert dict(zip(CSV_COLUMNS, row, strict=True))["caption"] == text


def test_coco_export_opens_in_pycocotools_and_its_annotations_as_results(tmp_path: Path) -> None:
    path = tmp_path / "regions.json"
    path.write_text(to_coco([RESULT, BARE], "boat.jpg", (640, 480), image_id=7), encoding="utf-8")
    coco = COCO(path)
    assert coco.loadImgs(7) == [{"id": 7, "file_name": "boat.jpg", "width": 640, "height": 480}]
    first, second = coco.loadAnns([1, 2])
    assert first["bbox"] == pytest.approx([64.123, 255, 318.877, 127.5])
    assert first["area"] == pytest.approx(318.877 * 127.5, abs=0.1)
    assert (first["caption"], first["tags"], first["score"]) == ("a red boat", ["boat", "sea"], 0.9)
    assert [coco.loadCats(entry["category_id"])[0]["name"] for entry in (first, second)] == ["boat", "region"]
    results = [{key: entry[key] for key in ("image_id", "category_id", "bbox", "score")} for entry in (first, second)]
    assert len(coco.loadRes(results).anns) == 2
