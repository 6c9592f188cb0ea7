"""Predictions survive a kill, and belong to one model and one set of options."""

import json
from pathlib import Path

import pytest

from dynrefer.errors import InputError
from dynrefer.evaluation.predictions import PredictionStore, read_predictions

IDENTITY = {"model_hash": "a1", "views": "dynamic"}


def interrupted(folder: Path, keys: str) -> None:
    store = PredictionStore(folder, IDENTITY)
    store.add({key: {"caption": key} for key in keys}, dict.fromkeys(keys, 9), 1.0)
    store.close()


def test_a_second_start_finds_what_the_first_predicted(tmp_path: Path) -> None:
    interrupted(tmp_path, "ab")
    store = PredictionStore(tmp_path, IDENTITY)
    assert (store.sizes, store.seconds, store.changed) == ({"a": 9, "b": 9}, 1.0, [])


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    interrupted(tmp_path, "ab")
    partial = tmp_path / "predictions.partial.jsonl"
    partial.write_text(partial.read_text()[:-5])
    store = PredictionStore(tmp_path, IDENTITY)
    assert store.sizes.keys() == {"a"}
    store.add({"b": {"caption": "again"}}, {"b": 9}, 0.5)
    store.finish()
    records = read_predictions(tmp_path / "predictions.json").records
    assert [record["prediction"]["caption"] for record in records] == ["a", "again"]


def test_finished_predictions_are_one_json_file_that_a_larger_run_extends(tmp_path: Path) -> None:
    interrupted(tmp_path, "a")
    PredictionStore(tmp_path, IDENTITY).finish()
    assert not (tmp_path / "predictions.partial.jsonl").exists()
    assert json.loads((tmp_path / "predictions.json").read_text())["identity"] == IDENTITY
    assert PredictionStore(tmp_path, IDENTITY).sizes.keys() == {"a"}


@pytest.mark.parametrize("finished", [True, False])
def test_another_model_starts_anew_and_keeps_the_old_predictions_beside(tmp_path: Path, finished: bool) -> None:
    interrupted(tmp_path, "a")
    if finished:
        PredictionStore(tmp_path, IDENTITY).finish()
    store = PredictionStore(tmp_path, IDENTITY | {"model_hash": "b2"})
    assert (store.sizes, store.changed) == ({}, ["model_hash"])
    (old,) = [file for file in tmp_path.iterdir() if "-" in file.name]
    found = read_predictions(old)
    assert found.identity == IDENTITY
    assert [record["key"] for record in found.records] == ["a"]


@pytest.mark.parametrize("content", ["", "[]", "not json", '{"images": []}'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "predictions.json"
    file.write_text(content)
    with pytest.raises(InputError, match="not a prediction file"):
        PredictionStore(tmp_path, IDENTITY)
    assert file.read_text() == content


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        PredictionStore(tmp_path / "file", IDENTITY)


def test_a_region_asked_again_has_its_latest_prediction(tmp_path: Path) -> None:
    interrupted(tmp_path, "a")
    store = PredictionStore(tmp_path, IDENTITY)
    store.add({"a": {"caption": "of another photograph"}}, {"a": 7}, 1.0)
    store.finish()
    records = read_predictions(tmp_path / "predictions.json").records
    assert [record["prediction"]["caption"] for record in records] == ["of another photograph"]


def test_a_full_disk_is_one_sentence_and_keeps_what_was_written(tmp_path: Path) -> None:
    interrupted(tmp_path, "a")
    store = PredictionStore(tmp_path, IDENTITY)
    store._file.close()
    store._file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115
    with pytest.raises(InputError, match="make room there"):
        store.add({"b": {"caption": "b"}}, {"b": 9}, 1.0)
    assert PredictionStore(tmp_path, IDENTITY).sizes.keys() == {"a"}
