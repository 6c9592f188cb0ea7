import json
from pathlib import Path

import pytest

from dynrefer.box_files import boxes_by_image, boxes_from_file, corners_from_coco
from dynrefer.errors import InputError
from dynrefer.results import Caption, RegionResult, to_coco, to_csv, to_json

SIZE = (640, 480)
BOXES = [(1.0, 2.0, 30.0, 40.0), (100.5, 50.25, 200.0, 300.75)]
RESULTS = [RegionResult(box, Caption("=a thing", 0.5), (), (), (), ()) for box in BOXES]
COCO = {
    "images": [{"id": 139, "file_name": "000000000139.jpg"}, {"id": 5, "file_name": "five.jpg"}],
    "annotations": [
        {"image_id": 5, "bbox": [10, 20, 30, 40]},
        {"image_id": 139, "bbox": [1, 2, 29, 38]},
        {"image_id": 139, "bbox": [100.5, 50.25, 99.5, 250.5]},
    ],
}


def saved(folder: Path, content: object, name: str = "boxes.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("boxes.json", to_json(RESULTS)),
        ("boxes.json", to_json(RESULTS, images="boat.jpg")),
        ("boxes.json", to_coco(RESULTS, "boat.jpg", SIZE)),
        ("boxes.json", json.dumps(json.loads(to_coco(RESULTS, "boat.jpg", SIZE))["annotations"])),
        ("boxes.csv", to_csv(RESULTS)),
        ("boxes.CSV", "\ufeff" + to_csv(RESULTS, images="=boat.jpg")),
    ],
    ids=["json", "json-named", "coco", "coco-results", "csv", "csv-named"],
)
def test_boxes_of_every_download_read_back(tmp_path: Path, name: str, content: str) -> None:
    assert boxes_from_file(saved(tmp_path, content, name), SIZE) == BOXES


@pytest.mark.parametrize("content", [BOXES, {"boxes": BOXES}, [{"box": box} for box in BOXES]])
def test_plain_lists_of_boxes_are_read(tmp_path: Path, content: object) -> None:
    assert boxes_from_file(saved(tmp_path, content), SIZE) == BOXES


@pytest.mark.parametrize("content", [BOXES[0], {"box": BOXES[0]}])
def test_a_single_box_is_read(tmp_path: Path, content: object) -> None:
    assert boxes_from_file(saved(tmp_path, content), SIZE) == BOXES[:1]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_columns_may_come_in_any_order_and_separator(tmp_path: Path, separator: str) -> None:
    rows = [
        ["Y1", " x1 ", "note", "x2", "y2"],
        ["2", "1", "a", "30", "40"],
        [],
        ["50.25", "100.5", "", "200", "300.75"],
    ]
    text = "\n".join(separator.join(row) for row in rows)
    assert boxes_from_file(saved(tmp_path, text, "boxes.csv"), SIZE) == BOXES


@pytest.mark.parametrize("image", ["000000000139.jpg", "139", "photos/000000000139.jpg", "000000000139.png"])
def test_coco_boxes_are_picked_by_file_name_or_id(tmp_path: Path, image: str) -> None:
    content = COCO if image.endswith("jpg") else COCO["annotations"]
    assert boxes_from_file(saved(tmp_path, content), SIZE, image) == BOXES


def test_named_boxes_are_picked_by_image(tmp_path: Path) -> None:
    names = ["=a.jpg", "b.jpg"]
    for path in (
        saved(tmp_path, to_csv(RESULTS, names), "boxes.csv"),
        saved(tmp_path, to_json(RESULTS, names), "boxes.json"),
    ):
        assert [boxes_from_file(path, SIZE, name) for name in names] == [[box] for box in BOXES]


def test_a_file_is_grouped_by_image(tmp_path: Path) -> None:
    groups = boxes_by_image(saved(tmp_path, COCO))
    assert groups == {
        "five.jpg": [[10, 20, 40, 60]],
        "000000000139.jpg": [[1, 2, 30, 40], [100.5, 50.25, 200, 300.75]],
    }


def test_boxes_from_a_file_are_clipped(tmp_path: Path) -> None:
    assert boxes_from_file(saved(tmp_path, [[600, 400, 900, 900]]), SIZE) == [(600, 400, 640, 480)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("boxes.json", "", "not JSON"),
        ("boxes.json", "x1,y1,x2,y2\n1,2,3,4", "not JSON"),
        ("boxes.json", "[" * 100_000, "not JSON"),
        ("boxes.json", "5", "not a file of boxes"),
        ("boxes.json", '"words"', "not a file of boxes"),
        ("boxes.json", "[]", "no boxes in it"),
        ("boxes.json", '{"annotations": []}', "no boxes in it"),
        ("boxes.json", '{"caption": "a"}', "not a file of boxes"),
        ("boxes.json", '{"annotations": [{"image_id": 1, "caption": "a"}]}', "not a file of boxes"),
        ("boxes.json", '{"annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}', "x y width height"),
        ("boxes.json", '[{"image_id": 1, "bbox": [1, 2, NaN, 3]}]', "finite"),
        ("boxes.json", '[["1", 2, 3, 4]]', '"1" is not'),
        ("boxes.json", "[[1, 2, 30, 40], [1, 2, 3]]", "Box 2 of 2: the box .* not 3"),
        ("boxes.json", json.dumps(COCO), "2 images; say which"),
        ("boxes.csv", "", "must name the columns"),
        ("boxes.csv", "a,b\n1,2", "must name the columns"),
        ("boxes.csv", "x1,y1,x2,y2\n", "no boxes in it"),
        ("boxes.csv", "x1,y1,x2,y2\n1,2,3", 'line 2 has "" where'),
        ("boxes.csv", "x1,y1,x2,y2\n1,2,3,left", 'line 2 has "left" where'),
        ("boxes.csv", 'x1,y1,x2,y2\n"' + "1" * 200_000, "cannot be read"),
    ],
    ids=range(20),
)
def test_a_bad_file_is_refused_in_words_without_its_folder(tmp_path: Path, name: str, content: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        boxes_from_file(saved(tmp_path, content, name), SIZE)
    assert str(tmp_path) not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_another_image_than_those_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"boxes.json has no boxes for the image six.jpg"):
        boxes_from_file(saved(tmp_path, COCO), SIZE, "/folder/six.jpg")


@pytest.mark.parametrize(("name", "words"), [("none.json", "no file none.json"), (".", "cannot be read")])
def test_a_missing_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        boxes_from_file(tmp_path / name, SIZE)


def test_a_photograph_is_no_file_of_boxes(tmp_path: Path) -> None:
    (tmp_path / "photo.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"photo.json is not a text file"):
        boxes_from_file(tmp_path / "photo.json", SIZE)


def test_coco_width_and_height_become_corners() -> None:
    assert corners_from_coco([10, 20, 30, 40]) == [10, 20, 40, 60]
