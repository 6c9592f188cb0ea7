from pathlib import Path
from typing import Any

import pytest

from dynrefer.datasets.coco import read
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError

from .conftest import BOXES, NAMES, coco_content, edit, write_json, write_photograph


def by_id(root: Path) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in read(root, Problems())}


def test_a_sample_for_every_box_and_every_captioned_image(coco_root: Path) -> None:
    assert set(by_id(coco_root)) == {f"coco-{n}" for n in range(1, 6)} | {"coco-image-1", "coco-image-2"}


def test_boxes_are_corners_in_pixels(coco_root: Path) -> None:
    assert by_id(coco_root)["coco-1"].box == (10, 10, 50, 70)


def test_splits_follow_the_split_file(coco_root: Path) -> None:
    assert {sample.image_id: sample.split for sample in by_id(coco_root).values()} == {"1": "train", "2": "val"}


def test_images_in_no_split_are_for_neither_training_nor_validation(coco_root: Path) -> None:
    write_json(coco_root / "annotations" / "splits.json", {"train": [1], "val": []})

    assert by_id(coco_root)["coco-4"].split == "none"


def test_attributes_attach_by_instance_id_or_by_place(coco_root: Path) -> None:
    samples = by_id(coco_root)

    assert samples["coco-1"].attributes == (0, 0, -1, 1, 1)
    assert samples["coco-2"].attributes == (1, 0, 1, -1, -1)
    assert samples["coco-3"].attributes is None


@pytest.mark.parametrize("folder", ["{part}", "images/{part}", "images"])
def test_the_official_layouts_are_read(tmp_path: Path, folder: str) -> None:
    official(tmp_path)
    for part, image in (("train2017", 1), ("val2017", 2)):
        write_photograph(tmp_path / folder.format(part=part) / f"{image}.png")

    assert {(s.image.name, s.split) for s in read(tmp_path, Problems())} == {("1.png", "train"), ("2.png", "val")}


@pytest.mark.parametrize("folder", ["val2017", "images/val2017"])
def test_who_downloaded_the_photographs_of_val_alone_has_val_with_nothing_left_out(tmp_path: Path, folder: str) -> None:
    official(tmp_path)
    write_photograph(tmp_path / folder / "2.png")
    problems = Problems()

    assert {(s.image.name, s.split) for s in read(tmp_path, problems)} == {("2.png", "val")}
    assert problems.left_out == []
    assert problems.examples == {
        "annotations of photographs that were not downloaded, passed over": ["instances_train2017.json"]
    }


def official(root: Path) -> None:
    """The annotations as they are downloaded, of one photograph in each part."""
    for part, image in (("train2017", 1), ("val2017", 2)):
        boxes = [box for box in BOXES if box[0] == image]
        write_json(root / "annotations" / f"instances_{part}.json", coco_content([image], boxes, NAMES))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [10, 10, 0, 5]}, "boxes without area"),
        ({"bbox": [200, 10, 5, 5]}, "boxes outside their photograph"),
        ({"bbox": [10, 10, float("nan"), 5]}, "boxes that cannot be read"),
        ({"category_id": 99}, "annotations with neither a caption nor a category that has a name"),
        ({"image_id": 77}, "annotations of photographs that cannot be used"),
    ],
)
def test_one_bad_annotation_in_many_is_skipped_and_named(coco_root: Path, change: dict[str, Any], reason: str) -> None:
    def spoil(content: dict[str, Any]) -> None:
        good = {"image_id": 2, "category_id": 17, "bbox": [0, 0, 9, 9], "iscrowd": 0}
        content["annotations"] += [{"id": 10 + k, **good} for k in range(120)]
        content["annotations"].append({"id": 999, **good, **change})

    edit(coco_root / "annotations" / "instances.json", spoil)
    problems = Problems()
    ids = {sample.sample_id for sample in read(coco_root, problems)}

    assert "coco-999" not in ids and "coco-10" in ids
    assert problems.counts == {reason: 1}
    (left,) = problems.left_out
    assert left.photograph == ("image 77" if "image_id" in change else "images/2.png")
    assert left.annotation == "annotation 999 of instances.json"


def test_more_than_one_percent_bad_stops_with_every_reason_named(coco_root: Path) -> None:
    (coco_root / "images" / "2.png").unlink()
    problems = Problems()
    problems.skip("boxes without area", "annotation 9 of instances.json")

    with pytest.raises(
        InputError, match=r"more than 1 %.*boxes without area \(1.*annotation 9 of instances\.json"
    ) as told:
        read(coco_root, problems)
    assert "annotation 4 of instances.json" in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("instances.json", "{", "not JSON"),
        ("instances.json", "[]", 'no "images"'),
        ("captions.json", '{"images": []}', 'no "annotations"'),
        ("splits.json", None, "splits.json is missing"),
    ],
)
def test_a_wrong_file_is_named(coco_root: Path, name: str, content: str | None, message: str) -> None:
    file = coco_root / "annotations" / name
    file.write_text(content) if content is not None else file.unlink()

    with pytest.raises(InputError, match=message):
        read(coco_root, Problems())


def test_a_folder_without_annotations_is_no_coco_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is .* a COCO folder"):
        read(tmp_path, Problems())
