from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
import torch
from PIL import Image

from dynrefer import selection
from dynrefer.errors import InputError
from dynrefer.photo import Photo
from dynrefer.question import MODES
from dynrefer.selection import ViewChoice, information_gains, select_views, view_hash
from dynrefer.views import CANDIDATES, boxes_in_views, view_boxes

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
BOX = (70, 50, 150, 130)
# Five views chosen by the authors' own code, and where it places the region in the last of them (whole pixels).
WORKED = [
    ("surfer.jpg", (292, 304, 371, 390), [0.0, 0.1, 0.2, 0.3, 0.4], [57, 106, 96, 182]),
    ("train.jpg", (288, 128, 820, 528), [0.0, 0.1, 0.2, 0.4, 0.3], [28, 18, 203, 203]),
    ("pizza.jpg", (54, 36, 640, 426), [0.0, 0.1, 0.2, 0.3, 0.7], [13, 14, 224, 224]),
    ("cow.jpg", (189, 219, 804, 588), [0.0, 0.2, 0.3, 0.1, 0.4], [21, 39, 198, 207]),
    ("cat.jpg", (104, 0, 470, 358), [0.0, 0.1, 0.2, 0.5, 0.3], [15, 0, 198, 212]),
]


def scene(seed: int = 0, width: int = 320, height: int = 240) -> np.ndarray:
    """Smooth random colours, so that views differ at every scale."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.random((n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC) for n in (3, 9, 27)]
    mixed = sum(layers)
    return np.uint8(255 * (mixed - mixed.min()) / np.ptp(mixed))


def chosen(views: list[ViewChoice]) -> list[float]:
    """Coefficients of the chosen views in rank order, checking that the ranks count up from 0."""
    ranked = sorted((view for view in views if view.rank is not None), key=lambda view: view.rank)
    assert [view.rank for view in ranked] == list(range(len(ranked)))
    return [view.t for view in ranked]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "manual"])
def test_there_is_one_entry_a_candidate_and_the_region_leads(mode: str) -> None:
    views = select_views(scene(), BOX, 4, mode)
    assert [view.t for view in views] == [0.0, *CANDIDATES]
    assert views[0] == ViewChoice(0.0, (70, 50, 150, 130), None, 0)
    assert all(view.gain >= 0 for view in views[1:])
    assert len(set(chosen(views))) == 4


def test_boxes_are_those_of_the_views() -> None:
    views = select_views(scene(), BOX, 2)
    np.testing.assert_array_equal([view.box for view in views], view_boxes(BOX, (320, 240), [0, *CANDIDATES]))


@pytest.mark.parametrize("seed", range(5))
def test_dynamic_takes_the_largest_gains_in_order(seed: int) -> None:
    views = select_views(scene(seed), BOX, 5)
    by_gain = sorted(views[1:], key=lambda view: (-view.gain, view.t))
    assert chosen(views)[1:] == [view.t for view in by_gain[:4]]
    assert len({view.gain for view in views[1:]}) > 3


@pytest.mark.parametrize("seed", range(5))
def test_gain_is_the_hamming_distance_over_t(seed: int) -> None:
    image, (x1, y1, x2, y2) = scene(seed), BOX
    grey = np.float32(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    view = select_views(image, BOX, 2)[10]
    assert view.gain == view_hash(grey) - view_hash(grey[y1:y2, x1:x2])
    half = select_views(image, BOX, 2)[5]
    x1, y1, x2, y2 = np.int64(half.box)
    assert half.gain == (view_hash(grey[y1:y2, x1:x2]) - view_hash(grey[50:130, 70:150])) / 0.5


@pytest.mark.parametrize(("photo", "box", "steps", "inside"), WORKED, ids=[case[0] for case in WORKED])
def test_choices_agree_with_the_authors_on_photographs(photo: str, box: tuple, steps: list, inside: list) -> None:
    image = Image.open(EXAMPLES / photo)
    views = select_views(image, box, 5)
    assert chosen(views) == steps
    last = next(view.box for view in views if view.rank == 4)
    np.testing.assert_allclose(boxes_in_views(box, np.float32([last]), image.size)[0], inside, atol=1)


def test_without_any_gain_the_lowest_coefficients_are_taken_once_each() -> None:
    views = select_views(np.full((240, 320, 3), 90, np.uint8), BOX, 5)
    assert {view.gain for view in views[1:]} == {0.0}
    assert chosen(views) == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_every_candidate_can_be_taken() -> None:
    assert sorted(chosen(select_views(scene(), BOX, 11))) == [0.0, *CANDIDATES]


def test_one_view_is_the_region_alone() -> None:
    assert chosen(select_views(scene(), BOX, 1)) == [0.0]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("prior:caption", [0.0, 0.4, 0.5, 0.3, 0.6]), ("prior:attributes", [0.0, 0.2, 0.1, 0.3, 0.4])],
)
def test_a_task_prior_takes_the_coefficients_its_task_likes(mode: str, expected: list[float]) -> None:
    assert chosen(select_views(scene(), BOX, 5, mode)) == expected


def test_manual_takes_exactly_the_given_coefficients_in_their_order() -> None:
    views = select_views(scene(), BOX, 3, "manual", coefficients=[0.9, 0.55, 0.2])
    assert [view.t for view in views] == chosen(views) == [0.0, 0.55, 0.2]
    assert views[0].gain is None


def test_manual_takes_fewer_and_equal_coefficients() -> None:
    views = select_views(scene(), BOX, 4, "manual", coefficients=np.array([0, 0.3, 0.3]))
    assert [(view.t, view.rank) for view in views] == [(0.0, 0), (0.3, 1), (0.3, 2)]


def test_the_gain_of_a_tiny_coefficient_is_finite() -> None:
    views = select_views(scene(width=4000, height=60), (0, 0, 2, 60), 2, "manual", coefficients=[0, 5e-324])
    assert np.isfinite(views[1].gain)


def test_random_repeats_with_its_generator_and_varies_without() -> None:
    draws = [select_views(scene(), BOX, 4, "random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2, 3)]
    assert chosen(draws[0]) == chosen(draws[1])
    assert len({tuple(chosen(views)) for views in draws}) > 1


def test_random_takes_every_candidate_sooner_or_later() -> None:
    generator = torch.Generator().manual_seed(0)
    image = scene(width=64, height=48)
    taken = {
        t for _ in range(40) for t in chosen(select_views(image, (9, 9, 30, 30), 3, "random", generator=generator))
    }
    assert taken == {0.0, *CANDIDATES}


def test_a_pil_image_and_a_reversed_box_choose_alike() -> None:
    array = select_views(scene(), BOX, 3)
    assert select_views(Image.fromarray(scene()), (150, 130, 70, 50), 3) == array


def test_the_hash_is_the_low_block_of_the_transform_against_its_mean() -> None:
    grey = np.float32(cv2.cvtColor(scene(3), cv2.COLOR_RGB2GRAY))
    n, k = np.arange(224), np.arange(8)[:, None]
    basis = np.cos(np.pi * (2 * n + 1) * k / 448) * np.where(k, np.sqrt(2 / 224), np.sqrt(1 / 224))
    block = basis @ cv2.resize(grey, (224, 224)).astype(np.float64) @ basis.T
    np.testing.assert_array_equal(view_hash(grey).hash, block > block.mean())


def test_a_view_is_hashed_once_for_all_questions_about_a_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[tuple[int, ...]] = []
    plain = selection.view_hash

    def counting(grey: np.ndarray, method: str) -> imagehash.ImageHash:
        hashed.append(grey.shape)
        return plain(grey, method)

    monkeypatch.setattr(selection, "view_hash", counting)
    image = scene(77)
    first = select_views(image, BOX, 3)
    assert len(hashed) == 11
    assert select_views(image.copy(), BOX, 3) == first
    assert len(hashed) == 11
    select_views(image, (10, 20, 90, 60), 3)
    assert hashed.count((240, 320)) == 1


def test_hashes_are_imagehash_objects_of_64_bits() -> None:
    grey = np.float32(cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY))
    assert isinstance(view_hash(grey), imagehash.ImageHash)
    assert len(view_hash(grey)) == 64
    assert view_hash(grey) - view_hash(-grey) == 64


def test_the_alternative_is_the_hash_of_imagehash() -> None:
    image, (x1, y1, x2, y2) = scene(), BOX
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    expected = imagehash.phash(Image.fromarray(grey)) - imagehash.phash(Image.fromarray(grey[y1:y2, x1:x2]))
    assert select_views(image, BOX, 2, hash_method="imagehash")[10].gain == expected


def test_gains_of_a_single_pixel_are_zero() -> None:
    boxes = view_boxes((0, 0, 1, 1), (1, 1), [0, 0.5, 1])
    assert information_gains(Photo.read(np.zeros((1, 1, 3), np.uint8)), boxes, [0, 0.5, 1]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "best"}, 'no selection mode "best"; choose one of dynamic, prior:caption, .*, random'),
        ({"mode": ["dynamic"]}, "no selection mode"),
        ({"hash_method": "md5"}, "choose one of dct_mean, imagehash"),
        ({"num_views": 0}, 'from 1 to 11, not "0"'),
        ({"num_views": 12}, 'from 1 to 11, not "12"'),
        ({"num_views": 2.5}, "whole number"),
        ({"num_views": True}, "whole number"),
        ({"mode": "manual"}, "needs coefficients"),
        ({"mode": "manual", "coefficients": []}, "at least one coefficient"),
        ({"mode": "manual", "coefficients": [0, 1.5]}, "1.5 is outside"),
        ({"mode": "manual", "coefficients": [0, 0.1, 0.2, 0.3]}, "4 coefficients, one a view; the limit is 3"),
        ({"coefficients": [0, 0.5]}, "for the mode manual"),
        ({"box": (400, 0, 500, 100)}, "outside the 320 x 240 image"),
        ({"image": "nowhere.jpg"}, "no photograph nowhere.jpg"),
    ],
)
def test_bad_requests_are_refused_in_words(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        select_views(**{"image": scene(), "box": BOX, "num_views": 3, **arguments})
