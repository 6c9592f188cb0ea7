"""DynRefer's own JSON and CSV."""

import csv
import io
import json

import pytest

from dynrefer.formats import FORMATS, Record, parse
from dynrefer.formats.table import COLUMNS
from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.selection import ViewChoice

RESULT = RegionResult(
    box=(64.123456, 255.0, 383.0, 382.5),
    caption=Caption("a red boat", 0.87654321),
    classes=(Scored("boat", 0.9), Scored("surfboard", 3.21e-6)),
    tags=(Scored("boat", 0.95), Scored("sea", 0.81)),
    attributes=(Attribute("red", "color", 0.7), Attribute("wet", "state", 1 / 3)),
    views=(
        ViewChoice(0.0, (64.0, 255.0, 383.0, 382.5), None, 0),
        ViewChoice(0.1, (57.0, 229.5, 408.7, 392.25), 1.0, 1),
    ),
    timing_ms={"encode": 80.1},
    model="dynrefer-mini",
    none_of_these=0.1,
    sure=False,
    notes=("A note.",),
)
BARE = RegionResult((1.0, 2.0, 30.0, 40.0), None, (), (), (), ())


def text_of(format: str, *records: Record) -> str:
    (text,) = FORMATS[format].write(records).values()
    return text


def named(text: str) -> Record:
    result = RegionResult(
        (1.0, 2.0, 30.0, 40.0), Caption(text, 0.5), (Scored(text, 0.5),), (Scored(text, 0.5),), (), ()
    )
    return Record.of(result, text)


def test_json_is_a_list_of_answers_with_their_photograph() -> None:
    first, second = json.loads(text_of("json", Record.of(RESULT, "boat.jpg", (640, 480), 7), Record.of(BARE)))
    place = {"image": "boat.jpg", "image_width": 640, "image_height": 480, "annotation": 7}
    assert first == place | RESULT.to_dict()
    assert second == BARE.to_dict()


def test_json_reads_back_as_it_was_with_all_that_it_said() -> None:
    records = [Record.of(RESULT, "boat.jpg", (640, 480), 7), Record.of(BARE, "boat.jpg", (640, 480))]
    text = text_of("json", *records)
    assert json.loads(text_of("json", *parse(text, "saved.json"))) == json.loads(text)


def test_csv_has_a_row_a_result() -> None:
    text = text_of("csv", Record.of(RESULT, "boat.jpg", (640, 480)), Record.of(BARE, "boat.jpg"))
    first, second = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert tuple(first) == COLUMNS
    assert [first[key] for key in ("image", "x1", "y1", "x2", "y2")] == [
        "boat.jpg",
        "64.123",
        "255.0",
        "383.0",
        "382.5",
    ]
    assert [first[key] for key in ("caption", "caption_score", "class", "class_score")] == [
        *("a red boat", "0.8765"),
        *("boat", "0.9"),
    ]
    assert (first["tags"], first["attributes"], first["sure"]) == ("boat | sea", "color: red", "False")
    assert (first["image_width"], first["image_height"], first["model"]) == ("640", "480", "dynrefer-mini")
    assert second["caption"] == second["class"] == second["class_score"] == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_no_text_cell_of_the_csv_begins_a_formula(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(text_of("csv", named(text)), newline=""))
    assert {row[column] for column in ("caption", "class", "tags")} == {"'" + text}


def test_csv_keeps_commas_quotes_and_line_ends_inside_a_cell() -> None:
    text = 'a "big", red\nboat'
    (row,) = csv.DictReader(io.StringIO(text_of("csv", named(text)), newline=""))
    assert row["caption"] == text


def test_a_persons_words_in_a_table_have_no_score() -> None:
    (record,) = parse("image;x1;y1;x2;y2;label;description\na.jpg;1,5;2;30;40;boat;a red boat\n", "boxes.csv")
    assert (record.label, record.score, record.caption, record.box[0]) == ("boat", None, "a red boat", 1.5)
