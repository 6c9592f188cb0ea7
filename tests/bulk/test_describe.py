"""The command `describe`: rows, what fails, and runs that go on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dynrefer import Predictor
from dynrefer.__main__ import main
from dynrefer.bulk import describe as describing
from dynrefer.bulk.engine import Job, Numbered, Outcome, Tell
from dynrefer.photo import Photo
from tests.bulk.conftest import BOX, OTHER, Describe, by_photo, rows, rows_of, save


def test_every_region_is_a_row_with_the_fields_of_refer(
    describe_really: Describe, photographs: Path, boxes: Path, tmp_path: Path, tiny_predictor: Predictor
) -> None:
    assert describe_really(photographs, "--boxes", boxes, "--out", tmp_path / "out", "--shard-size", 3) == 0
    made = rows(tmp_path / "out")
    asked = [(row["photo"], row["region"]) for row in made]
    assert asked == [(f"far/{n % 2}/{n}.png", k) for n in (0, 2, 4, 6, 1, 3, 5) for k in (0, 1)]
    for row, box in zip(made[:4], [BOX, OTHER] * 2, strict=True):
        alone = tiny_predictor.refer(photographs / row["photo"], box=box).to_dict()
        assert [named["name"] for named in row["classes"]] == [named["name"] for named in alone["classes"]]
        assert row["classes"][0]["score"] == pytest.approx(alone["classes"][0]["score"], abs=1e-3)
        assert {key: row[key] for key in ("box", "views", "model")} == {
            key: alone[key] for key in ("box", "views", "model")
        }
        assert row["fingerprint"] == tiny_predictor.checkpoint.fingerprint
        assert row["error"] is None


def test_what_fails_is_a_row_with_a_sentence_and_costs_nothing_else(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "bad.jpg").write_bytes(b"no photograph")
    named = {"0.png": [BOX, [900, 900, 950, 950]], "bad.jpg": [BOX], "gone.jpg": [BOX]}
    (tmp_path / "boxes.json").write_text(json.dumps(named))
    assert describe(photographs, "--boxes", tmp_path / "boxes.json", "--out", tmp_path / "out") == 3
    found = {(row["photo"], row["region"]): row["error"] for row in rows(tmp_path / "out")}
    assert found[("far/0/0.png", 0)] is None
    assert found[("far/0/0.png", None)] == "Box 2: the box lies outside the 64 x 48 image."
    assert "not an image that can be read" in (found[("bad.jpg", None)] or "")
    assert 'the photograph "gone.jpg" is not in the folder' in (found[("gone.jpg", None)] or "")
    told = capsys.readouterr().err
    assert "Described 1 region of 3 photographs" in told
    assert "3 failed" in told
    assert "bad.jpg" in told


def test_what_is_no_ordinary_file_is_a_row_with_a_sentence_and_is_not_waited_for(
    describe: Describe, tmp_path: Path
) -> None:
    save(tmp_path / "photos" / "good.png")
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    (tmp_path / "photos" / "link.png").symlink_to("nowhere.png")
    (tmp_path / "photos" / "self.png").symlink_to("self.png")
    assert describe(tmp_path / "photos", "--whole", "--out", tmp_path / "out") == 3
    errors = {row["photo"]: row["error"] for row in rows(tmp_path / "out")}
    assert errors == {
        "good.png": None,
        "link.png": "link.png is a link that leads to no file; mend it, or put the photograph in its place.",
        "pipe.png": "pipe.png is no ordinary file, not an image file.",
        "self.png": "self.png is a link that leads to no file; mend it, or put the photograph in its place.",
    }


def test_whole_describes_each_photograph_as_one_region(describe: Describe, photographs: Path, tmp_path: Path) -> None:
    assert describe(photographs, "--whole", "--out", tmp_path / "out") == 0
    made = rows(tmp_path / "out")
    assert [(row["box"], row["prompt"]) for row in made] == [([0, 0, 64, 48], {"kind": "whole"})] * 7


def test_everything_and_what_words_find_are_described(describe: Describe, photographs: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "green").save(photographs / "nothing.png")
    assert describe(photographs, "--everything", "--out", tmp_path / "all") == 0
    assert [row["box"] for row in rows(tmp_path / "all")[:3]] == [BOX, BOX, BOX]  # OTHER is most of the same thing
    assert describe(photographs, "--find", "dog, cat", "--out", tmp_path / "found") == 0
    made = {row["photo"]: (row["box"], row["prompt"], row["notes"]) for row in rows(tmp_path / "found")}
    assert made["far/0/0.png"] == (BOX, {"kind": "find", "words": "cat", "score": 0.9}, [])
    assert made["nothing.png"] == (None, None, ["Nothing was found."])
    assert len(rows(tmp_path / "found")) == 8
    assert describe(photographs, "--find", "dog, cat", "--min-score", "0.1", "--out", tmp_path / "more") == 0
    assert len(rows(tmp_path / "more")) == 15


def test_a_run_that_is_done_is_not_done_again(
    describe: Describe, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (photographs, "--whole", "--out", tmp_path / "out")
    describe(*asked)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").glob("[!m.]*")}
    monkeypatch.setattr(Predictor, "from_pretrained", lambda *_: pytest.fail("the model was loaded"))
    assert describe(*asked) == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_run_that_is_done_still_says_what_of_it_failed(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    (photographs / "bad.jpg").write_bytes(b"no photograph")
    asked = (photographs, "--whole", "--out", tmp_path / "out", "--format", form)
    assert describe(*asked) == 3
    capsys.readouterr()
    assert describe(*asked) == 3
    told = capsys.readouterr().err
    assert "Rows with an error in parts from before: 1, for example" in told
    assert "bad.jpg" in told
    save(photographs / "bad.jpg")
    next(part for part in (tmp_path / "out").glob("part-*") if any(row["error"] for row in rows_of(part))).unlink()
    assert describe(*asked) == 0
    assert len(rows(tmp_path / "out")) == 8


def test_few_photographs_are_shared_by_all_workers_and_stay_so_on_another_machine(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(44):
        save(tmp_path / "photographs" / f"{seed}.png", seed)
    sizes: list[list[int]] = []

    def run(_job: Job, shards: Sequence[Numbered], _count: int, _tell: Tell) -> list[Outcome]:
        sizes.append([len(shard) for _, shard in shards])
        return []

    monkeypatch.setattr("dynrefer.bulk.describe.run_processes", run)
    for workers in ("2", "4"):
        command = ["describe", str(tmp_path / "photographs"), "--whole", "--out", str(tmp_path / "out")]
        main([*command, "--workers", workers, "--model", str(tiny_checkpoint)])
    assert sizes == [[11, 11, 11, 11]] * 2


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (["--whole", "--views", "2"], "the options"),
        (["--whole", "--no-captions"], "the options"),
        (["--whole", "--shard-size", "3"], "--shard-size"),
        (["--boxes", "boxes.json"], "what to describe"),
    ],
)
def test_another_question_to_the_same_folder_is_refused(
    describe: Describe,
    photographs: Path,
    boxes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    other: list[str],
    named: str,
) -> None:
    describe(photographs, "--whole", "--out", tmp_path / "out")
    before = rows(tmp_path / "out")
    given = [boxes if word == "boxes.json" else word for word in other]
    assert describe(photographs, *given, "--out", tmp_path / "out") == 2
    assert f"another value for {named}" in capsys.readouterr().err
    assert rows(tmp_path / "out") == before


def test_another_model_to_the_same_folder_is_refused(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(photographs, "--whole", "--out", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    manifest["asked"]["model"] = "0" * 16
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    assert describe(photographs, "--whole", "--out", tmp_path / "out") == 2
    assert "another value for --model" in capsys.readouterr().err


def test_of_options_that_are_others_than_before_those_that_differ_are_named(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(photographs, "--whole", "--out", tmp_path / "out")
    assert describe(photographs, "--whole", "--views", 1, "--out", tmp_path / "out") == 2
    assert "another value for the options (num_views null, now num_views 1);" in capsys.readouterr().err


def test_parts_without_a_manifest_are_somebody_elses(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.jsonl").write_text("mine\n")
    assert describe(photographs, "--whole", "--out", tmp_path / "out") == 2
    assert "has parts of a run but no manifest.json" in capsys.readouterr().err
    assert (tmp_path / "out" / "part-00000.jsonl").read_text() == "mine\n"


def test_new_photographs_are_described_when_only_the_missing_are_asked_for(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (photographs, "--whole", "--out", tmp_path / "out", "--shard-size", 3)
    describe(*asked)
    before = rows(tmp_path / "out")
    save(photographs / "0-new.png", 99)
    assert describe(*asked) == 2
    assert "--only-missing" in capsys.readouterr().err
    (tmp_path / "out" / "part-00001.jsonl").unlink()  # as if that part had not been finished
    assert describe(*asked, "--only-missing") == 0
    assert describe(*asked) == 0
    assert [row for row in by_photo(tmp_path / "out") if row["photo"] != "0-new.png"] == sorted(
        before, key=lambda row: row["photo"]
    )
    assert len(rows(tmp_path / "out")) == 8


def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_is_finished(
    describe: Describe,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write, asked = json.dumps, (photographs, "--whole", "--out", tmp_path / "out", "--shard-size", 2)

    def full(row: Any, **options: Any) -> str:
        if isinstance(row, dict) and str(row.get("photo")).endswith("/4.png"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(row, **options)

    with monkeypatch.context() as patch:
        patch.setattr("dynrefer.bulk.output.json.dumps", full)
        assert describe(*asked) == 2
    told = capsys.readouterr().err
    assert "The disk is full" in told
    assert "Stopped after 1 of 4 parts" in told
    assert [path.name for path in (tmp_path / "out").glob("*part*")] == ["part-00000.jsonl"]
    assert describe(*asked) == 0
    assert len(rows(tmp_path / "out")) == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["{photographs}"], "say where to look: --boxes FILE"),
        (["{photographs}/nowhere", "--whole"], "there is nothing at"),
        (["{empty}", "--whole"], "no photograph, no .parquet and no .tar"),
        (["{photographs}", "--whole", "--shard-size", "0"], "--shard-size must be"),
        (["{photographs}", "--whole", "--workers", "-1"], "--workers must be"),
        (["{photographs}", "--everything", "--min-score", "nan"], "--min-score must be from 0 to 1"),
        (["{photographs}", "--whole", "--views", "99"], "number of views"),
        (["{photographs}/*.gif", "--whole"], "no file matches"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    describe: Describe,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    (tmp_path / "empty").mkdir()
    given = [word.format(photographs=photographs, empty=tmp_path / "empty") for word in arguments]
    assert describe(*given, "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert named.lower() in told.lower()
    assert told.count("\n") == 1


def test_a_folder_in_use_is_refused(
    describe: Describe, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".describe.lock"):
        assert describe(photographs, "--whole", "--out", tmp_path / "out") == 2
    assert "another run is writing" in capsys.readouterr().err.lower()


def test_a_folder_that_cannot_be_looked_into_is_named_and_told_by_the_exit_code(
    describe: Describe,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    look = os.scandir

    def locked(path: Any) -> Any:
        if Path(path) == photographs / "far/1":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", locked)
    for _ in range(2):  # again, where all that can be read is described already
        assert describe(photographs, "--whole", "--out", tmp_path / "out") == 3
        assert "Left out: far/1: the folder cannot be looked into (Permission denied)." in capsys.readouterr().err
    assert len(rows(tmp_path / "out")) == 4


def test_a_photograph_that_is_replaced_after_planning_is_described_as_it_is_by_then(
    describe: Describe, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    path = next(photographs.rglob("6.png"))
    plan = describing.read_input

    def replacing(*given: Any) -> Any:
        planned = plan(*given)
        save(path, seed=600)
        return planned

    monkeypatch.setattr(describing, "read_input", replacing)
    assert describe(photographs, "--whole", "--out", tmp_path / "out") == 0
    row = next(row for row in rows(tmp_path / "out") if row["photo"].endswith("6.png"))
    assert row["digest"] == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert row["caption"]["text"] == Photo.read(path.read_bytes()).digest.hex()
