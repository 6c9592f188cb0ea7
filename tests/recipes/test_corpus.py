"""Texts without photographs, out of a folder of files and back from what was written."""

import gzip
import json
from pathlib import Path

import pytest

from dynrefer.datasets.records import Problems
from dynrefer.errors import InputError
from recipes.mini.corpus import load_texts, read_texts, write_texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "things").mkdir()
    lines = ['{"thing": "Pizza", "kind": "food", "text": "A orange pizza."}', '{"thing": "pizza"', '{"text": 3}']
    (tmp_path / "things" / "food.jsonl").write_text("\n".join(lines[:1] * 300 + lines[1:]))
    with gzip.open(tmp_path / "flickr_captions.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write("A dog runs on grass.\ntwo cats sleep on a bed\na dog .\n")
    (tmp_path / "referring_expressions.txt").write_text("the man's hat\n", encoding="utf-16")
    return tmp_path


def test_texts_are_read_once_without_held_out_captions(folder: Path) -> None:
    problems = Problems()
    found = read_texts(folder, problems, ["Two cats sleep on a bed!"])

    assert [(s.text, s.kind, s.thing) for s in found] == [
        ("an orange pizza", "thing", "pizza"),
        ("a dog runs on grass", "caption", None),
        ("the man's hat", "referring", None),
    ]
    assert problems.counts == {"lines that are no text": 2}


def test_texts_read_back_as_written(folder: Path, tmp_path: Path) -> None:
    found = read_texts(folder, Problems())
    write_texts(found, tmp_path / "corpus.jsonl")
    assert load_texts(tmp_path / "corpus.jsonl") == found


@pytest.mark.parametrize("line", ["{", json.dumps({"text": "a", "kind": "poem"}), json.dumps({"kind": "caption"})])
def test_a_damaged_corpus_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "corpus.jsonl").write_text(line)
    with pytest.raises(InputError, match="Line 1 of corpus"):
        load_texts(tmp_path / "corpus.jsonl")


def test_a_folder_without_texts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"coco_captions\.txt"):
        read_texts(tmp_path, Problems())


def test_a_cut_off_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "coco_captions.txt.gz").write_bytes(gzip.compress(b"a dog runs on grass\n" * 99)[:-9])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_texts(tmp_path, Problems())
