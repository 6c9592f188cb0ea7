"""Things on a photograph, all of it, at a place or by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dynrefer import InputError, Predictor, Proposal
from dynrefer.boxes import check_box
from dynrefer.candidates import Look, candidates, evidence, take_look
from dynrefer.checkpoint import Checkpoint
from dynrefer.model import DynRefer
from dynrefer.model.pointing import EVIDENCE, STRIDES, Refiner, centres
from dynrefer.photo import Photo
from dynrefer.proposals import Surroundings, distinct, named
from dynrefer.results import RegionResult, Scored
from tests.tiny import TINY

SIZE = (256, 192)


def surroundings(*things: tuple[tuple[float, float, float, float], float], stride: int = 8) -> Surroundings:
    """A photograph of 256 x 192 whose places inside a thing say its box: the last at `stride`, others at the finest."""
    where = centres((192, 256)).numpy()
    boxes, scores = np.zeros((len(where), 4), np.float32), np.zeros(len(where), np.float32)
    for number, ((x1, y1, x2, y2), score) in enumerate(things, start=1):
        level = where[:, 2] == (stride if number == len(things) else 8)
        inside = (where[:, :2] >= (x1, y1)).all(1) & (where[:, :2] <= (x2, y2)).all(1) & level
        boxes[inside], scores[inside] = (x1, y1, x2, y2), score
    return Surroundings([Look(boxes, np.ones_like(scores), scores, (192, 256), 1.0)], SIZE)


LEFT, RIGHT = (16.0, 16.0, 96.0, 160.0), (144.0, 48.0, 240.0, 176.0)


def test_a_press_takes_the_thing_that_it_lies_in() -> None:
    found = surroundings((LEFT, 0.9), (RIGHT, 0.7))
    boxes, scores = found.at(np.array([[50.0, 90.0], [200.0, 100.0]]))
    np.testing.assert_allclose(boxes, [LEFT, RIGHT], atol=1e-3)
    np.testing.assert_allclose(scores, [0.9, 0.7])


def test_a_box_drawn_roughly_finds_the_thing_that_it_is_around() -> None:
    rough = (135.0, 40.0, 250.0, 185.0)
    assert surroundings((LEFT, 0.9), (RIGHT, 0.7)).like(rough, 5)[0].box == pytest.approx(RIGHT, abs=1e-3)


def test_a_box_has_no_mask_without_a_segmenter(tiny_predictor: Predictor) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    found = tiny_predictor.propose(picture, box=(10, 10, 60, 60), limit=3)
    assert 1 <= len(found) <= 3 and found[0].mask is None


def test_looks_that_agree_outvote_one_that_is_a_little_surer() -> None:
    agreed = surroundings((RIGHT, 0.5))
    wide = surroundings(((0.0, 0.0, 256.0, 192.0), 0.6))
    looks = [*wide.looks, *agreed.looks, *agreed.looks]
    box, score = Surroundings(looks, SIZE).at(np.array([[200.0, 100.0]]))
    np.testing.assert_allclose(box[0], RIGHT, atol=1e-3)
    assert score[0] == pytest.approx(0.5)


def preferring(number: int) -> Refiner:
    """A second stage that looks at one number of the evidence alone, and corrects nothing."""
    refiner = Refiner(8).eval().requires_grad_(False)
    for layer in (*refiner.trunk, refiner.quality, refiner.sides):
        layer.weight.zero_()
        layer.bias.zero_()
    refiner.trunk[0].weight[0, number] = refiner.trunk[1].weight[0, 0] = refiner.quality.weight[0, 0] = 1
    return refiner


def test_a_press_means_what_the_second_stage_prefers() -> None:
    looks = surroundings(((0.0, 0.0, 256.0, 192.0), 0.6), (RIGHT, 0.5), stride=32).looks
    finest = EVIDENCE - len(STRIDES)  # the first of what says which level it is
    for level, box in ((finest, (0, 0, 256, 192)), (finest + 2, RIGHT)):
        taken, _ = Surroundings(looks, SIZE, preferring(level)).at(np.array([[200.0, 100.0]]))
        np.testing.assert_allclose(taken, [box], atol=1e-3)


def test_the_second_stage_moves_a_side_by_half_of_the_box_at_most() -> None:
    refiner, boxes = preferring(0), torch.tensor([[10.0, 20.0, 50.0, 100.0]])
    refiner.sides.bias.copy_(torch.tensor([100.0, -100.0, 0.0, 100.0]))
    moved = refiner(torch.zeros(1, EVIDENCE), boxes)[1]
    assert moved.tolist() == [[30.0, -20.0, 50.0, 140.0]]


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_evidence_is_finite_even_of_boxes_without_sides(looks: int) -> None:
    seen = surroundings((LEFT, 0.9), (RIGHT, 0.0)).looks * looks
    clicks = np.array([[50.0, 90.0], [0.0, 0.0], [255.0, 191.0]])
    found = evidence(seen, clicks, *candidates(seen, clicks), SIZE)
    assert found.shape == (3, 3 * looks, EVIDENCE) and np.isfinite(found).all()


def test_a_mirrored_look_finds_the_same_things_at_the_same_places(tiny_predictor: Predictor) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    plain = take_look(tiny_predictor.model, Photo.open(picture), 96, mirrored=False)
    other = take_look(tiny_predictor.model, Photo.open(picture[:, ::-1].copy()), 96, mirrored=True)
    finest = (96 // 8, 96 // 8)
    here, there = (look.scores[: 12 * 12].reshape(finest) for look in (plain, other))
    np.testing.assert_allclose(there[:, ::-1], here, atol=1e-5)


def test_the_grid_holds_what_a_press_at_each_centre_takes() -> None:
    found = surroundings((LEFT, 0.9), (RIGHT, 0.7))
    grid = found.grid
    assert grid.boxes.shape == (24, 32, 4) and grid.boxes.dtype == np.float32
    box, score = found.at(np.array([[25 * 8 + 4.0, 10 * 8 + 4.0]]))
    np.testing.assert_allclose(grid.boxes[10, 25], box[0])
    assert grid.scores[10, 25] == score[0]


def test_everything_is_each_thing_once_and_the_surest_first() -> None:
    found = surroundings((LEFT, 0.6), (RIGHT, 0.8)).everything(20)
    np.testing.assert_allclose([proposal.box for proposal in found], [RIGHT, LEFT], atol=1e-3)


def test_two_points_on_two_things_take_both_together() -> None:
    found = surroundings((LEFT, 0.9), (RIGHT, 0.7))
    best = found.around(np.array([[50.0, 90.0], [200.0, 100.0]]), np.array([True, True]), 5)[0]
    np.testing.assert_allclose(best.box, (16, 16, 240, 176), atol=1e-3)


def test_a_point_outside_leaves_the_larger_thing_out() -> None:
    inner, outer = (64.0, 64.0, 128.0, 128.0), (16.0, 16.0, 240.0, 176.0)
    found = surroundings((inner, 0.5), (outer, 0.9), stride=32)
    points, inside = np.array([[84.0, 92.0], [40.0, 40.0]]), np.array([True, False])
    assert found.around(points[:1], inside[:1], 5)[0].box == pytest.approx(outer, abs=1e-3)
    assert found.around(points, inside, 5)[0].box == pytest.approx(inner, abs=1e-3)


def test_proposals_are_boxes_of_the_photograph_best_first(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    found = tiny_predictor.propose(photo, limit=7)
    assert 1 <= len(found) <= 7
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    for proposal in found:
        assert check_box(proposal.box, (120, 90)) == pytest.approx(proposal.box, abs=1e-3)


def test_a_proposal_at_a_point_holds_it(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    x1, y1, x2, y2 = tiny_predictor.propose(photo, point=(60, 45))[0].box
    assert x1 <= 60 <= x2 and y1 <= 45 <= y2


def test_words_have_a_score_each_and_the_best_named_comes_first(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    found = tiny_predictor.propose(photo, words=["dog", "cup"], limit=5)
    assert all(set(p.words) == {"dog", "cup"} and p.score == max(p.words.values()) for p in found)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def test_of_parts_and_whole_of_the_same_name_the_surest_thing_stays() -> None:
    whole, part, beside = (10.0, 10, 100, 100), (20.0, 20, 60, 60), (120.0, 10, 200, 100)
    found = [Proposal(whole, 0.4), Proposal(part, 0.02), Proposal(beside, 0.3)]
    words = [{"cup": 0.8, "dog": 0.1}, {"cup": 0.9, "dog": 0.1}, {"cup": 0.7, "dog": 0.2}]
    assert [(one.box, one.score) for one in named(found, words)] == [(whole, 0.8), (beside, 0.7)]
    words[1] = {"cup": 0.1, "dog": 0.9}
    assert [one.box for one in named(found, words)] == [part, whole, beside]


def test_everything_is_things_and_not_their_parts_nor_what_is_neither_seen_nor_named_surely() -> None:
    whole, part, other, doubtful = (0, 0, 100, 100), (10, 60, 60, 120), (20, 20, 40, 40), (200, 0, 240, 40)
    found = [Proposal(box, score) for box, score in ((whole, 0.4), (part, 0.5), (other, 0.2), (doubtful, 0.2))]

    def said(name: str, score: float, sure: bool = True) -> RegionResult:
        return RegionResult((0, 0, 1, 1), None, (Scored(name, score),), (), (), (), sure=sure)

    results = [said("dog", 0.9), said("dog", 0.6), said("collar", 0.7), said("dog", 0.1, sure=False)]
    assert [one.box for one in distinct(found, results)] == [whole, other]
    assert distinct(found[3:], results[3:]) == found[3:]  # nothing else is there


def test_a_photograph_is_looked_at_once(
    predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor.propose(photo)
    monkeypatch.setattr("dynrefer.predictor.look_around", lambda *_: pytest.fail("looked again"))
    predictor.box_grid(photo)
    predictor.propose(photo, point=(10, 10))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"limit": 0}, "number of proposals must be a whole number from 1 to 100"),
        ({"limit": 2.5}, "number of proposals must be"),
        ({"words": []}, "no word to look for"),
        ({"words": " , "}, "no word to look for"),
        ({"words": [3]}, "none"),
        ({"point": (500, 5)}, "point lies outside the 120 x 90 image"),
        ({"point": (1, 2), "points": [(1, 2)]}, "one of point, points"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_sentence(
    tiny_predictor: Predictor, photo: np.ndarray, asked: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        tiny_predictor.propose(photo, **asked)  # type: ignore[arg-type]


def test_a_model_without_a_head_says_that_it_cannot_point(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    known = tiny_predictor.checkpoint
    model = DynRefer(replace(TINY, pointing=None))
    model.load_state_dict(known.model.state_dict(), strict=False)
    assert model.text_encoder is not None and known.model.text_encoder is not None
    model.text_encoder.tokenizer = known.model.text_encoder.tokenizer
    with pytest.raises(InputError, match="cannot point"):
        Predictor(Checkpoint(model.eval(), known.vocabulary, known.folder)).propose(photo)


@pytest.mark.parametrize("size", [(640, 425), (425, 640), (101, 7), (3000, 2001)])
def test_the_grid_covers_photographs_of_any_shape(tiny_predictor: Predictor, size: tuple[int, int]) -> None:
    grid = tiny_predictor.box_grid(np.zeros((size[1], size[0], 3), np.uint8))
    rows, columns = grid.scores.shape
    shorter, longer = sorted((rows, columns))
    assert longer == 96 // 8
    assert (shorter - 1) * 8 < max(1, round(min(size) * 96 / max(size))) <= shorter * 8
