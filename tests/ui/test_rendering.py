"""What the panels show of a result."""

import re

import pytest

from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.selection import ViewChoice
from dynrefer.ui import rendering
from dynrefer.ui.album import Album, Entry
from dynrefer.ui.charts import HEIGHT, WIDTH, gain_chart, sweep_chart
from dynrefer.ui.settings import Settings

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


def test_words_of_model_and_user_are_never_markup(result: RegionResult) -> None:
    album = Album().add(Entry(Settings(), result, "data:,"))
    for shown in (rendering.answer(result), rendering.table(album)):
        assert "<script>" not in shown
        assert "<b>" not in re.sub(r"<b>\d+%</b>", "", shown)


def test_attributes_are_grouped_by_type_best_first(result: RegionResult) -> None:
    groups = rendering.by_type(result.attributes)
    assert [(type_, [entry.name for entry in group]) for type_, group in groups] == [
        ("color", ["red", "blue"]),
        ("size", ["big"]),
    ]


def test_only_tags_at_or_above_the_threshold_are_shown(result: RegionResult) -> None:
    shown = rendering.words(result, 0.6)
    assert "dog" in shown
    assert "grass" not in shown
    assert "lower the threshold" in rendering.words(result, 0.95)


def test_no_result_shows_how_to_begin() -> None:
    assert "Drag a box" in rendering.answer(None)
    assert rendering.words(None, 0.5) == rendering.gains(None) == ""


def test_rectangles_are_the_views_around_the_box_with_the_chosen_marked(result: RegionResult) -> None:
    shown = rendering.rectangles(result)
    assert [(view["t"], view["chosen"]) for view in shown] == [(0.2, False), (0.1, True)]


def test_regions_that_are_not_shown_are_outlined_with_their_numbers(result: RegionResult) -> None:
    other = RegionResult((0, 0, 5, 5), None, (), (), (), ())
    album = Album().add(Entry(Settings(), result, "")).add(Entry(Settings(), other, ""))
    assert rendering.outlines(album) == [{"box": [10, 10, 20, 20], "label": "1"}]


def test_every_example_has_a_button() -> None:
    assert rendering.example_gallery().count("data-example=") >= 6


def test_the_gain_chart_marks_the_chosen_with_their_place_in_the_order(result: RegionResult) -> None:
    chart = gain_chart(result)
    assert chart is not None
    assert [(point.t, point.value, point.mark) for point in chart.series[0].points] == [(0.1, 60, "2"), (0.2, 30, "")]
    assert all(0 <= point.x() <= WIDTH and 0 <= point.y(chart.top) <= HEIGHT for point in chart.series[0].points)


def test_a_sweep_draws_one_line_a_name() -> None:
    chart = sweep_chart("scores", ["dog", "cat"], [(0.0, [0.2, 0.8]), (1.0, [0.6, 0.4])])
    assert [(line.name, [point.value for point in line.points]) for line in chart.series] == [
        ("dog", [20, 60]),
        ("cat", [80, 40]),
    ]
