"""What the panels show of a result."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dynrefer import Predictor
from dynrefer.photo import Photo
from dynrefer.question import Question
from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.selection import ViewChoice
from dynrefer.ui import panels
from dynrefer.ui.album import Album, Entry
from dynrefer.ui.components import read
from dynrefer.ui.session import Session

EVIL = "<script>alert(1)</script>${alert(1)}{{alert}}`"


@pytest.fixture
def result() -> RegionResult:
    views = (
        ViewChoice(0.0, (10, 10, 20, 20), None, 0),
        ViewChoice(0.1, (9, 9, 28, 28), 60.0, 1),
        ViewChoice(0.2, (8, 8, 36, 36), 30.0, None),
    )
    attributes = (Attribute("red", "color", 0.9), Attribute("big", "size", 0.8), Attribute("blue", "color", 0.7))
    tags = (Scored("dog", 0.9), Scored("grass", 0.5))
    return RegionResult((10, 10, 20, 20), Caption(EVIL, 0.5), (Scored("<b>", 0.9),), tags, attributes, views)


def session(*results: RegionResult, question: Question | None = None) -> Session:
    """A visitor who was answered so far with `results`."""
    found = Session()
    for result in results:
        found.answer(found.ticket(), Entry(question or Question(), result, thumbnail="data:,"))
    return found


def test_words_of_model_and_user_are_never_markup(result: RegionResult, predictor: Predictor) -> None:
    for shown in (panels.answer(session(result)), panels.table(session(result), predictor)):
        assert "<script>" not in shown
        assert "<b>" not in re.sub(r"<b>\d+%</b>", "", shown)


def test_attributes_are_grouped_by_type_best_first(result: RegionResult) -> None:
    groups = panels.by_type(result.attributes)
    assert [(type_, [entry.name for entry in group]) for type_, group in groups] == [
        ("color", ["red", "blue"]),
        ("size", ["big"]),
    ]


def test_only_tags_at_or_above_the_threshold_are_shown(result: RegionResult) -> None:
    shown = panels.words(Entry(Question(), result), 0.6)
    assert "dog" in shown
    assert "grass" not in shown
    assert "lower the threshold" in panels.words(Entry(Question(), result), 0.95)


def test_no_result_shows_how_to_begin() -> None:
    assert "Drag a box" in panels.answer(Session())
    assert panels.words(None, 0.5) == panels.gains(None, "") == ""


def test_a_model_in_doubt_says_perhaps(result: RegionResult) -> None:
    unsure = replace(result, caption=Caption("a tree frog", 0.2), sure=False, none_of_these=0.83)
    shown = re.sub("<[^>]+>", "", panels.answer(session(unsure)))
    assert "Perhaps: a tree frog" in shown
    assert "not sure" in shown
    assert "None of these names: 83%" in shown
    assert "None of your own names" in panels.answer(session(unsure, question=Question(classes=("newt",))))


def test_a_sure_model_says_what_it_sees(result: RegionResult) -> None:
    shown = panels.answer(session(replace(result, sure=True, none_of_these=0.01)))
    assert "Perhaps" not in shown
    assert "not sure" not in shown


@pytest.mark.parametrize("mode", list(panels.MODE_NAMES))
def test_the_page_says_by_which_mode_views_were_taken_and_why(result: RegionResult, mode: str) -> None:
    shown = panels.gains(result, mode)
    assert panels.MODE_NAMES[mode] in shown
    assert panels.MODE_REASONS[mode] in shown


def test_views_are_told_apart_alike_on_the_strip_and_on_the_photograph(result: RegionResult) -> None:
    whole = replace(result, views=(*result.views, ViewChoice(1.0, (0, 0, 90, 90), 10.0, None)))
    on_photograph = [view["key"] for view in panels.rectangles(whole)]
    strip = panels.views(Photo.read(np.zeros((90, 90, 3), np.uint8)), whole, "dynamic")
    assert sorted(re.findall('data-t="([^"]+)"', strip)) == sorted(["0", *on_photograph])
    assert "1" in on_photograph


def test_a_package_without_a_file_of_the_page_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        read("missing.css")


def test_rectangles_are_the_views_around_the_box_with_the_chosen_marked(result: RegionResult) -> None:
    shown = panels.rectangles(result)
    assert [(view["key"], view["chosen"]) for view in shown] == [("0.2", False), ("0.1", True)]


def test_regions_that_are_not_shown_are_outlined_with_their_numbers(result: RegionResult) -> None:
    other = RegionResult((0, 0, 5, 5), None, (), (), (), ())
    album = Album().add(Entry(Question(), result)).add(Entry(Question(), other))
    assert panels.outlines(album) == [{"box": [10, 10, 20, 20], "label": "1"}]


def test_every_example_has_a_button() -> None:
    assert panels.example_gallery().count("data-example=") >= 6


def test_the_gain_chart_marks_the_chosen_with_their_place_in_the_order(result: RegionResult) -> None:
    shown = panels.gains(result, "dynamic")
    assert re.findall(r'class="mark"[^>]*>(\d+)<', shown) == ["2"]
    assert re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="(\d)"', shown) == [("99.6", "12.0", "7"), ("145.2", "86.0", "3")]


def test_a_chart_of_several_lines_has_a_legend() -> None:
    points = [panels.Point(0.0, 20.0, "#000"), panels.Point(1.0, 60.0, "#000")]
    lines = [panels.Line("dog", "#111", points), panels.Line("<cat>", "#222", points)]
    result = RegionResult((0, 0, 5, 5), None, (Scored("dog", 0.5),), (), (), ())
    shown = panels.render("sweep", steps=[(0.0, "data:,", result)], classes=lines, attributes=[])
    assert re.findall("</i>([^<]+)</li>", shown) == ["dog", "&lt;cat&gt;"]
    assert shown.count("<polyline") == 2
