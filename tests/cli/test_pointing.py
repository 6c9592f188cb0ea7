"""The command `refer` with what is not a box."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynrefer.boxes import share_inside
from dynrefer.proposals import LARGE_PART
from tests.cli.conftest import Refer


@pytest.fixture
def file(photo: np.ndarray, tmp_path: Path) -> Path:
    """The photograph, 120 x 90, as a file."""
    Image.fromarray(photo).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("typed", [["60,45"], ["60", "45"]])
def test_a_point_typed_is_answered_with_its_box(
    refer: Refer, file: Path, capsys: pytest.CaptureFixture[str], typed: list[str]
) -> None:
    assert refer(file, "--json", "-", "--point", *typed) == 0
    (region,) = json.loads(capsys.readouterr().out)
    assert region["prompt"] == {"point": [60, 45]} and region["image"] == "photo.png"
    assert region["box"][0] <= 60 <= region["box"][2]


def test_points_scribble_and_mask_are_read(refer: Refer, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    white = np.zeros((90, 120), np.uint8)
    white[10:50, 20:70] = 255
    Image.fromarray(white).save(file.with_name("mask.png"))
    told = []
    for option, value in (
        ("points", "60,45 10,10,out"),
        ("scribble", "50,40 60,45"),
        ("mask", file.with_name("mask.png")),
    ):
        assert refer(file, f"--{option}", value, "--json", "-") == 0
        told += json.loads(capsys.readouterr().out)
    assert told[0]["prompt"] == {"points": [[60, 45, True], [10, 10, False]]}
    assert told[1]["prompt"] == {"scribble": [[50, 40], [60, 45]]}
    assert told[2]["box"] == [20, 10, 70, 50]


def test_everything_is_one_region_a_thing_as_on_the_page(
    refer: Refer, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynrefer.proposals.CLEAR", 0.0)  # a random model is sure of nothing
    assert refer(file, "--everything", "--coefficients", "0", "--json", "-") == 0
    told = [(one["classes"][0]["name"], one["box"]) for one in json.loads(capsys.readouterr().out)]
    assert 1 <= len(told) <= 12
    assert all(
        share_inside(box, other) < LARGE_PART
        for name, box in told
        for same, other in told
        if same == name and other != box
    )


def test_what_is_found_by_name_is_described_and_else_it_is_said_that_there_is_none(
    refer: Refer, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynrefer.cli.pointing.FOUND", 0.0)
    assert refer(file, "--find", "dog, cup", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)
    monkeypatch.setattr("dynrefer.cli.pointing.FOUND", 1.1)
    assert refer(file, "--find", "dog, cup") == 2
    assert "No dog or cup was found in photo.png; the likeliest place scores 0." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--point", "here"], '"here" is no place; write X,Y'),
        (["--point", "1,2 3,4"], "--point is one place"),
        (["--point", "500,2"], "lies outside the 120 x 90 image"),
        (["--point", "nan,2"], "must be finite"),
        (["--points", "1,2,3"], "is no place"),
        (["--point", "1,2", "--everything"], "Give one of --point, --everything"),
        (["--point", "1,2", "--box", "1", "2", "30", "40"], "not both"),
        (["--point", "1", "2", "3"], "is no place"),
        (["--find", " , "], "no word to look for"),
        (["--mask", "none.png"], "none.png cannot be read"),
    ],
)
def test_what_cannot_be_pointed_with_is_one_sentence(
    refer: Refer, file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert refer(file, *arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
