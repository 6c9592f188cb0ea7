"""Machines as they are: full disks, names as long as systems allow, readers that leave, programs that are stopped."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynrefer import Predictor
from dynrefer.__main__ import main
from dynrefer.formats import FORMATS

from .conftest import CAT, PUPPY, Command, coco, write


def test_sigterm_keeps_what_was_answered(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Predictor.refer_many

    def stopped_after_one(self: Predictor, *given: Any, **options: Any) -> Iterator[Any]:
        for results in answer(self, *given, **options | {"batch_size": 1}):
            yield results
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Predictor, "refer_many", stopped_after_one)
    former = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "out.json"
    assert command("refer", photos, "--boxes", write(tmp_path / "boxes.json", coco()), "--json", out).code == 130
    assert [answer["image"] for answer in json.loads(out.read_text(encoding="utf-8"))] == ["cat.png"]
    assert signal.getsignal(signal.SIGTERM) == former


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stdout whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield


@pytest.mark.usefixtures("left")
def test_a_reader_that_leaves_ends_data_build_quietly(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(photos / "val.json", coco())
    assert main(["data", "build", "own", str(photos), "--out", str(tmp_path / "built")]) == 0
    assert len((tmp_path / "built/samples.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert capfd.readouterr().err == ""


def test_a_program_without_a_stdout_writes_its_file(
    command: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert command("refer", photos / "cat.png", "--box", *CAT, "--json", tmp_path / "out.json").code == 0
        assert command("refer", photos / "cat.png", "--box", *CAT, "--json", "-").code == 0
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize("letter", ["b", "猫"])
def test_an_output_may_have_the_longest_name_there_is(
    command: Command, photos: Path, tmp_path: Path, letter: str
) -> None:
    name = letter * (255 // len(letter.encode()))
    for boxes in ((CAT,), (CAT, PUPPY)):  # the second takes the place of the first
        words = [word for box in boxes for word in ("--box", *box)]
        assert command("refer", photos / "cat.png", *words, "--json", tmp_path / name).code == 0
        assert len(json.loads((tmp_path / name).read_text(encoding="utf-8"))) == len(boxes)
    assert {path.name for path in tmp_path.iterdir()} == {name, "photos"}


@pytest.mark.skipif(os.name != "posix", reason="here every file name is text")
@pytest.mark.parametrize("format", FORMATS)
def test_a_name_that_is_no_text_costs_no_answer(command: Command, photos: Path, tmp_path: Path, format: str) -> None:
    photo = (photos / "cat.png").rename(photos / os.fsdecode(b"ka\xff\xfe.png"))
    out = tmp_path / f"out{FORMATS[format].ending}"
    assert command("refer", photo, "--box", *CAT, "--format", format, "--out", out).code == 0
    assert out.stat().st_size


@pytest.mark.parametrize("option", ["photo", "--boxes", "--json"])
def test_a_name_that_no_file_can_have_is_said_in_a_sentence(
    command: Command, photos: Path, tmp_path: Path, option: str
) -> None:
    name = "a" * 256
    words = [photos / "cat.png", "--box", *CAT]
    ran = command("refer", *([name, *words[1:]] if option == "photo" else [*words, option, tmp_path / name]))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "ile name too long" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_device_is_found_before_the_model_is_loaded(
    command: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "from_pretrained", lambda *_: pytest.fail("the model was loaded"))
    ran = command("refer", photos / "cat.png", "--box", *CAT, "--json", "/dev/full")
    assert (ran.code, ran.err) == (2, "The JSON cannot be written to /dev/full: No space left on device.\n")


def test_a_folder_that_cannot_be_made_is_found_before_the_data_set_is_read(command: Command, photos: Path) -> None:
    ran = command("data", "build", "own", photos, "--out", photos / "cat.png" / "built")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "cannot be written" in ran.err
