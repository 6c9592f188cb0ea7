"""Runs of `refer --out` that end before their end, and what the next one takes from them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynrefer import Predictor
from dynrefer.cli.output import journal
from dynrefer.errors import InputError
from tests.cli.conftest import Refer
from tests.cli.test_refer import save

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS, BOXES = 10, 5  # more than the 32 regions that are answered together
QUICKLY = ("--views", "1", "--beams", "1")
Counted = list[int]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for number in range(PHOTOGRAPHS):
        save(tmp_path / "photographs" / f"{number:02d}.png", seed=number)
    return tmp_path / "photographs"


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    entries = [
        {"image": f"{number:02d}.png", "box": [x, 2, x + 20, 40]} for number in range(PHOTOGRAPHS) for x in range(BOXES)
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(entries))
    return tmp_path / "boxes.json"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How many boxes of each request the model was asked about."""
    counted: Counted = []
    answer_all = Predictor.refer_many

    def counting(self: Predictor, requests: Any, **options: Any) -> Iterator[Any]:
        def seen() -> Iterator[Any]:
            for photo, boxes in requests:
                counted.append(len(boxes))
                yield photo, boxes

        return answer_all(self, seen(), **options)

    monkeypatch.setattr(Predictor, "refer_many", counting)
    return counted


def answers(file: Path) -> list[tuple[Any, ...]]:
    """Whereof a file's answers are, and what they say first."""
    return [(one["image"], one["box"], one["classes"][0]["name"]) for one in json.loads(file.read_text())]


@pytest.mark.slow
def test_a_run_that_was_killed_keeps_its_answers_and_the_next_one_goes_on(
    refer: Refer, photographs: Path, boxes: Path, tiny_checkpoint: Path, tmp_path: Path, asked: Counted
) -> None:
    out, journal = tmp_path / "out.json", tmp_path / "out.json.unfinished.jsonl"
    command = [sys.executable, "-m", "dynrefer", "refer", str(photographs), "--boxes", str(boxes), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = ["--model", str(tiny_checkpoint), "--device", "cpu", *QUICKLY]
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, env=environment) as run:
        assert run.stdout is not None
        shown = next(line for line in run.stdout if line.startswith(b"01.png"))  # printed just before it is noted
        run.kill()
    assert shown and not out.exists()
    kept = journal.read_text().splitlines()
    assert BOXES <= len(kept) < PHOTOGRAPHS * BOXES
    journal.write_text(journal.read_text() + kept[-1][:50])  # as if killed in the middle of a line
    assert refer(photographs, "--boxes", boxes, *QUICKLY, "--out", out) == 0
    assert sum(asked) == PHOTOGRAPHS * BOXES - len(kept)
    assert not journal.exists()
    assert refer(photographs, "--boxes", boxes, *QUICKLY, "--out", tmp_path / "undisturbed.json") == 0
    assert answers(out) == answers(tmp_path / "undisturbed.json")


def test_a_journal_for_which_the_disk_is_full_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"disk is full: .*out\.json\.unfinished\.jsonl could not be written"),
        journal(tmp_path / "out.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_asked_otherwise_or_of_another_photograph_is_asked_again(
    refer: Refer, photographs: Path, boxes: Path, tmp_path: Path, asked: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (photographs / "00.png", "--boxes", boxes, "--out", tmp_path / "out.json")

    def stopped(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("dynrefer.cli.refer.write", stopped)
        for _ in range(2):
            with pytest.raises(MemoryError):
                refer(*run)
        assert asked == [BOXES]
        with pytest.raises(MemoryError):
            refer(*run, "--beams", 1)
        assert asked == [BOXES, BOXES]
    save(photographs / "00.png", seed=1000)
    assert refer(*run) == 0
    assert asked == [BOXES] * 3


def test_a_run_that_was_interrupted_is_gone_on_with(
    refer: Refer,
    photographs: Path,
    boxes: Path,
    tmp_path: Path,
    asked: Counted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = (photographs, "--boxes", boxes, *QUICKLY, "--out", tmp_path / "out.json")
    take_down = json.dumps

    def interrupt(answer: Any, **options: Any) -> str:
        if isinstance(answer, dict) and answer.get("image") == "03.png":
            raise KeyboardInterrupt
        return take_down(answer, **options)

    with monkeypatch.context() as patch:
        patch.setattr("dynrefer.cli.output.json.dumps", interrupt)
        assert refer(*run) == 130
    assert f"Stopped, with {3 * BOXES} regions answered; the same command goes on.\n" in capsys.readouterr().err
    asked.clear()
    assert refer(*run) == 0
    assert sum(asked) == (PHOTOGRAPHS - 3) * BOXES
    assert len(answers(tmp_path / "out.json")) == PHOTOGRAPHS * BOXES


@pytest.mark.parametrize("option", ["--json", "--out"])
@pytest.mark.parametrize("lost", ["boxes.json", "photographs/01.png", "photographs/00.png"])
def test_what_is_read_is_not_overwritten(
    refer: Refer,
    photographs: Path,
    boxes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    lost: str,
) -> None:
    before = (tmp_path / lost).read_bytes()
    assert refer(photographs / "00.png", "--boxes", boxes, option, tmp_path / lost) == 2
    assert "would be lost; name another file" in capsys.readouterr().err
    assert (tmp_path / lost).read_bytes() == before
