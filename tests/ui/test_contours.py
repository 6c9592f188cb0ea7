"""Regions proposed for a whole photograph."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dynrefer.boxes import check_box
from dynrefer.ui.contours import LEAST_SCORE, MOST, best, fresh, propose, windows


@pytest.mark.parametrize("size", [(240, 180), (240, 18), (1, 1), (7, 240)])
def test_windows_lie_inside_the_image_and_reach_its_edges(size: tuple[int, int]) -> None:
    places = np.array([check_box(window, size) for window in windows(size)])
    assert [*places[:, :2].min(axis=0), *places[:, 2:].max(axis=0)] == pytest.approx([0, 0, *size])


@pytest.mark.parametrize("mark", [(100, 200, 400, 500), (1000, 300, 1200, 800)], ids=["left", "right"])
def test_the_best_proposal_encloses_the_only_thing_there_is(mark: tuple[int, int, int, int]) -> None:
    image = Image.new("RGB", (1600, 900), "white")
    ImageDraw.Draw(image).ellipse(mark, fill="black")
    boxes, scores = propose(np.asarray(image))
    x1, y1, x2, y2 = boxes[0]
    assert x1 <= mark[0] and y1 <= mark[1] and x2 >= mark[2] and y2 >= mark[3]
    assert (x2 - x1) * (y2 - y1) < 3 * (mark[2] - mark[0]) * (mark[3] - mark[1])
    assert scores[0] == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (480, 640, 3), (9, 2000, 3)])
def test_a_photograph_without_contours_still_has_valid_proposals(shape: tuple[int, int, int]) -> None:
    boxes, scores = propose(np.full(shape, 128, dtype=np.uint8))
    assert boxes
    assert len(scores) == len(boxes)
    for box in boxes:
        check_box(box, (shape[1], shape[0]))


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0), (1.0, 0.0, 11.0, 10.0), (50.0, 50.0, 60.0, 60.0)]
    assert best(boxes, [0.7, 0.9, 0.6]) == [boxes[1], boxes[2]]


def test_boxes_without_a_score_yet_and_with_a_low_one_are_left_out() -> None:
    boxes = [(20.0 * place, 0.0, 20.0 * place + 10, 10.0) for place in range(3)]
    assert best(boxes, [0.8, 0.7 * LEAST_SCORE]) == [boxes[0]]


def test_the_number_of_regions_is_limited() -> None:
    boxes = [(20.0 * place, 0.0, 20.0 * place + 10, 10.0) for place in range(3 * MOST)]
    assert len(best(boxes, [0.9] * len(boxes))) == MOST


def test_a_proposal_near_a_known_box_is_left_out_and_the_known_box_itself_stays() -> None:
    known = [(10.0, 10.0, 50.0, 50.0)]
    assert fresh([(12.0, 12.0, 50.0, 50.0), (60.0, 60.0, 90.0, 90.0), *known], known) == [
        (60.0, 60.0, 90.0, 90.0),
        *known,
    ]
    assert fresh(known, []) == known
    assert fresh([], known) == []
