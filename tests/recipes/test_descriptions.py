"""Region texts of a file of their own, on COCO's photographs."""

import json
from pathlib import Path

import pytest

from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError
from recipes.mini.coco import read

MAN = [0.1, 0.125, 0.5, 0.875]  # the box of coco-1 as shares of 100 x 80 pixels


def read_with(root: Path, *records: object) -> dict[str, Sample]:
    file = root / "descriptions.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return {sample.sample_id: sample for sample in read(root, Problems(), file)}


def described(sample: Sample) -> list[str]:
    return [text.text for text in sample.texts if text.source == "described"]


def test_a_description_of_a_boxed_object_joins_its_sample(coco_root: Path) -> None:
    samples = read_with(coco_root, {"image_id": 1, "box": MAN, "text": "Bearded man in a orange vest."})
    assert described(samples["coco-1"]) == ["bearded man in an orange vest"]
    assert {"vest", "orange"} <= set(samples["coco-1"].tags)
    assert samples["coco-1"].class_name == "person"


def test_a_description_of_anything_else_becomes_a_sample_without_a_class(coco_root: Path) -> None:
    samples = read_with(coco_root, {"image_id": 1, "box": [0, 0, 1, 0.1], "text": "clear blue sky"})
    sky = samples["coco-1-described-0"]
    assert sky.box == (0, 0, 100, 8)
    assert (sky.class_name, described(sky), sky.split) == (None, ["clear blue sky"], "train")
    assert "sky" in sky.tags


def test_words_that_may_be_true_of_a_described_part_are_no_negatives(coco_root: Path) -> None:
    samples = read_with(coco_root, {"image_id": 1, "box": [0, 0.6, 1, 1], "text": "weathered planks"})
    assert {"bench", "wooden", "red"} <= set(samples["coco-1-described-0"].ignored_tags)


def test_descriptions_of_unknown_photographs_are_left_out(coco_root: Path) -> None:
    assert not any("described" in name for name in read_with(coco_root, {"image_id": 7, "box": MAN, "text": "a cup"}))


@pytest.mark.parametrize(
    "record",
    [
        {"image_id": 1, "box": [0.5, 0, 0.5, 1], "text": "a cup"},
        {"image_id": 1, "box": [0, 0, 30, 40], "text": "a cup"},
        {"image_id": 1, "box": MAN, "text": " . "},
        {"image_id": 1, "text": "a cup"},
        ["a cup"],
    ],
)
def test_many_bad_descriptions_end_the_build_with_their_lines(coco_root: Path, record: object) -> None:
    with pytest.raises(InputError, match=r"[Ll]ine 1 of descriptions\.jsonl"):
        read_with(coco_root, record, record)
