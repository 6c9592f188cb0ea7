"""Figures against scikit-learn, pycocotools' known answers and cases worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dynrefer.evaluation import metrics


def test_attribute_precisions_agree_with_scikit_learn_where_many_labels_are_unknown() -> None:
    chance = np.random.default_rng(0)
    labels, scores = chance.integers(-1, 2, (300, 40)), chance.random((300, 40))
    found = metrics.attribute_precisions(labels, scores)
    for a in range(40):
        known = labels[:, a] != -1
        assert found[a] == pytest.approx(average_precision_score(labels[known, a], scores[known, a]))


def test_scores_of_unknown_labels_change_nothing() -> None:
    chance = np.random.default_rng(1)
    labels, scores = chance.integers(-1, 2, (50, 5)), chance.random((50, 5))
    moved = np.where(labels == -1, scores + 10, scores)
    assert metrics.attribute_precisions(labels, moved) == pytest.approx(metrics.attribute_precisions(labels, scores))


def test_an_attribute_without_a_positive_is_left_out_of_every_mean() -> None:
    labels = np.array([[1, 0, 0], [0, 0, 1]])
    precisions = metrics.attribute_precisions(labels, np.array([[0.9, 0.1, 0.8], [0.2, 0.7, 0.3]]))
    means = metrics.group_means(precisions, ["head", "head", "tail"])
    assert means["all"] == pytest.approx(0.75)
    assert means["head"] == pytest.approx(1.0)
    assert means["tail"] == pytest.approx(0.5)
    assert np.isnan(means["medium"])


def test_random_scores_land_at_the_chance_level_that_is_reported() -> None:
    chance = np.random.default_rng(0)
    labels = np.where(chance.random((3000, 6)) < 0.3, -1, chance.random((3000, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.02])
    reached = metrics.attribute_precisions(labels.astype(int), chance.random(labels.shape))
    assert reached == pytest.approx(metrics.chance_precisions(labels), abs=0.03)


def test_class_precisions_agree_with_scikit_learn() -> None:
    chance = np.random.default_rng(2)
    truth, scores = chance.integers(0, 8, 200), chance.random((200, 9))
    found = metrics.class_precisions(truth, scores)
    for c in range(8):
        assert found[c] == pytest.approx(average_precision_score(truth == c, scores[:, c]))
    assert np.isnan(found[8])


def test_accuracy_counts_regions_and_its_class_mean_counts_classes() -> None:
    truth = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert metrics.class_accuracy(truth, scores) == (0.75, 0.5)


def test_box_oracle_map_is_one_for_right_answers_and_suffers_from_a_confident_mistake() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 60, 70], [5, 5, 30, 30]], dtype=float)
    truth, images = np.array([0, 1, 0]), ["a.jpg", "a.jpg", "b.jpg"]
    right = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert metrics.box_oracle_map(truth, right, boxes, images) == pytest.approx(1.0)
    wrong = np.array([[0.9, 0.1], [0.95, 0.8], [0.7, 0.3]])
    # Class 0 meets a false box above its two true ones: COCO's 101 points average (51 * 2/3 + 50 * 2/3) / 101.
    assert metrics.box_oracle_map(truth, wrong, boxes, images) == pytest.approx((2 / 3 + 0) / 2, abs=1e-3)


def test_calibration_bins_hold_scores_of_one_fifteenth() -> None:
    scores, right = np.array([0.0, 0.05, 0.5, 0.52, 1.0]), np.array([False, True, True, False, True])
    assert metrics.calibration_bins(scores, right) == [
        {"score": pytest.approx(0.025), "right": 0.5, "count": 2},
        {"score": pytest.approx(0.51), "right": 0.5, "count": 2},
        {"score": 1.0, "right": 1.0, "count": 1},
    ]


def test_the_calibration_error_is_the_mean_distance_of_score_and_truth() -> None:
    scores, right = np.array([0.9] * 10 + [0.3] * 10), np.array([True] * 7 + [False] * 3 + [True] * 3 + [False] * 7)
    assert metrics.expected_calibration_error(metrics.calibration_bins(scores, right)) == pytest.approx(0.1)


def test_the_doubt_table_says_how_often_the_sure_and_the_unsure_are_right() -> None:
    table = metrics.doubt_table(np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, False, True, True]))
    row = next(row for row in table if row["threshold"] == 0.5)
    assert row == {"threshold": 0.5, "sure": 0.5, "right_if_sure": 1.0, "right_if_unsure": 0.0}
    assert table[0]["right_if_unsure"] is None


def test_nothing_predicted_scores_nothing() -> None:
    assert metrics.interpolated_ap(np.array([], dtype=bool), np.array([]), 3) == 0.0
