"""What a predictor answers, repeats and refuses, on a tiny random model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dynrefer import InputError, Predictor, RegionResult

BOX = (20, 15, 80, 60)
OTHER = (5, 40, 50, 88)


def scores(result: RegionResult) -> list[float]:
    ordered = sorted(result.classes, key=lambda c: c.name) + sorted(result.tags, key=lambda t: t.name)
    return [item.score for item in ordered] + [
        a.score for a in sorted(result.attributes, key=lambda a: (a.type, a.name))
    ]


def ask(predictor: Predictor, image: Any, box: Any, **options: Any) -> RegionResult:
    result = predictor.refer(image, box, tag_threshold=0, top_classes=None, **options)
    assert isinstance(result, RegionResult)
    return result


@pytest.fixture
def encoded(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views each call of the image encoder got."""
    counts: list[int] = []
    plain = predictor.model.encode

    def counting(pixels: torch.Tensor) -> torch.Tensor:
        counts.append(len(pixels))
        return plain(pixels)

    monkeypatch.setattr(predictor.model, "encode", counting)
    return counts


def test_one_box_gives_all_four_answers(predictor: Predictor, photo: np.ndarray) -> None:
    result = ask(predictor, photo, BOX)
    assert isinstance(result.caption.text, str) and 0 < result.caption.score <= 1
    assert {c.name for c in result.classes} == {"dog", "cat", "car", "cup"}
    assert {t.name for t in result.tags} == {"dog", "cat", "red", "car"}
    assert [a.score for a in result.attributes] == sorted((a.score for a in result.attributes), reverse=True)
    assert result.none_of_these == pytest.approx(1 - max(c.score for c in result.classes))


def test_boxes_are_answered_in_the_order_given(predictor: Predictor, photo: np.ndarray) -> None:
    both = predictor.refer(photo, boxes=[OTHER, BOX], tag_threshold=0, top_classes=None)
    assert [r.box for r in both] == [OTHER, BOX]
    for result, box in zip(both, (OTHER, BOX), strict=True):
        assert scores(result) == pytest.approx(scores(ask(predictor, photo, box)), abs=1e-4)


def test_kept_views_change_no_answer(predictor: Predictor, tiny_checkpoint: Path, photo: np.ndarray) -> None:
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.6))
    again = ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.9))
    fresh = ask(Predictor.from_pretrained(tiny_checkpoint, "cpu"), photo, BOX, coefficients=(0, 0.3, 0.9))
    assert scores(again) == pytest.approx(scores(fresh), abs=1e-4)
    assert again.caption == pytest.approx(fresh.caption) or again.caption.text == fresh.caption.text


def test_the_same_question_encodes_nothing(predictor: Predictor, photo: np.ndarray, encoded: list[int]) -> None:
    ask(predictor, photo, BOX)
    ask(predictor, photo.copy(), BOX)
    assert sum(encoded) == predictor.num_views


def test_one_slider_moved_encodes_one_view(predictor: Predictor, photo: np.ndarray, encoded: list[int]) -> None:
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.6))
    ask(predictor, photo, BOX, coefficients=(0, 0.3, 0.7))
    assert encoded == [3, 1]


def test_the_whole_photograph_is_encoded_once_for_all_boxes(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    fractional = (33.3, 21.7, 61.1, 58.9)
    predictor.refer(photo, boxes=[BOX, OTHER, fractional], coefficients=(0, 1))
    assert sum(encoded) == 4


def test_another_photograph_of_the_same_size_is_not_mistaken(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    ask(predictor, photo, BOX)
    ask(predictor, 255 - photo, BOX)
    assert encoded == [3, 3]


def test_fewer_views_than_the_model_has_are_filled_with_the_region(
    predictor: Predictor, photo: np.ndarray, encoded: list[int]
) -> None:
    one = ask(predictor, photo, BOX, num_views=1)
    assert encoded == [1]
    assert scores(one) == pytest.approx(scores(ask(predictor, photo, BOX, coefficients=(0, 0, 0))), abs=1e-4)


def test_chosen_views_are_reported_with_their_rank(predictor: Predictor, photo: np.ndarray) -> None:
    views = ask(predictor, photo, BOX, coefficients=(0.5, 0.3, 0.6)).views
    assert [(v.t, v.rank) for v in views] == [(0, 0), (0.3, 1), (0.6, 2)]


def test_random_views_repeat_with_the_generator(predictor: Predictor, photo: np.ndarray) -> None:
    def draw(seed: int) -> list[float]:
        result = ask(predictor, photo, BOX, mode="random", generator=torch.Generator().manual_seed(seed))
        return [v.t for v in result.views if v.rank]

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(8)}) > 1


def test_own_classes_are_answered_for(predictor: Predictor, photo: np.ndarray) -> None:
    names = [c.name for c in ask(predictor, photo, BOX, classes=["red dog", "Blue cup", "red dog"]).classes]
    assert sorted(names) == ["Blue cup", "red dog"]


def test_control_words_reach_the_caption(predictor: Predictor, photo: np.ndarray) -> None:
    free = ask(predictor, photo, BOX).caption
    told = ask(predictor, photo, BOX, controls=["dog", "red", "cup"]).caption
    assert (free.text, free.score) != (told.text, told.score)


def test_many_photographs_are_answered_each_with_its_own(predictor: Predictor, photo: np.ndarray) -> None:
    requests = [(photo, [BOX]), (255 - photo, [BOX, OTHER]), (photo, [OTHER])]
    found = list(predictor.refer_many(requests, batch_size=2, tag_threshold=0, top_classes=None))
    assert [len(results) for results in found] == [1, 2, 1]
    for (image, boxes), results in zip(requests, found, strict=True):
        for box, result in zip(boxes, results, strict=True):
            assert scores(result) == pytest.approx(scores(ask(predictor, image, box)), abs=1e-4)


def test_a_single_pixel_can_be_asked_about(predictor: Predictor) -> None:
    assert ask(predictor, np.zeros((1, 1, 3), np.uint8), (0, 0, 1, 1)).box == (0, 0, 1, 1)


def test_a_path_a_pil_image_and_an_array_agree(predictor: Predictor, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "p.png")
    answers = [scores(ask(predictor, x, BOX)) for x in (tmp_path / "p.png", Image.fromarray(photo), photo)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_views": 4}, "from 1 to 3"),
        ({"coefficients": (0, 0.1, 0.2, 0.3)}, "the limit is 3"),
        ({"classes": 5}, "list of words"),
        ({"classes": iter(["dog"])}, "list of words"),
        ({"controls": 3}, "list of words"),
        ({"mode": ["x"]}, "choose one of dynamic"),
        ({"captions": "no"}, "true or false"),
        ({"generator": 5, "mode": "random"}, "torch.Generator"),
        ({"question": {"num_views": 1}}, "must be a Question"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    predictor: Predictor, photo: np.ndarray, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        predictor.refer(photo, BOX, **options)


def test_one_of_box_and_boxes_must_be_given(predictor: Predictor, photo: np.ndarray) -> None:
    with pytest.raises(InputError, match="either one box or a list"):
        predictor.refer(photo)


def test_a_refused_question_leaves_the_next_one_unharmed(predictor: Predictor, photo: np.ndarray) -> None:
    before = scores(ask(predictor, photo, BOX))
    with pytest.raises(InputError):
        predictor.refer(photo, (0, 0, 0, 0))
    assert scores(ask(predictor, photo, BOX)) == before


def test_an_unknown_device_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="not available"):
        Predictor.from_pretrained(tiny_checkpoint, device="abacus")


def test_a_device_that_computes_nothing_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="computes nothing"):
        Predictor.from_pretrained(tiny_checkpoint, device="meta")
