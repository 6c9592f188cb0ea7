"""Visual Genome, RefCOCOg and users' own files: regions that people described."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from dynrefer.datasets import own, refcocog, visual_genome
from dynrefer.datasets.records import Problems
from dynrefer.errors import InputError

from .conftest import NAMES, coco_content, write_json, write_photograph

REGION = {"x": 10, "y": 20, "width": 30, "height": 40, "phrase": "A red Ball. "}


def make_visual_genome(root: Path, version: str) -> None:
    image_key, region_key = ("image_id", "region_id") if version == "1.2" else ("id", "id")
    size = {"width": 100, "height": 80}
    write_json(
        root / "image_data.json", [{image_key: 5, "coco_id": 33, **size}, {image_key: 6, "coco_id": None, **size}]
    )
    regions = [{image_key: image, "regions": [{region_key: 100 + image, **REGION}]} for image in (5, 6)]
    write_json(root / "region_descriptions.json", regions)
    write_json(root / "densecap_splits.json", {"train": [5], "val": [], "test": [6]})
    write_photograph(root / "VG_100K" / "5.jpg")
    write_photograph(root / "VG_100K_2" / "6.jpg")


@pytest.mark.parametrize("version", ["1.0", "1.2"])
def test_both_versions_of_visual_genome_give_human_descriptions(tmp_path: Path, version: str) -> None:
    make_visual_genome(tmp_path, version)

    first, second = visual_genome.read(tmp_path, Problems())

    assert (first.sample_id, first.split, first.box) == ("vg-105", "train", (10, 20, 40, 60))
    assert [(text.text, text.source) for text in first.texts] == [("a red ball", "human")]
    assert (second.split, second.image.parent.name) == ("test", "VG_100K_2")


def test_vg_coco_keeps_the_photographs_that_coco_has(tmp_path: Path) -> None:
    make_visual_genome(tmp_path, "1.2")

    assert [sample.image_id for sample in visual_genome.read(tmp_path, Problems(), coco_only=True)] == ["5"]


def test_vg_coco_prefers_its_own_splits(tmp_path: Path) -> None:
    make_visual_genome(tmp_path, "1.2")
    write_json(tmp_path / "vgcoco_splits.json", {"train": [], "test": [5]})

    assert [sample.split for sample in visual_genome.read(tmp_path, Problems(), coco_only=True)] == ["test"]


def test_visual_genome_without_splits_says_which_file_is_missing(tmp_path: Path) -> None:
    make_visual_genome(tmp_path, "1.2")
    (tmp_path / "densecap_splits.json").unlink()

    with pytest.raises(InputError, match=r"densecap_splits\.json"):
        visual_genome.read(tmp_path, Problems())


def test_words_of_overlapping_descriptions_are_ignored_others_are_false(tmp_path: Path) -> None:
    make_visual_genome(tmp_path, "1.2")
    regions = [
        {"region_id": 1, **REGION},
        {"region_id": 2, **REGION, "phrase": "a round toy"},
        {"region_id": 3, **REGION, "x": 70, "phrase": "a tall tree"},
    ]
    write_json(tmp_path / "region_descriptions.json", [{"image_id": 5, "regions": regions}])

    ball = next(visual_genome.read(tmp_path, Problems()))

    assert ball.tags == ("ball", "red", "red ball")
    assert "toy" in ball.ignored_tags
    assert "tree" not in {*ball.tags, *ball.ignored_tags}


REFERENCE = {
    "ref_id": 7,
    "ann_id": 1,
    "image_id": 1,
    "category_id": 18,
    "split": "val",
    "file_name": "COCO_train2014_1_1.jpg",
    "sentences": [{"sent": "the brown dog", "raw": "The brown dog."}, {"sent": "dog on the left", "raw": "dog"}],
}


def make_refcocog(root: Path) -> None:
    write_json(root / "instances.json", coco_content([1], [(1, 18, [10, 10, 20, 20])], NAMES))
    write_photograph(root / "images" / "1.png")


def write_refs(root: Path, refs: Any, protocol: int = 2) -> None:
    (root / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=protocol))


@pytest.mark.parametrize("file", ["refs(umd).p", "refs.json"])
def test_refcocog_reads_the_official_pickle_or_json(tmp_path: Path, file: str) -> None:
    make_refcocog(tmp_path)
    write_refs(tmp_path, [REFERENCE]) if file.endswith(".p") else write_json(tmp_path / file, [REFERENCE])

    [sample] = refcocog.read(tmp_path, Problems())

    assert [text.text for text in sample.texts] == ["the brown dog", "dog on the left", "a dog"]
    assert (sample.class_name, sample.split, sample.box) == ("dog", "val", (10, 10, 30, 30))


def test_a_pickle_written_by_python_2_is_read(tmp_path: Path) -> None:
    make_refcocog(tmp_path)
    (tmp_path / "plain.p").write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xe9'\np3\nsa.")

    assert refcocog.read_plain_pickle(tmp_path / "plain.p") == [{"sent": "café"}]


class Payload:
    """Unpickled by an ordinary reader, it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    make_refcocog(tmp_path)
    write_refs(tmp_path, [REFERENCE, Payload(tmp_path / "made")])

    with pytest.raises(InputError, match="not a pickle of plain lists"):
        refcocog.read(tmp_path, Problems())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("damage", [b"", b"\x80\x02]q", b"not a pickle"])
def test_a_damaged_pickle_is_named(tmp_path: Path, damage: bytes) -> None:
    make_refcocog(tmp_path)
    (tmp_path / "refs(umd).p").write_bytes(damage)

    with pytest.raises(InputError, match=r"refs\(umd\)\.p"):
        refcocog.read(tmp_path, Problems())


def make_own(root: Path, caption: object, **image: Any) -> Path:
    content = coco_content([1, 2], [(1, 18, [10, 10, 20, 20]), (2, 18, [0, 0, 50, 50])], {18: "dog"}, **image)
    content["annotations"][0]["caption"] = caption
    write_json(root / "boxes.json", content)
    for number in (1, 2):
        write_photograph(root / "images" / f"{number}.png")
    return root / "boxes.json"


@pytest.mark.parametrize("caption", ["My dog Rex", ["My dog Rex"]])
def test_own_captions_are_a_text_or_a_list(tmp_path: Path, caption: object) -> None:
    first, second = own.read(make_own(tmp_path, caption), Problems())

    assert [text.text for text in first.texts] == ["my dog rex", "a dog"]
    assert [text.text for text in second.texts] == ["a dog"]


def test_own_categories_are_optional(tmp_path: Path) -> None:
    content = coco_content([1], [(1, 0, [10, 10, 20, 20])], {})
    del content["categories"], content["annotations"][0]["category_id"]
    content["annotations"][0]["caption"] = "a dented door"
    write_json(tmp_path / "train.json", content)
    write_photograph(tmp_path / "1.png")

    [sample] = own.read(tmp_path, Problems())

    assert (sample.class_name, sample.split, sample.sample_id) == (None, "train", "train-1")


def test_own_files_are_split_by_name(tmp_path: Path) -> None:
    make_own(tmp_path, "my dog").rename(tmp_path / "train.json")
    write_json(tmp_path / "val.json", coco_content([2], [(2, 18, [0, 0, 5, 5])], {18: "dog"}))

    assert [sample.split for sample in own.read(tmp_path, Problems())] == ["train", "train", "val"]


def test_own_images_may_name_their_split(tmp_path: Path) -> None:
    samples = own.read(make_own(tmp_path, "my dog", split="test"), Problems())

    assert {sample.split for sample in samples} == {"test"}


def test_one_own_file_holds_out_a_tenth_always_the_same(tmp_path: Path) -> None:
    numbers = list(range(200))
    write_json(tmp_path / "boxes.json", coco_content(numbers, [(n, 18, [0, 0, 9, 9]) for n in numbers], {18: "dog"}))
    for number in numbers:
        write_photograph(tmp_path / f"{number}.png")

    splits = [[sample.split for sample in own.read(tmp_path / "boxes.json", Problems())] for _ in range(2)]

    assert splits[0] == splits[1]
    assert 8 <= splits[0].count("val") <= 35


@pytest.mark.parametrize(
    ("size", "message"),
    [((50, 80), "different pictures"), (None, "not a photograph that can be opened")],
    ids=["resized", "corrupt"],
)
def test_own_photographs_that_do_not_fit_are_named(tmp_path: Path, size: tuple[int, int] | None, message: str) -> None:
    file = make_own(tmp_path, "my dog")
    photograph = tmp_path / "images" / "2.png"
    write_photograph(photograph, size) if size else photograph.write_bytes(b"no photograph")
    problems = Problems()

    with pytest.raises(InputError, match="more than 1 %"):
        own.read(file, problems)
    assert any("2.png" in e and message in e for e in problems.examples["photographs that cannot be used"])


def test_a_folder_without_own_files_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.json"):
        own.read(tmp_path, Problems())
