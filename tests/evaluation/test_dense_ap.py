"""Dense-caption average precision against a case worked by hand and its known properties."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from dynrefer.evaluation.dense_ap import CaptionedBox, dense_caption_ap, interpolated_ap, merge_truth

LEFT, RIGHT = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 60.0, 10.0)
LOWER_HALF_OF_RIGHT = (50.0, 5.0, 60.0, 10.0)


def shared_words(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """A stand-in for METEOR that can be worked out by hand: the best share of a reference's words."""
    return [
        max(len(set(caption.split()) & set(text.split())) / len(text.split()) for text in texts)
        for caption, texts in zip(captions, references, strict=True)
    ]


def mean_ap(images: list[tuple[list[CaptionedBox], list[CaptionedBox]]]) -> float:
    return float(np.mean(list(dense_caption_ap(images, shared_words).values())))


def test_a_case_worked_by_hand() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "a b c d e f g h")]
    predictions = [
        CaptionedBox(LEFT, "red ball", 0.9),
        CaptionedBox(LEFT, "red ball", 0.8),
        CaptionedBox(LOWER_HALF_OF_RIGHT, "a", 0.7),
    ]
    found = dense_caption_ap([(predictions, truth)], shared_words)
    # The third prediction (IoU 1/2, word score 1/8) is right up to those thresholds: then the curve is precision 1 up
    # to a recall of 1/2 (51 of the 100 points) and 2/3 up to 1 (49 points). Else only the 51 points count.
    for (iou, meteor), ap in found.items():
        assert ap == pytest.approx((51 + 49 * 2 / 3) / 100 if iou <= 0.5 and meteor < 0.125 else 0.51)


def test_perfect_predictions_reach_one() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "blue cup")]
    assert mean_ap([(truth, truth), (truth[:1], truth[:1])]) == 1.0


def test_a_duplicate_above_a_right_answer_costs_precision() -> None:
    truth = [CaptionedBox(LEFT, "red ball"), CaptionedBox(RIGHT, "blue cup")]
    once = [CaptionedBox(LEFT, "red ball", 0.9), CaptionedBox(RIGHT, "blue cup", 0.5)]
    assert mean_ap([([*once, CaptionedBox(LEFT, "red ball", 0.8)], truth)]) < mean_ap([(once, truth)])


def test_a_photograph_without_predictions_lowers_recall() -> None:
    truth = [CaptionedBox(LEFT, "red ball")]
    assert mean_ap([(truth, truth), ([], truth)]) == pytest.approx(0.51)


def test_a_photograph_without_true_boxes_costs_precision() -> None:
    truth, false_alarm = [CaptionedBox(LEFT, "red ball", 0.5)], [CaptionedBox(LEFT, "red ball", 0.9)]
    assert mean_ap([(truth, truth), (false_alarm, [])]) == pytest.approx(0.5)


def test_wrong_words_on_the_right_box_score_nothing() -> None:
    truth = [CaptionedBox(LEFT, "red ball")]
    assert mean_ap([([CaptionedBox(LEFT, "blue cup")], truth)]) == 0.0


def test_the_order_of_equal_scores_is_irrelevant() -> None:
    chance = random.Random(0)
    images = []
    for _ in range(6):
        spots = [(x := chance.uniform(0, 90), y := chance.uniform(0, 90), x + 30, y + 30) for _ in range(8)]
        words = ["red ball", "blue cup", "red cup", "ball"]
        predictions = [CaptionedBox(spot, chance.choice(words), chance.choice([0.2, 0.5])) for spot in spots]
        images.append((predictions, [CaptionedBox(spot, chance.choice(words)) for spot in spots[:5]]))
    first = dense_caption_ap(images, shared_words)
    for _ in range(5):
        shuffled = [(chance.sample(predictions, len(predictions)), truth) for predictions, truth in images]
        assert dense_caption_ap(chance.sample(shuffled, len(shuffled)), shared_words) == first


def test_true_boxes_that_overlap_by_seven_tenths_become_one_with_all_their_captions() -> None:
    twins = [CaptionedBox((0, 0, 10, 10), "red ball"), CaptionedBox((0, 0, 10, 8), "toy"), CaptionedBox(RIGHT, "cup")]
    boxes, references = merge_truth(twins)
    assert boxes.tolist() == [[0, 0, 10, 9], list(RIGHT)]
    assert references == [("red ball", "toy"), ("cup",)]


def test_nothing_predicted_scores_nothing() -> None:
    assert interpolated_ap(np.array([], dtype=bool), np.array([]), 3) == 0.0
