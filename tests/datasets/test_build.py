import json
from pathlib import Path

import pytest

from dynrefer.datasets.build import build
from dynrefer.datasets.records import too_many
from dynrefer.datasets.sample import RegionText, Sample, read_samples, write_samples
from dynrefer.errors import InputError

from .conftest import coco_content, write_json, write_photograph

SAMPLE = Sample(
    image=Path("a.jpg"),
    image_id="1",
    image_size=(10, 8),
    box=(1.5, 2.0, 3.0, 4.0),
    texts=(RegionText("a dog", "class"),),
    sample_id="x-1",
    split="train",
    tags=("dog",),
    ignored_tags=("cat",),
    attributes=(1, 0, -1),
    class_name="dog",
    complete=True,
)


def test_samples_read_back_as_written(tmp_path: Path) -> None:
    other = Sample(Path("b.jpg"), "2", None, (0.0, 0.0, 1.0, 1.0), (), "x-2", "val")
    write_samples([SAMPLE, other], tmp_path / "samples.jsonl")

    assert read_samples(tmp_path / "samples.jsonl") == [SAMPLE, other]
    assert read_samples(tmp_path / "samples.jsonl", "val") == [other]


@pytest.mark.parametrize("bad", ["{", "[]", '{"box": [0, 0, 1, 1]}', None])
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, bad: str | None) -> None:
    lines = [json.dumps(SAMPLE.to_dict()), bad or json.dumps(SAMPLE.to_dict() | {"box": [5, 5, 5, 9]})]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines))

    with pytest.raises(InputError, match="Line 2 of"):
        read_samples(tmp_path / "samples.jsonl")


def test_a_missing_samples_file_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data build"):
        read_samples(tmp_path / "samples.jsonl")


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    write_samples([SAMPLE], file)

    def breaking() -> object:
        yield SAMPLE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(breaking(), file)
    assert read_samples(file) == [SAMPLE]


def test_statistics_count_texts_by_split_and_source(coco_root: Path, tmp_path: Path) -> None:
    stats = build("coco", coco_root, tmp_path / "out", say=lambda line: None)

    assert stats["samples"] == {"train": 4, "val": 3}
    assert stats["texts"]["train"]["class"] == 3 and stats["texts"]["val"] == {"class": 2, "whole": 1}
    assert json.loads((tmp_path / "out" / "stats.json").read_text()).items() >= stats.items()


def test_examples_of_every_source_are_shown(coco_root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    build("coco", coco_root, tmp_path / "out", examples=1, say=said.append)

    sources = [line.split()[0] for line in said if ".png" in line]
    assert sources == ["class", "whole"]


def test_an_unknown_data_set_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"coco, flickr-entities, .*, own, refcocog, vg, vg-coco"):
        build("imagenet", tmp_path, tmp_path / "out")


def test_a_folder_is_only_made_for_a_data_set_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        build("own", tmp_path / "none.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_a_usable_record_says_why_and_leaves_no_folder(tmp_path: Path) -> None:
    content = coco_content([1], [(1, 1, [1, 2, 30, 40])], {})
    content["annotations"][0]["caption"] = 7
    write_json(tmp_path / "my.json", content)
    write_photograph(tmp_path / "images" / "1.png")
    with pytest.raises(InputError, match=r"gave no sample; the first of 1 reasons: .*neither a caption nor a category"):
        build("own", tmp_path / "my.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_left_out_is_summed_up_at_the_end(coco_root: Path, tmp_path: Path) -> None:
    file = coco_root / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    content["annotations"].append({"id": 99, "image_id": 1, "category_id": 1, "bbox": [500, 0, 9, 9]})
    file.write_text(json.dumps(content))
    said: list[str] = []
    stats = build("coco", coco_root, tmp_path / "out", say=said.append)

    assert stats["skipped"] == {"boxes outside their photograph": 1}
    named = "images/1.png, annotation 99 of instances.json"
    assert said[-1] == f"left out 1: boxes outside their photograph; for example {named}"


@pytest.mark.parametrize(("bad", "total", "stops"), [(1, 1, False), (2, 5, True), (3, 300, False), (4, 300, True)])
def test_more_than_one_percent_and_more_than_one_are_too_many(bad: int, total: int, stops: bool) -> None:
    assert too_many(bad, total) == stops


def test_captions_in_another_script_are_kept_and_the_writers_language_is_said(tmp_path: Path) -> None:
    write_photograph(tmp_path / "1.png")
    captions = ["un café près de la fenêtre", "一只猫在沙发上", "नीली कुर्सी"]
    content = coco_content([1], [(1, 0, [0, 0, 9, 9])] * 3, {})
    for annotation, caption in zip(content["annotations"], captions, strict=True):
        annotation["caption"] = caption
    write_json(tmp_path / "train.json", content)
    said: list[str] = []
    build("own", tmp_path, tmp_path / "out", say=said.append)

    kept = [sample.texts[0].text for sample in read_samples(tmp_path / "out" / "samples.jsonl")]
    assert kept == captions
    assert "3 of 3 descriptions are not in English letters" in said[-1] and "only reads and writes English" in said[-1]


def test_a_photographs_name_that_is_no_text_comes_back_as_it_is(tmp_path: Path) -> None:
    name = "caf\udce9.png"  # a byte that is no UTF-8, as Python reads it
    content = coco_content([1], [(1, 18, [0, 0, 50, 50])], {18: "dog"})
    content["images"][0]["file_name"] = name
    write_photograph(tmp_path / "images" / "1.png")
    (tmp_path / "images" / "1.png").rename(tmp_path / "images" / name)
    write_json(tmp_path / "train.json", content)
    build("own", tmp_path, tmp_path / "out", say=lambda _: None)
    (sample,) = read_samples(tmp_path / "out" / "samples.jsonl")
    assert sample.image == tmp_path / "images" / name
    assert sample.image.exists()
