"""Flickr30k Entities in its own format and packed."""

from pathlib import Path

import pytest

from dynrefer.datasets import flickr
from dynrefer.datasets.records import Problems
from dynrefer.datasets.sample import Sample
from dynrefer.errors import InputError

from .conftest import texts, write_json, write_photograph

ONE_BOX = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>10</ymin><xmax>60</xmax><ymax>70</ymax></bndbox></object>"
)
SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"
SENTENCES = """[/EN#1/people A little girl] in [/EN#2/clothing a pink dress] climbs .
[/EN#1/people A girl] and [/EN#3/people her mother] play .
[/EN#0/notvisual It] is [/EN#2/clothing a pink dress] ."""


def make_entities(root: Path, objects: str, image: str = "36") -> Path:
    for name in ("Annotations", "Sentences"):
        (root / name).mkdir(exist_ok=True)
    (root / "Annotations" / f"{image}.xml").write_text(f"<annotation>{SIZE}{objects}</annotation>")
    (root / "Sentences" / f"{image}.txt").write_text(SENTENCES, encoding="utf-8")
    (root / "val.txt").write_text("36\n37\n")
    write_photograph(root / "flickr30k-images" / f"{image}.jpg")
    return root


def by_id(samples: list[Sample]) -> dict[str, Sample]:
    return {sample.sample_id: sample for sample in samples}


def test_entities_give_phrases_and_the_sentences_that_begin_with_them(tmp_path: Path) -> None:
    root = make_entities(tmp_path, ONE_BOX.format(1, 20) + ONE_BOX.format(2, 30))
    samples = by_id(list(flickr.read_entities(root, Problems())))
    girl, dress = samples["flickr30k-36-1"], samples["flickr30k-36-2"]

    assert texts(girl, "human") == ["a little girl in a pink dress climbs"]
    assert texts(girl, "phrase") == ["a little girl", "a girl"]
    assert (girl.box, girl.split, girl.photo) == ((20, 10, 60, 70), "val", "flickr30k-images/36.jpg")
    assert (texts(dress, "human"), texts(dress, "phrase")) == ([], ["a pink dress"])
    assert "a girl and her mother play" in texts(samples["flickr30k-image-36"], "whole")


def test_a_thing_with_several_boxes_is_no_region(tmp_path: Path) -> None:
    root = make_entities(tmp_path, ONE_BOX.format(1, 20) + ONE_BOX.format(1, 40))
    assert set(by_id(list(flickr.read_entities(root, Problems())))) == {"flickr30k-image-36"}


def test_one_box_may_be_of_two_things(tmp_path: Path) -> None:
    root = make_entities(tmp_path, ONE_BOX.replace("</name>", "</name><name>2</name>").format(1, 20))
    assert {"flickr30k-36-1", "flickr30k-36-2"} <= set(by_id(list(flickr.read_entities(root, Problems()))))


@pytest.mark.parametrize(
    ("objects", "reason", "named"),
    [
        (ONE_BOX.format(1, 60), "boxes without area", "thing 1 of flickr30k-images/36.jpg"),
        (ONE_BOX.format(1, "x"), "boxes that cannot be read", "thing 1 of flickr30k-images/36.jpg"),
        ("<object>", "annotations that cannot be read", "36.xml"),
        (
            ONE_BOX.format(1, 120).replace(">60<", ">130<"),
            "boxes outside their photograph",
            "thing 1 of flickr30k-images/36.jpg",
        ),
    ],
)
def test_bad_annotations_cost_themselves_alone(tmp_path: Path, objects: str, reason: str, named: str) -> None:
    root = make_entities(make_entities(tmp_path, objects), ONE_BOX.format(1, 20), "37")
    problems = Problems()
    samples = by_id(list(flickr.read_entities(root, problems)))

    assert "flickr30k-37-1" in samples and "flickr30k-36-1" not in samples
    assert problems.counts == {reason: 1}
    assert named in problems.examples[reason][0]


def test_a_folder_that_is_not_entities_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Annotations and Sentences"):
        flickr.read_entities(tmp_path, Problems())


def test_packed_regions_are_read_with_their_captions(tmp_path: Path) -> None:
    write_photograph(tmp_path / "images" / "7.png")
    content = {
        "images": [{"id": 7, "file_name": "7.png", "width": 100, "height": 80}],
        "regions": [
            {"id": 1, "image_id": 7, "bbox": [10, 10, 20, 20], "phrases": ["the dog"], "sentences": ["A dog runs ."]}
        ],
        "captions": [{"image_id": 7, "caption": "A dog runs on grass ."}],
    }
    write_json(tmp_path / "annotations" / "regions.json", content)
    write_json(tmp_path / "annotations" / "splits.json", {"train": [7]})
    dog, whole = flickr.read_packed(tmp_path, Problems())

    assert [(t.text, t.source) for t in dog.texts] == [("a dog runs", "human"), ("the dog", "phrase")]
    assert (dog.box, dog.split, texts(whole, "whole")) == ((10, 10, 30, 30), "train", ["a dog runs on grass"])
