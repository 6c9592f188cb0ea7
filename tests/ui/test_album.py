"""The regions kept of one photograph."""

import pytest

from dynrefer.errors import InputError
from dynrefer.question import Question
from dynrefer.results import Caption, RegionResult, Scored
from dynrefer.ui.album import Album, Entry


def entry(left: float, text: str = "a dog") -> Entry:
    result = RegionResult((left, 0.0, left + 10, 10.0), Caption(text, 0.5), (), (), (), ())
    return Entry(Question(), result, thumbnail="data:,")


def album(count: int) -> Album:
    return Album().extend(entry(place) for place in range(count))


def lefts(album: Album) -> list[float]:
    return [result.box[0] for result in album.results]


def test_a_new_region_is_the_one_shown() -> None:
    found = album(2).add(entry(7))
    assert lefts(found) == [0, 1, 7]
    assert found.selected == 2


def test_the_same_box_asked_again_takes_its_old_place() -> None:
    found = album(3).add(entry(1, "a cat"))
    assert lefts(found) == [0, 1, 2]
    assert found.current is not None
    assert found.current.result.caption == Caption("a cat", 0.5)


def test_many_regions_added_at_once_leave_what_is_shown() -> None:
    found = album(1).select(0).extend([entry(5), entry(6)])
    assert lefts(found) == [0, 5, 6]
    assert found.selected == 0


@pytest.mark.parametrize(("gone", "shown"), [(0, 1), (2, None), (3, 2)])
def test_a_deleted_region_leaves_the_others_and_what_is_shown(gone: int, shown: int | None) -> None:
    found = album(4).select(2).remove(gone)
    assert len(found.entries) == 3
    assert found.selected == shown


@pytest.mark.parametrize("place", [4, -1, "x", None, 1.5, "99999999999999999999", [0]])
def test_a_place_that_is_not_in_the_table_is_refused(place: object) -> None:
    with pytest.raises(InputError, match="no such region"):
        album(4).select(place)


def test_thinning_keeps_tags_at_or_above_the_threshold() -> None:
    tags = (Scored("dog", 0.9), Scored("grass", 0.5), Scored("sky", 0.4))
    result = RegionResult((0, 0, 1, 1), None, (), tags, (), ())
    assert [tag.name for tag in result.thinned(0.5).tags] == ["dog", "grass"]
