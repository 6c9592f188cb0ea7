"""Boxes as people, programs and annotation files give them."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import ops

from dynrefer.boxes import (
    MAX_BOXES,
    apart,
    check_box,
    check_boxes,
    geometry,
    has_only_numbers,
    iou,
    overlaps,
    parse_box,
    parse_boxes,
    xyxy_to_xywh,
)
from dynrefer.errors import InputError, shown

SIZE = (640, 480)


@pytest.mark.parametrize(
    "box",
    [
        (10, 20, 30, 40),
        [30, 40, 10, 20],
        (30.0, 20, 10, 40),
        np.array([10, 20, 30, 40]),
        np.float32([10, 20, 30, 40]),
        torch.tensor([10, 20, 30, 40]),
        [np.int64(10), torch.tensor(20.0), 30, np.float64(40)],
        [Decimal(10), Fraction(20), 30, Decimal("40.0")],
    ],
)
def test_a_box_of_any_kind_of_number_is_sorted(box: object) -> None:
    assert check_box(box, SIZE) == (10.0, 20.0, 30.0, 40.0)


def test_a_box_partly_outside_is_clipped() -> None:
    assert check_box([-50, 400, 10**30, 900], SIZE) == (0, 400, 640, 480)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("10 20 30 40", "four numbers"),
        (None, "none was given"),
        (5, "four numbers"),
        ({1, 2, 3, 4}, "four numbers"),
        ({"x1": 1}, "four numbers"),
        ([], "not 0"),
        ([1, 2, 3], "not 3"),
        ([1, 2, 3, 4, 5], "not 5"),
        ([[1, 2, 3, 4]], "is not"),
        (np.ones((2, 2)), "is not"),
        (["1", 2, 3, 4], '"1" is not'),
        ([None, 2, 3, 4], "one is missing"),
        ([True, 2, 3, 4], '"True" is not'),
        ([np.True_, 2, 3, 4], '"True" is not'),
        ([1j, 2, 3, 4], "is not"),
        ([float("nan"), 2, 3, 4], "finite, and nan"),
        ([1, 2, float("inf"), 4], "finite, and inf"),
        ([1, 2, 10**400, 4], "finite"),
        ([10, 20, 10, 40], "no area inside the 640 x 480 image"),
        ([10, 20, 30, 20], "no area inside the 640 x 480 image"),
        ([640, 20, 700, 40], "outside the 640 x 480 image"),
        ([-9, -9, 0, 0], "outside the 640 x 480 image"),
        ([10, 20, 10.5, 40], "less than one pixel of the 640 x 480 image"),
        ([639.5, 20, 700, 40], "less than one pixel of the 640 x 480 image"),
    ],
)
def test_a_bad_box_is_refused_in_words(box: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_box(box, SIZE)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.floats(-2000, 2000), min_size=4, max_size=4),
    st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
)
def test_an_accepted_box_lies_inside_the_image_and_keeps_on_being_accepted(
    box: list[float], size: tuple[int, int]
) -> None:
    try:
        x1, y1, x2, y2 = check_box(box, size)
    except InputError:
        return
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]
    assert check_box((x1, y1, x2, y2), size) == (x1, y1, x2, y2)


@given(st.one_of(st.text(), st.lists(st.one_of(st.text(), st.booleans(), st.none(), st.just(float("nan"))))))
def test_no_junk_raises_anything_but_one_short_sentence(box: object) -> None:
    with pytest.raises(InputError) as caught:
        check_box(box, SIZE)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


def test_boxes_may_be_an_array() -> None:
    assert check_boxes(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), SIZE) == [(1, 2, 3, 4), (5, 6, 7, 8)]


def test_the_box_at_fault_is_named_by_its_place() -> None:
    with pytest.raises(InputError, match="Box 2 of 3: the box lies outside"):
        check_boxes([[1, 2, 3, 4], [700, 2, 800, 4], [1, 2, 3, 4]], SIZE)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([], "at least one"),
        (None, "none was given"),
        ("boxes", "list of boxes"),
        ([1, 2, 3, 4], "Box 1 of 4"),
        ([[1, 2, 3, 4]] * (MAX_BOXES + 1), f"{MAX_BOXES + 1} boxes; the limit is {MAX_BOXES}"),
    ],
)
def test_bad_lists_of_boxes_are_refused(boxes: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_boxes(boxes, SIZE)


@pytest.mark.parametrize("text", ["1 2.5 30 40", "1, 2.5, 30, 40", " [1,2.5;30 40] ", "(1 2.5\t30\n40)"])
def test_a_typed_box_is_read(text: str) -> None:
    assert parse_box(text) == [1.0, 2.5, 30.0, 40.0]


def test_a_typed_box_with_a_word_in_it_is_refused() -> None:
    with pytest.raises(InputError, match='"left" is not a number'):
        parse_box("left 2 3 4")


def test_long_text_is_shown_on_one_short_line() -> None:
    assert shown("a\nb" * 100, 20) == "a ba ba ba ba ba ..."


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("-5 10 100 100", [[-5, 10, 100, 100]]),
        ("−5 10 100 100", [[-5, 10, 100, 100]]),
        (".5 1 20 30", [[0.5, 1, 20, 30]]),
        ("(1, 2, 3, 4)", [[1, 2, 3, 4]]),
        ("(1, 2, 3, 4), (5, 6, 7, 8)", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("[1, 2,\n 3, 4]", [[1, 2, 3, 4]]),
        ("1 2 3 4\n\n 5;6;7;8 \r\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("1 2 (3 4", [[1, 2, 3, 4]]),
        ("１，2，3，4", [[1, 2, 3, 4]]),
    ],
)
def test_pasted_boxes_are_read(text: str, boxes: list[list[float]]) -> None:
    assert has_only_numbers(text)
    assert parse_boxes(text) == boxes


@pytest.mark.parametrize("text", ['{"boxes": [[1, 2, 3, 4]]}', "x1,y1,x2,y2\n1,2,3,4"])
def test_files_with_names_in_them_are_not_taken_for_numbers(text: str) -> None:
    assert not has_only_numbers(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no boxes yet"),
        (" [] ", "no boxes yet"),
        ("1 2 3 4\n5 6 7", "box 2 of 2 has 3 numbers"),
        ("1 2 3 4 5 6 7 8", "box 1 of 1 has 8 numbers"),
        ("1 2 x 4", '"x" is not a number'),
    ],
)
def test_pasted_text_that_is_no_box_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"(?i){words}"):
        parse_boxes(text)


@given(st.text(alphabet="0123456789.-+e()[]{},; \n"))
def test_any_mixture_of_signs_is_read_as_boxes_or_refused(text: str) -> None:
    try:
        boxes = parse_boxes(text)
    except InputError:
        return
    assert all(len(box) == 4 for box in boxes)


@pytest.mark.parametrize("box", [(0.1, 0.2, 0.6, 0.8), (0, 0, 0.5, 1), [0.999, 0.2, 0.1, 0.9]])
def test_shares_of_the_photograph_are_told_that_boxes_are_pixels(box: object) -> None:
    with pytest.raises(InputError, match=r"pixels of the 640 x 480 image.*multiply"):
        check_box(box, SIZE)


def test_the_first_pixel_may_be_the_whole_in_shares_and_is_refused() -> None:
    with pytest.raises(InputError, match="looks like shares of it"):
        check_box([0, 0, 1, 1], SIZE)
    assert check_box([0, 0, 1, 1], (1, 1)) == (0, 0, 1, 1)


def test_any_other_pixel_is_a_box() -> None:
    assert check_box([1, 0, 2, 1], SIZE) == (1, 0, 2, 1)


def test_half_a_pixel_elsewhere_is_no_share() -> None:
    with pytest.raises(InputError, match="less than one pixel"):
        check_box([10, 10, 10.5, 10.5], SIZE)


def test_corners_turn_into_cocos_boxes() -> None:
    assert xyxy_to_xywh((10, 20, 40, 60)) == (10, 20, 30, 40)


def test_overlap_is_intersection_over_union() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_geometry_is_in_shares_of_the_photograph() -> None:
    np.testing.assert_allclose(geometry((64, 48, 320, 480), SIZE), [0.1, 0.1, 0.5, 1, 0.4, 0.9], rtol=1e-6)


@given(st.integers(0, 2**20), st.sampled_from([0.3, 0.6]))
def test_overlaps_and_boxes_apart_are_those_of_torchvision(seed: int, most: float) -> None:
    chance = np.random.default_rng(seed)
    corners = chance.uniform(0, 60, (12, 2))
    boxes = np.concatenate([corners, corners + chance.uniform(5, 40, (12, 2))], 1)
    scores = chance.random(12)
    tensor = torch.from_numpy(boxes)
    np.testing.assert_allclose(overlaps(boxes, boxes[:5]), ops.box_iou(tensor, tensor[:5]), atol=1e-6)
    assert apart(boxes, scores, most).tolist() == ops.nms(tensor, torch.from_numpy(scores), most).tolist()
    assert apart(boxes[:0], scores[:0], most).tolist() == []
