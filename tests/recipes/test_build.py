import json
from pathlib import Path

import pytest

from dynrefer.datasets.sample import read_samples
from dynrefer.errors import InputError
from recipes.mini.build import build
from recipes.mini.tags import build_tag_vocabulary


def test_the_vocabulary_has_frequent_tags_in_order_and_all_classes() -> None:
    vocabulary = build_tag_vocabulary({"riding": 9, "dog": 20, "rare": 2, "red": 1}, min_count=5)

    assert vocabulary[:3] == ["dog", "riding", "red"]
    assert "zebra" in vocabulary and "rare" not in vocabulary and "spotted" not in vocabulary


def test_building_writes_samples_whose_tags_are_in_the_vocabulary(coco_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(out, coco_root, descriptions=None, min_count=1)

    vocabulary = set(json.loads((out / "tags.json").read_text()))
    samples = read_samples(out / "samples.jsonl")
    assert len(samples) == 7
    assert all({*sample.tags, *sample.ignored_tags} <= vocabulary for sample in samples)
    assert sorted(file.name for file in out.iterdir()) == ["samples.jsonl", "stats.json", "tags.json"]


def test_validation_words_do_not_enter_the_vocabulary(coco_root: Path, tmp_path: Path) -> None:
    build(tmp_path / "out", coco_root, descriptions=None, min_count=1)

    vocabulary = json.loads((tmp_path / "out" / "tags.json").read_text())
    assert "park" in vocabulary and "sleep" not in vocabulary and "sleeping" not in vocabulary


def test_building_twice_gives_the_same_bytes(coco_root: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        build(tmp_path / name, coco_root, descriptions=None)

    first, second = (tmp_path / name / "samples.jsonl" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_a_missing_file_of_descriptions_is_named(coco_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl"):
        build(tmp_path / "out", coco_root, descriptions=tmp_path / "none.jsonl")


def test_a_build_of_nothing_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--coco"):
        build(tmp_path / "out")
