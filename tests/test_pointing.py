"""Points, scribbles and masks, as people and programs give them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from dynrefer import InputError, Predictor
from dynrefer.pointing import encode_mask, mask_outline, read_mask, read_prompt

SIZE = (120, 90)


@pytest.fixture
def mask() -> np.ndarray:
    """Two blobs on 120 x 90: bool [90, 120], bounds 10, 20, 60, 70."""
    marked = np.zeros((90, 120), bool)
    marked[20:40, 10:50] = marked[60:70, 40:60] = True
    return marked


def test_a_mask_has_the_same_bounds_in_every_form(mask: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    Image.fromarray(mask).save(file)
    runs = encode_mask(mask)
    polygons = [[10, 20, 49, 20, 49, 39, 10, 39], [40, 60, 59, 60, 59, 69, 40, 69]]
    forms = (mask, mask.astype(np.uint8) * 255, mask.tolist() and Image.open(file), str(file), runs, polygons)
    for form in forms:
        prompt = read_prompt(SIZE, mask=form)
        assert prompt is not None and prompt.bounds == (10, 20, 60, 70)


def test_run_lengths_are_those_of_cocos_own_tools(mask: np.ndarray) -> None:
    for marked in (mask, ~mask, np.random.default_rng(0).random((90, 120)) < 0.5):
        theirs = coco_mask.encode(np.asfortranarray(marked.astype(np.uint8)))
        assert encode_mask(marked) == {"size": [90, 120], "counts": theirs["counts"].decode()}
        assert (read_mask({"size": [90, 120], "counts": theirs["counts"]}, SIZE) == marked).all()


def test_uncompressed_run_lengths_are_read() -> None:
    assert read_mask({"size": [90, 120], "counts": [0, 90, 90 * 119]}, SIZE)[:, 0].all()


@pytest.mark.parametrize("kind", ["point", "points", "scribble", "mask"])
def test_the_result_says_what_was_pointed_with_and_the_box_that_came_of_it(
    tiny_predictor: Predictor, photo: np.ndarray, kind: str, mask: np.ndarray
) -> None:
    given: Any = {
        "point": (30, 30),
        "points": [(30, 30), (100, 80, False)],
        "scribble": [(20, 20), (30, 30), (40, 40)],
        "mask": mask,
    }[kind]
    result = tiny_predictor.refer(photo, captions=False, **{kind: given})
    told = json.loads(json.dumps(result.to_dict()))
    assert list(told["prompt"]) == [kind]
    assert told["box"] == [round(side, 3) for side in result.box]
    if kind == "mask":
        assert told["box"] == [10, 20, 60, 70]


def test_a_scribble_of_a_thousand_points_takes_what_it_lies_on(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    line = [(20 + k / 50, 30.0) for k in range(1000)]
    x1, y1, x2, y2 = tiny_predictor.refer(photo, scribble=line, captions=False).box
    assert x1 <= 20 and x2 >= 39 and y1 <= 30 <= y2


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"point": (130, 5)}, "point lies outside the 120 x 90 image: 130, 5"),
        ({"point": (float("nan"), 5)}, "must be finite"),
        ({"point": (5,)}, "must be two numbers x, y"),
        ({"point": "here"}, "must be two numbers x, y"),
        ({"point": ("a", 5)}, "must be a number"),
        ({"points": [(5, 5)] * 10_000}, "may have 1 to 1000 points; 10000 were given"),
        ({"points": []}, "may have 1 to 1000 points; 0 were given"),
        ({"points": 7}, "must be a list of points"),
        ({"points": [(5, 5, "yes")]}, "inside .true. or outside .false."),
        ({"points": [(5, 5, False)]}, "give at least one that is inside"),
        ({"scribble": [(5, 5), (500, 5)]}, "oint 2 of 2 lies outside"),
        ({"mask": np.zeros((90, 120), bool)}, "mask is empty"),
        ({"mask": np.ones((120, 90), bool)}, "mask is 90 x 120 and the image 120 x 90"),
        ({"mask": {"size": [90, 120], "counts": [5, 5]}}, "runs add up to 10 pixels, and 120 x 90 are 10800"),
        ({"mask": {"size": [90, 120], "counts": "zzz\x01"}}, "is damaged or was cut off"),
        ({"mask": {"size": [90, 120], "counts": "o"}}, "is damaged or was cut off"),
        ({"mask": {"size": [30000, 30000], "counts": [0, 900_000_000]}}, "30000 x 30000 and the image 120 x 90"),
        ({"mask": {"size": [90, -1], "counts": [5]}}, "must be COCO's|must be .*counts"),
        ({"mask": {"counts": [5]}}, "run-length encoding must be"),
        ({"mask": [[1, 2], [3, 4]]}, "at least three points"),
        ({"mask": "no such file.png"}, "no such file.png cannot be read"),
        ({"mask": 7}, "mask must be an array"),
        ({"mask": []}, "mask must be an array"),
        ({"mask": np.full((90, 120), np.nan)}, "array of numbers or truths"),
    ],
)
def test_what_nobody_can_point_with_is_said_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        read_prompt(SIZE, **given)
    assert "\n" not in str(error.value)


def test_a_box_and_a_point_at_once_are_one_too_many(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="either one box"):
        tiny_predictor.refer(photo, (1, 1, 50, 50), point=(5, 5))


def test_a_mask_with_a_hole_has_two_edges() -> None:
    mask = np.zeros((60, 80), dtype=bool)
    mask[10:50, 20:70] = True
    mask[20:30, 30:40] = False
    outer, hole = sorted(mask_outline(mask), key=lambda edge: min(edge))
    assert [min(x for x, _ in outer), max(x for x, _ in outer)] == [20, 69]
    assert len(hole) >= 4
