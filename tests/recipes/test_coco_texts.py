import re
from pathlib import Path
from typing import Any

from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample
from recipes.mini.coco import read
from tests.datasets.conftest import edit, texts


def by_id(root: Path) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in read(root, Problems())}


def test_the_only_man_gets_the_captions_of_a_man(coco_root: Path) -> None:
    sitting, park = texts(by_id(coco_root)["coco-1"], "grounded")

    assert re.fullmatch(r"a man (in red|wearing red clothes) sitting on a wooden bench", sitting)
    assert re.fullmatch(r"a man wearing red clothes in the park", park)


def test_a_dog_below_one_percent_gets_no_caption(coco_root: Path) -> None:
    assert texts(by_id(coco_root)["coco-3"], "grounded") == []


def test_a_whole_image_has_the_captions_of_four_words_and_more(coco_root: Path) -> None:
    whole = by_id(coco_root)["coco-image-2"]

    assert texts(whole, "whole") == ["two cats sleep next to each other"]
    assert whole.box == (0, 0, 100, 80)


def test_what_captions_say_of_the_image_is_ignored_for_a_region(coco_root: Path) -> None:
    bench = by_id(coco_root)["coco-2"]

    assert {"bench", "furniture", "wooden", "brown"} <= set(bench.tags)
    assert "park" in bench.ignored_tags
    assert "white" not in {*bench.tags, *bench.ignored_tags}


def test_a_class_that_overlaps_is_ignored_and_one_that_is_apart_is_false(coco_root: Path) -> None:
    samples = by_id(coco_root)

    assert "dog" in samples["coco-2"].ignored_tags
    assert "dog" not in {*samples["coco-1"].tags, *samples["coco-1"].ignored_tags}


def test_other_kinds_of_the_class_are_ignored(coco_root: Path) -> None:
    cat = by_id(coco_root)["coco-4"]

    assert "kitten" in cat.ignored_tags and "cat" in cat.tags


def test_incompletely_boxed_images_leave_classes_open(coco_root: Path) -> None:
    file = coco_root / "annotations" / "instances.json"
    edit(file, lambda content: content["images"][0].update(boxes_complete_80=False))
    samples = by_id(coco_root)

    assert "zebra" in samples["coco-image-1"].ignored_tags and not samples["coco-1"].complete
    assert "zebra" not in samples["coco-image-2"].ignored_tags and samples["coco-4"].complete


def test_crowds_are_no_samples_but_make_a_noun_ambiguous(coco_root: Path) -> None:
    def add_crowd(content: dict[str, Any]) -> None:
        crowd = {"id": 6, "image_id": 1, "category_id": 1, "bbox": [50, 0, 50, 80], "iscrowd": 1}
        content["annotations"].append(crowd)

    edit(coco_root / "annotations" / "instances.json", add_crowd)
    samples = by_id(coco_root)

    assert "coco-6" not in samples
    assert texts(samples["coco-1"], "grounded") == []
