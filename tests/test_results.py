from dataclasses import replace

from dynrefer.results import Attribute, Caption, RegionResult, Scored
from dynrefer.selection import ViewChoice

RESULT = RegionResult(
    box=(64.123456, 255.0, 383.0, 382.5),
    caption=Caption("a red boat", 0.87654321),
    classes=(Scored("boat", 0.9), Scored("surfboard", 3.21e-6)),
    tags=(Scored("boat", 0.95), Scored("sea", 0.81)),
    attributes=(Attribute("red", "color", 0.7), Attribute("wet", "state", 1 / 3)),
    views=(
        ViewChoice(0.0, (64.123456, 255.0, 383.0, 382.5), None, 0),
        ViewChoice(0.1, (57.711111, 229.5, 408.7, 392.25), 123.456789, 1),
        ViewChoice(0.2, (51.3, 204.0, 434.4, 402.0), 50.0, None),
    ),
    timing_ms={"encode": 80.123, "caption": 61.0},
    model="dynrefer-mini",
    none_of_these=0.1,
    sure=False,
    notes=("A note.",),
)
BARE = RegionResult((1.0, 2.0, 30.0, 40.0), None, (), (), (), (ViewChoice(0.0, (1.0, 2.0, 30.0, 40.0), None, 0),))


def test_a_result_is_the_documented_json() -> None:
    assert RESULT.to_dict() == {
        "box": [64.123, 255.0, 383.0, 382.5],
        "prompt": None,
        "mask": None,
        "caption": {"text": "a red boat", "score": 0.8765},
        "classes": [{"name": "boat", "score": 0.9}, {"name": "surfboard", "score": 3.21e-06}],
        "none_of_these": 0.1,
        "sure": False,
        "tags": [{"name": "boat", "score": 0.95}, {"name": "sea", "score": 0.81}],
        "attributes": [
            {"name": "red", "type": "color", "score": 0.7},
            {"name": "wet", "type": "state", "score": 0.3333},
        ],
        "views": [
            {"t": 0.0, "box": [64.123, 255.0, 383.0, 382.5], "gain": None, "rank": 0},
            {"t": 0.1, "box": [57.711, 229.5, 408.7, 392.25], "gain": 123.5, "rank": 1},
            {"t": 0.2, "box": [51.3, 204.0, 434.4, 402.0], "gain": 50.0, "rank": None},
        ],
        "notes": ["A note."],
        "timing_ms": {"encode": 80.1, "caption": 61.0},
        "model": "dynrefer-mini",
    }


def test_how_a_region_was_pointed_at_is_part_of_the_json() -> None:
    assert replace(BARE, prompt={"point": [3, 4]}).to_dict()["prompt"] == {"point": [3, 4]}
    assert BARE.to_dict()["none_of_these"] is None


def test_views_taken_are_those_with_a_rank_in_its_order() -> None:
    views = tuple(ViewChoice(t, (0, 0, 1, 1), 1.0, rank) for t, rank in ((0.0, 0), (0.1, 2), (0.2, None), (0.3, 1)))
    assert [view.t for view in replace(BARE, views=views).taken] == [0.0, 0.3, 0.1]
