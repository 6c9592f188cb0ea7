import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from dynrefer.boxes import check_box
from dynrefer.errors import InputError
from dynrefer.views import (
    CANDIDATES,
    VIEW_SIZE,
    boxes_in_views,
    crop_views,
    pixel_boxes,
    validate_coefficients,
    view_boxes,
)

STEPS = [0.0, *CANDIDATES]
sizes = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


@st.composite
def regions(draw: st.DrawFn) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
    """A valid box and the size of its image."""
    width, height = draw(sizes)
    x1, x2 = sorted((draw(st.floats(0, width)), draw(st.floats(0, width))))
    y1, y2 = sorted((draw(st.floats(0, height)), draw(st.floats(0, height))))
    assume(x2 - x1 >= 1 and y2 - y1 >= 1 and (width * height == 1 or max(x2, y2) > 1))  # which looks like shares
    return check_box((x1, y1, x2, y2), (width, height)), (width, height)


def test_candidates_are_the_tenths() -> None:
    assert CANDIDATES == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def test_a_view_lies_between_the_region_and_the_image() -> None:
    boxes = view_boxes((64, 255, 383, 382), (640, 480), [0, 0.5, 1])
    assert boxes.dtype == np.float32
    np.testing.assert_allclose(boxes, [[64, 255, 383, 382], [32, 127.5, 511.5, 431], [0, 0, 640, 480]], atol=1e-3)


def test_interpolation_runs_in_single_precision() -> None:
    box, size, t = (101.3, 57.7, 240.9, 199.1), (1023, 767), 0.7
    region, image = np.float32(box), np.float32([0, 0, *size])
    np.testing.assert_array_equal(view_boxes(box, size, [t])[0], region + (image - region) * np.float32(t))


@given(regions())
def test_views_are_nested(region: tuple) -> None:
    box, size = region
    boxes = view_boxes(box, size, STEPS)
    rounding = np.spacing(np.float32(max(size)))
    assert (np.diff(boxes[:, :2], axis=0) <= rounding).all()
    assert (np.diff(boxes[:, 2:], axis=0) >= -rounding).all()


@given(regions())
@example(((3998.999, 0.0, 4000.0, 1.0), (4000, 3000)))
@example(((0.0, 0.0, 1.0, 1.0), (1, 1)))
def test_pixel_boxes_hold_at_least_a_pixel_inside_the_image(region: tuple) -> None:
    box, size = region
    pixels = pixel_boxes(view_boxes(box, size, STEPS), size)
    assert pixels.dtype == np.int64
    assert (pixels[:, :2] >= 0).all()
    assert (pixels[:, :2] < pixels[:, 2:]).all()
    assert (pixels[:, 2:] <= size).all()


def test_pixel_boxes_are_truncated_and_not_rounded() -> None:
    assert pixel_boxes(np.array([[1.9, 2.9, 30.9, 40.9]]), (640, 480)).tolist() == [[1, 2, 30, 40]]


def test_pixel_boxes_are_clipped() -> None:
    assert pixel_boxes(np.array([[-9, -9, 900, 900], [700, 700, 800, 800]]), (640, 480)).tolist() == [
        [0, 0, 640, 480],
        [639, 479, 640, 480],
    ]


@given(regions())
def test_the_region_lies_inside_each_of_its_views(region: tuple) -> None:
    box, size = region
    inside = boxes_in_views(box, view_boxes(box, size, STEPS), size)
    assert inside.dtype == np.float32
    assert (inside >= 0).all()
    assert (inside <= VIEW_SIZE).all()
    assert (inside[:, :2] < inside[:, 2:]).all()


def test_the_region_fills_its_own_view() -> None:
    box = (10.4, 20.6, 133.3, 99.9)
    np.testing.assert_array_equal(boxes_in_views(box, np.float32([box]), (640, 480)), [[0, 0, 224, 224]])


def test_the_region_inside_a_view_is_scaled_from_whole_pixels() -> None:
    inside = boxes_in_views((20.9, 30.9, 40.9, 60.9), np.float32([[10.9, 10.9, 60.9, 110.9]]), (640, 480), size=100)
    np.testing.assert_allclose(inside, [[20, 20, 60, 50]])


def test_a_mark_is_found_where_the_region_is_said_to_lie() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    box = (120, 80, 200, 180)
    image[80:180, 120:200] = 255
    boxes = view_boxes(box, (400, 300), [0.2, 0.5, 1])
    for crop, inside in zip(crop_views(image, boxes), boxes_in_views(box, boxes, (400, 300)), strict=True):
        rows, columns = np.nonzero(crop[..., 0] > 127)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, inside, atol=1)


def test_crops_are_pil_bicubic_of_the_pixels_inside_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    crops = crop_views(image, np.float32([[10.7, 20.2, 70.9, 60.1]]), size=32)
    expected = Image.fromarray(image[20:60, 10:70]).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(crops, np.asarray(expected)[None])


def test_a_view_of_one_pixel_is_cropped() -> None:
    crops = crop_views(np.full((1, 1, 3), 7, np.uint8), view_boxes((0, 0, 1, 1), (1, 1), STEPS))
    assert crops.shape == (11, VIEW_SIZE, VIEW_SIZE, 3)
    assert (crops == 7).all()


@pytest.mark.parametrize("coefficients", [(0, 0.25, 1), [0.0, 0.25, 1.0], np.array([0, 0.25, 1])])
def test_coefficients_of_any_kind_become_floats(coefficients: object) -> None:
    assert validate_coefficients(coefficients) == [0.0, 0.25, 1.0]


@pytest.mark.parametrize(
    ("coefficients", "words"),
    [
        ([0, 1.01], "1.01 is outside"),
        ([0, -0.1], "-0.1 is outside"),
        ([0, float("nan")], "finite, and nan"),
        ([0, float("inf")], "finite, and inf"),
        ([0, 10**400], "finite"),
        ([0, "0.5"], '"0.5" is not'),
        ([0, None], "one is missing"),
        ([0, True], '"True" is not'),
        (0.5, "list of numbers"),
        ("0.5", "list of numbers"),
        (None, "list of numbers"),
    ],
)
def test_bad_coefficients_are_refused_in_words(coefficients: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        validate_coefficients(coefficients)
