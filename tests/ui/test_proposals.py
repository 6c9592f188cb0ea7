"""Regions proposed for a whole photograph."""

import pytest

from dynrefer.regions import validate_box
from dynrefer.ui.proposals import MOST, best, windows


@pytest.mark.parametrize("size", [(640, 480), (4000, 300), (1, 1), (7, 900)])
def test_windows_lie_inside_the_photograph_and_reach_its_edges(size: tuple[int, int]) -> None:
    places = [validate_box(window, size) for window in windows(size)]
    edges = [min(place[0] for place in places), min(place[1] for place in places)]
    edges += [max(place[2] for place in places), max(place[3] for place in places)]
    assert edges == pytest.approx([0, 0, *size])


def test_of_overlapping_windows_the_most_certain_stays() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0), (1.0, 0.0, 11.0, 10.0), (50.0, 50.0, 60.0, 60.0)]
    assert best(boxes, [0.7, 0.9, 0.6]) == [boxes[1], boxes[2]]


def test_uncertain_windows_are_left_out_but_for_the_best_one() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)]
    assert best(boxes, [0.2, 0.3]) == [boxes[1]]


def test_the_number_of_proposals_is_limited() -> None:
    boxes = [(20.0 * place, 0.0, 20.0 * place + 10, 10.0) for place in range(3 * MOST)]
    assert len(best(boxes, [0.9] * len(boxes))) == MOST
