import json
from pathlib import Path

import pytest

from dynrefer.datasets.build import build
from recipes.mini.corpus import text_corpus
from dynrefer.datasets.io import read_samples, write_samples
from dynrefer.datasets.sample import RegionText, Sample
from recipes.mini.tags import build_tag_vocabulary
from dynrefer.errors import InputError

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


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    lines = ["Two cats sleep next to each other!", "A orange kite in the sky.", "A dog.", "an orange kite in the sky"]
    (folder / "coco_captions.txt").write_text("\n".join(lines))
    (folder / "referring_expressions.txt").write_text("the man ' s hat\ntwo cats sleep next to each other\n")
    return folder


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


def test_the_vocabulary_has_frequent_tags_in_order_and_all_classes() -> None:
    vocabulary = build_tag_vocabulary({"riding": 9, "dog": 20, "rare": 2, "red": 1}, min_count=5)

    assert vocabulary[:3] == ["dog", "riding", "red"]
    assert "zebra" in vocabulary and "rare" not in vocabulary and "spotted" not in vocabulary


def test_building_writes_samples_whose_tags_are_in_the_vocabulary(coco_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build("coco", coco_root, out, min_count=1, say=lambda line: None)

    vocabulary = set(json.loads((out / "tags.json").read_text()))
    samples = read_samples(out / "samples.jsonl")
    assert len(samples) == 7
    assert all({*sample.tags, *sample.ignored_tags} <= vocabulary for sample in samples)
    assert sorted(file.name for file in out.iterdir()) == ["samples.jsonl", "stats.json", "tags.json"]


def test_validation_words_do_not_enter_the_vocabulary(coco_root: Path, tmp_path: Path) -> None:
    build("coco", coco_root, tmp_path / "out", min_count=1, say=lambda line: None)

    vocabulary = json.loads((tmp_path / "out" / "tags.json").read_text())
    assert "park" in vocabulary and "sleep" not in vocabulary and "sleeping" not in vocabulary


def test_statistics_count_texts_by_split_and_source(coco_root: Path, tmp_path: Path) -> None:
    stats = build("coco", coco_root, tmp_path / "out", say=lambda line: None)

    assert stats["samples"] == {"train": 4, "val": 3}
    assert stats["texts"]["train"]["class"] == 3 and stats["texts"]["val"] == {"class": 2, "whole": 1}
    assert json.loads((tmp_path / "out" / "stats.json").read_text()).items() >= stats.items()


def test_examples_of_every_source_are_shown(coco_root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    build("coco", coco_root, tmp_path / "out", examples=1, say=said.append)

    sources = [line.split()[0] for line in said if ".png" in line]
    assert sources == ["grounded", "attributes", "class", "whole"]


def test_building_twice_gives_the_same_bytes(coco_root: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        build("coco", coco_root, tmp_path / name, say=lambda line: None)

    first, second = (tmp_path / name / "samples.jsonl" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_the_corpus_has_no_validation_caption_and_nothing_twice(coco_root: Path, texts: Path, tmp_path: Path) -> None:
    stats = build("coco", coco_root, tmp_path / "out", texts=texts, say=lambda line: None)

    lines = (tmp_path / "out" / "corpus.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "an orange kite in the sky", "kind": "caption"},
        {"text": "the man's hat", "kind": "referring"},
    ]
    assert stats["sentences"] == {"caption": 1, "referring": 1}


def test_a_folder_without_sentences_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"coco_captions\.txt"):
        text_corpus(tmp_path)


def test_an_unknown_data_set_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="coco, own, refcocog, vg, vg-coco"):
        build("imagenet", tmp_path, tmp_path / "out")
