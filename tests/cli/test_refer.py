"""The command `refer`: photographs and boxes from files, what cannot be answered, and what it writes."""

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dynrefer import Predictor, formats
from dynrefer.__main__ import main
from dynrefer.cli.refer import as_text
from dynrefer.results import Attribute, Caption, RegionResult
from tests.cli.conftest import Refer


def save(path: Path, width: int = 64, height: int = 48, seed: int = 0, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def box_file(folder: Path, *named: tuple[str, list[Any]], **image: Any) -> Path:
    """A COCO file with one annotation for each of these (photograph, bbox); equal names are one photograph."""
    names = list(dict.fromkeys(name for name, _ in named))
    content = {
        "images": [{"id": number, "file_name": name, **image} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": names.index(name), "bbox": bbox}
            for number, (name, bbox) in enumerate(named, start=1)
        ],
    }
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / "boxes.json"


@pytest.fixture
def loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the model is a failure of the test."""

    def load(*_: object) -> None:
        pytest.fail("the model was loaded before the error was noticed")

    monkeypatch.setattr(Predictor, "from_pretrained", load)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for seed, name in enumerate(("cat.jpg", "dog.jpg", "far/away/cow.jpg")):
        save(tmp_path / "photographs" / name, seed=seed)
    return tmp_path / "photographs"


BOX = [4, 4, 30, 30]


def test_every_box_of_a_folder_is_answered_at_any_depth(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = box_file(
        tmp_path, ("cat.jpg", BOX), ("x/dog.jpg", [0, 0, 9, 9]), ("away\\cow.JPG", BOX), ("cat.jpg", [1, 1, 5, 5])
    )
    assert refer(photographs, "--boxes", file, "--json", "-") == 0
    answers = json.loads(capsys.readouterr().out)
    assert [(answer["image"], answer["annotation"], answer["box"]) for answer in answers] == [
        ("cat.jpg", 1, [4, 4, 34, 34]),
        ("cat.jpg", 4, [1, 1, 6, 6]),
        ("dog.jpg", 2, [0, 0, 9, 9]),
        ("far/away/cow.jpg", 3, [4, 4, 34, 34]),
    ]


def test_photographs_of_one_name_get_their_own_boxes(
    refer: Refer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("cam1", "cam2")):
        save(tmp_path / "photos" / name / "frame_0001.jpg", seed=seed)
    file = box_file(tmp_path, ("cam1/frame_0001.jpg", BOX), ("cam2/frame_0001.jpg", [0, 0, 9, 9]))
    assert refer(tmp_path / "photos", "--boxes", file, "--json", "-") == 0
    answers = json.loads(capsys.readouterr().out)
    assert [(a["image"], a["box"][2]) for a in answers] == [("cam1/frame_0001.jpg", 34), ("cam2/frame_0001.jpg", 9)]
    assert refer(tmp_path / "photos" / "cam1", "--boxes", file, "--json", "-") == 3
    out, err = capsys.readouterr()
    assert [(a["image"], a["box"][2]) for a in json.loads(out)] == [("frame_0001.jpg", 34)]
    assert 'Left out: cam2/frame_0001.jpg, annotation 2: the photograph "cam2/frame_0001.jpg" is not in' in err


def test_a_bad_box_a_damaged_and_a_missing_photograph_cost_themselves_alone(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (photographs / "dog.jpg").read_bytes()
    (photographs / "dog.jpg").write_bytes(whole[: len(whole) // 2])
    file = box_file(
        tmp_path, ("cat.jpg", [9, 9, 5, 0]), ("dog.jpg", BOX), ("gone.jpg", BOX), ("cat.jpg", BOX), ("cow", BOX)
    )
    assert refer(photographs, "--boxes", file, "--json", tmp_path / "new" / "out.json") == 3
    answers = json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8"))
    assert [(answer["image"], answer["annotation"]) for answer in answers] == [("cat.jpg", 4), ("far/away/cow.jpg", 5)]
    out, err = capsys.readouterr()
    assert out.count("  caption     ") == 2
    lines = err.splitlines()
    assert lines[-1] == "Answered: 2. Left out: 3."
    for start in (
        "Left out: cat.jpg, annotation 1: the box has no area inside the 64 x 48 image",
        "Left out: dog.jpg is damaged",
        'Left out: gone.jpg, annotation 3: the photograph "gone.jpg" is not in the folder photographs',
    ):
        assert any(line.startswith(start) for line in lines), start


def test_where_no_box_can_be_answered_nothing_is_written(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.json").write_text("before")
    file = box_file(tmp_path, ("cat.jpg", [9, 9, 5, 0]))
    assert refer(photographs, "--boxes", file, "--json", tmp_path / "out.json") == 2
    assert (tmp_path / "out.json").read_text() == "before"
    assert "No box could be answered" in capsys.readouterr().err


def test_boxes_of_a_resized_and_of_a_turned_photograph_fit_them(
    refer: Refer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "photos" / "small.jpg", 32, 24)
    save(tmp_path / "photos" / "tiny.jpg", 32, 24)
    save(tmp_path / "photos" / "phone.jpg", 64, 48, orientation=6)
    file = box_file(
        tmp_path,
        ("small.jpg", [16, 8, 32, 16]),
        ("phone.jpg", [0, 40, 16, 8]),
        ("tiny.jpg", [0, 0, 64, 48]),
        width=64,
        height=48,
    )
    assert refer(tmp_path / "photos", "--boxes", file, "--json", "-") == 0
    out, err = capsys.readouterr()
    assert [answer["box"] for answer in json.loads(out)] == [[8, 4, 24, 12], [0, 0, 8, 16], [0, 0, 32, 24]]
    scaled, turned = err.splitlines()
    assert scaled.startswith("small.jpg is 32 x 24 pixels upright where its file says 64 x 48; the shape is the same")
    assert scaled.endswith("(and likewise 1 more).")
    assert turned.startswith("phone.jpg is 48 x 64 pixels upright where its file says 64 x 48; EXIF turns it")


def test_a_photograph_of_another_shape_is_left_out_by_name(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = box_file(tmp_path, ("cat.jpg", BOX), width=100, height=200)
    assert refer(photographs, "--boxes", file) == 2
    assert "cat.jpg is 64 x 48 pixels upright where its file says 100 x 200" in capsys.readouterr().err


@pytest.mark.usefixtures("loads_nothing")
def test_a_box_file_about_another_photograph_is_refused(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refer(photographs / "cat.jpg", "--boxes", box_file(tmp_path, ("dog.jpg", BOX))) == 2
    assert capsys.readouterr().err == "boxes.json has no boxes for cat.jpg; it is about dog.jpg.\n"


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cat.jpg"], "Say where to look"),
        (["--box", "1", "2", "3", "4"], "Name the photograph"),
        (["cat.jpg", "--box", "1", "2", "3", "4", "--format", "cvat"], "Say where the answers are to go"),
        ([".", "--everything"], "for all of them there is `describe FOLDER --everything`"),
        (["none.jpg", "--box", "1", "2", "3", "4"], "There is no photograph none.jpg"),
        ([".", "--box", "1", "2", "3", "4"], "A folder of photographs needs --boxes"),
        (["cat.jpg", "--box", "1", "2", "x", "4"], '"x" is not a number'),
        (["cat.jpg", "--box", "1", "2", "3"], "numbers x1 y1 x2 y2 are needed"),
        (["cat.jpg", "--boxes", "none.json"], "There is no file none.json"),
        (["cat.jpg", "--box", "1", "2", "9", "9", "--classes", "none.txt"], "There is no file none.txt"),
        (["cat.jpg", "--box", "1", "2", "9", "9", "--coefficients", "a"], "Coefficients are numbers"),
        (["cat.jpg", "--box", "1", "2", "9", "9", "--views", "99"], "number of views"),
        (["cat.jpg", "--box", "1", "2", "9", "9", "--json", "."], "it is a folder"),
        (["cat.jpg", "--box", "1", "2", "9", "9", "--json", "cat.jpg/out.json"], "could not be written"),
    ],
    ids=range(14),
)
def test_what_cannot_be_done_is_said_in_one_sentence_before_the_model_is_loaded(
    refer: Refer,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(photographs)
    assert refer(*arguments) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("content", ["\ufeffcat\ndog\n", "cat，dog", "cat;dog;cat"])
def test_classes_may_be_a_file(
    refer: Refer, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "names").write_text(content, encoding="utf-16")
    box = ("--box", 1, 2, 30, 40)
    assert refer(photographs / "cat.jpg", *box, "--classes", tmp_path / "names", "--json", "-") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert {item["name"] for item in answer["classes"]} == {"cat", "dog"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    ("output", "options"), [("full", []), ("full", ["--json", "-"]), ("null", ["--json", "/dev/full"])]
)
def test_a_full_disk_ends_in_a_sentence(
    refer: Refer,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
    options: list[str],
) -> None:
    with open(f"/dev/{output}", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert refer(photographs / "cat.jpg", "--box", 1, 2, 30, 40, *options) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_run_that_dies_leaves_its_answers_where_they_can_be_read(
    refer: Refer, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_all = Predictor.refer_many

    def die_after_one(*given: Any, **options: Any) -> Iterator[Any]:
        yield next(iter(answer_all(*given, **options)))
        raise MemoryError

    monkeypatch.setattr(Predictor, "refer_many", die_after_one)
    boxes, out = box_file(tmp_path, ("cat.jpg", BOX), ("dog.jpg", BOX)), tmp_path / "answers.xml"
    with pytest.raises(MemoryError):
        refer(photographs, "--boxes", boxes, "--out", out)
    assert not out.exists()
    (record,) = formats.read(tmp_path / "answers.xml.unfinished.jsonl")
    assert record.image == "cat.jpg"
    assert record.said["model"] == "tiny"


def test_a_run_that_ends_well_leaves_its_file_alone(refer: Refer, photographs: Path, tmp_path: Path) -> None:
    assert refer(photographs / "cat.jpg", "--box", *BOX, "--out", tmp_path / "answers.xml") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.xml", "photographs"]


def test_an_answer_nobody_reads_is_still_written_to_the_file(
    refer: Refer, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        box = ("--box", 1, 2, 30, 40, "--box", 2, 2, 30, 40)
        assert refer(photographs / "cat.jpg", *box, "--json", tmp_path / "out.json") == 0
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))) == 2


def test_a_screen_without_the_letters_of_a_name_shows_their_codes(
    refer: Refer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    save(tmp_path / "猫é.png")
    assert refer(tmp_path / "猫é.png", "--box", 1, 2, 30, 40, "--json", tmp_path / "out.json") == 0
    assert screen.buffer.getvalue().startswith(b"\\u732b\xe9.png  box 1 2 30 40")  # type: ignore[attr-defined]
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))[0]["image"] == "猫é.png"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16-le"])
def test_json_on_any_screen_can_be_read_back(
    refer: Refer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    save(tmp_path / "猫é😀.png")
    assert refer(tmp_path / "猫é😀.png", "--box", 1, 2, 30, 40, "--json", "-") == 0
    assert json.loads(screen.buffer.getvalue().decode(encoding))[0]["image"] == "猫é😀.png"  # type: ignore[attr-defined]


def test_more_boxes_than_are_asked_at_a_time_are_all_answered(
    refer: Refer,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dynrefer.many.MAX_BOXES", 2)
    rows = "".join(f"cat.jpg,{x},0,{x + 9},9\n" for x in range(5))
    (tmp_path / "boxes.csv").write_text("photo,xmin,ymin,xmax,ymax\n" + rows)
    assert refer(photographs / "cat.jpg", "--boxes", tmp_path / "boxes.csv", "--json", "-") == 0
    assert [answer["box"][0] for answer in json.loads(capsys.readouterr().out)] == [0, 1, 2, 3, 4]


def test_the_photograph_may_follow_its_box_and_answers_go_into_a_new_folder(
    refer: Refer, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "answers.json"
    assert refer("--out", out, "--box", 1, 2, 30, 40, photographs / "cat.jpg") == 0
    assert [record.image for record in formats.read(out)] == ["cat.jpg"]


def test_words_that_the_model_may_not_know_are_said(
    refer: Refer, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refer(photographs / "cat.jpg", "--box", 1, 2, 30, 40, "--classes", "猫、犬") == 0
    assert '"猫" and 1 more may mean little to this model' in capsys.readouterr().err


def test_an_uncertain_answer_says_so() -> None:
    result = RegionResult((1, 2, 3, 4), Caption("a dog", 0.2), (), (), (), (), sure=False)
    assert "caption     Perhaps: a dog  (0.20)" in as_text("cat.jpg", result)


def test_an_attribute_whose_name_others_have_is_told_with_its_type() -> None:
    attributes = tuple(Attribute(*of, 0.5) for of in (("brown", "color"), ("big", "size"), ("brown", "hair color")))
    result = RegionResult((1, 2, 3, 4), None, (), (), attributes, ())
    assert "brown (color) 0.50, big 0.50, brown (hair color) 0.50" in as_text("cat.jpg", result)


def test_the_help_says_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["refer", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "0 every box was answered; 3 some boxes or photographs were left out" in words


def test_an_unknown_argument_is_answered_with_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "a.json", "--out", "b.json", "--images", "photos"])
    assert "dynrefer export" in capsys.readouterr().err
