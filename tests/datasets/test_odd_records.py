"""COCO-format files as real tools write them: what can be filled in is, the rest is named, counted and left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dynrefer.datasets import own
from dynrefer.datasets.coco import read as read_coco
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError

from .conftest import coco_content, write_json, write_photograph

BOX = [10, 20, 30, 40]
CORNERS = (10, 20, 40, 60)
Change = Callable[[dict[str, Any]], None]


def content_of(caption: object = "a cat") -> dict[str, Any]:
    content = coco_content([1], [(1, 1, list(BOX))], {1: "cat"})
    content["annotations"][0]["caption"] = caption
    return content


def read(root: Path, content: dict[str, Any], problems: Problems | None = None) -> list[Sample]:
    write_json(root / "my.json", content)
    if not (root / "images").exists():
        write_photograph(root / "images" / "1.png")
    return list(own.read(root / "my.json", problems or Problems()))


def without(*path: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        *places, last = path
        for place in places:
            content = content[place]
        del content[last]

    return change


def put(value: Any, *path: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        *places, last = path
        for place in places:
            content = content[place]
        content[last] = value

    return change


POLYGON = [[10, 20, 40, 20, 40, 60, 10, 60]]
RUN_LENGTHS = {"size": [80, 100], "counts": [820, *[40, 40] * 29, 40, 100 * 80 - 820 - 29 * 80 - 40]}


@pytest.mark.parametrize(
    "change",
    [
        without("annotations", 0, "id"),
        without("images", 0, "id"),
        without("images", 0, "file_name"),
        without("images", 0, "width"),
        put(None, "images", 0, "height"),
        put("1", "images", 0, "id"),
        put("1", "annotations", 0, "image_id"),
        put(["10", "20.0", 30, 40], "annotations", 0, "bbox"),
        lambda content: content["annotations"][0].update(bbox=None, segmentation=POLYGON),
        lambda content: content["annotations"][0].update(bbox=[], segmentation=POLYGON[0]),
        lambda content: content["annotations"][0].update(bbox=None, segmentation=RUN_LENGTHS),
        put("images\\\\1.png".replace("\\\\", "\\"), "images", 0, "file_name"),
    ],
)
def test_what_can_be_filled_in_is(tmp_path: Path, change: Change) -> None:
    content = content_of()
    change(content)
    [sample] = read(tmp_path, content)

    assert sample.box == CORNERS
    assert (sample.texts[0].text, sample.image_size, sample.photo) == ("a cat", (100, 80), "images/1.png")


def test_an_image_without_an_id_may_be_called_by_its_file(tmp_path: Path) -> None:
    content = content_of()
    del content["images"][0]["id"]
    content["annotations"][0]["image_id"] = "1.png"
    assert len(read(tmp_path, content)) == 1


@pytest.mark.parametrize("caption", [5, {"text": "a cat"}, [3]])
def test_a_caption_that_is_no_text_leaves_the_class(tmp_path: Path, caption: object) -> None:
    problems = Problems()
    [sample] = read(tmp_path, content_of(caption), problems)

    assert [text.source for text in sample.texts] == ["class"]
    assert problems.noted == {"captions that are no text, and not used": 1}


def test_a_category_without_a_name_leaves_the_caption(tmp_path: Path) -> None:
    content = content_of()
    content["categories"] = [{"id": 1}]
    [sample] = read(tmp_path, content)

    assert ([text.text for text in sample.texts], sample.class_name) == (["a cat"], None)


def test_annotations_of_one_id_stay_apart(tmp_path: Path) -> None:
    content = content_of()
    content["annotations"] *= 2
    assert [sample.sample_id for sample in read(tmp_path, content)] == ["my-1", "my-1-2"]


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_lists_of_another_form_are_named(tmp_path: Path, name: str) -> None:
    content = content_of()
    content[name] = "1"
    with pytest.raises(InputError, match=f"my.json holds no list '{name}'"):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_objects_by_their_ids_are_read_as_lists(tmp_path: Path, name: str) -> None:
    content = content_of()
    content[name] = {str(record.pop("id")): record for record in content[name]}
    assert len(read(tmp_path, content)) == 1


def test_records_of_another_form_cost_themselves_alone(tmp_path: Path) -> None:
    content = content_of()
    content["annotations"].append("a cat")
    problems = Problems()

    assert len(read(tmp_path, content, problems)) == 1
    assert problems.counts == {"annotations that are no records": 1}


def test_photographs_of_one_file_name_keep_their_folders(tmp_path: Path) -> None:
    content = coco_content([1, 2], [(1, 1, list(BOX)), (2, 1, list(BOX))], {1: "cat"})
    for image, camera in zip(content["images"], ("cam1", "cam2"), strict=True):
        image["file_name"] = f"{camera}/frame_1.png"
        write_photograph(tmp_path / "images" / camera / "frame_1.png")

    assert [s.photo for s in read(tmp_path, content)] == ["images/cam1/frame_1.png", "images/cam2/frame_1.png"]


def test_boxes_of_a_resized_photograph_are_scaled_and_that_is_said(tmp_path: Path) -> None:
    content = content_of()
    content["images"][0].update(width=200, height=160)
    problems = Problems()
    [sample] = read(tmp_path, content, problems)

    assert sample.box == (5, 10, 20, 30)
    assert problems.noted == {"photographs turned or of another size than the file says": 1}


def test_boxes_of_stored_pixels_are_turned_with_the_photograph(tmp_path: Path) -> None:
    image = Image.new("RGB", (100, 80), "gray")
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    image.save(tmp_path / "images" / "1.png", exif=exif)
    [sample] = read(tmp_path, content_of())

    assert (sample.image_size, sample.box) == ((80, 100), (20, 10, 60, 40))


def test_coco_captions_and_attributes_of_another_form_are_counted(coco_root: Path) -> None:
    annotations = coco_root / "annotations"
    for name, spoil in (
        ("captions.json", lambda content: content["annotations"].append({"image_id": 1, "caption": 3})),
        ("ovad.json", lambda content: content["annotations"].append({"image_id": 1, "category_id": 1})),
    ):
        content = json.loads((annotations / name).read_text())
        spoil(content)
        write_json(annotations / name, content)
    with pytest.raises(InputError, match=r"captions that are no text|attribute vectors that cannot be read"):
        read_coco(coco_root, Problems())


def test_two_names_never_share_one_photograph(tmp_path: Path) -> None:
    content = coco_content([1, 2], [(1, 1, list(BOX)), (2, 1, list(BOX))], {1: "cat"})
    for image, name in zip(content["images"], ("1.jpg", "1.png"), strict=True):
        image["file_name"] = name
    content["images"] += coco_content(list(range(10, 230)), [], {})["images"]
    for number in (1, *range(10, 230)):
        write_photograph(tmp_path / "images" / f"{number}.png")
    problems = Problems()
    [sample] = read(tmp_path, content, problems)

    assert (sample.image_id, sample.photo) == ("2", "images/1.png")
    assert problems.counts["photographs that are missing"] == 1
