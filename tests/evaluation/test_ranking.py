"""Ranking metrics against scikit-learn, pycocotools' known answers and OVAD's published chance level."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from dynrefer.evaluation import ranking

OVAD = Path(__file__).parents[3] / "shared/data/coco_regions/annotations/ovad.json"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_average_precision_agrees_with_scikit_learn_even_among_equal_scores(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=float)
    if not labels.any():
        assert np.isnan(ranking.average_precision(labels, scores))
        return
    assert ranking.average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_attribute_precisions_agree_with_scikit_learn_where_many_labels_are_unknown() -> None:
    chance = np.random.default_rng(0)
    labels, scores = chance.integers(-1, 2, (300, 40)), chance.random((300, 40))
    found = ranking.attribute_precisions(labels, scores)
    for a in range(40):
        known = labels[:, a] != -1
        assert found[a] == pytest.approx(average_precision_score(labels[known, a], scores[known, a]))


def test_scores_of_unknown_labels_change_nothing() -> None:
    chance = np.random.default_rng(1)
    labels, scores = chance.integers(-1, 2, (50, 5)), chance.random((50, 5))
    moved = np.where(labels == -1, scores + 10, scores)
    assert ranking.attribute_precisions(labels, moved) == pytest.approx(ranking.attribute_precisions(labels, scores))


def test_an_attribute_without_a_positive_is_left_out_of_every_mean() -> None:
    labels = np.array([[1, 0, 0], [0, 0, 1]])
    precisions = ranking.attribute_precisions(labels, np.array([[0.9, 0.1, 0.8], [0.2, 0.7, 0.3]]))
    means = ranking.group_means(precisions, ["head", "head", "tail"])
    assert means["all"] == pytest.approx(0.75)
    assert means["head"] == pytest.approx(1.0)
    assert means["tail"] == pytest.approx(0.5)
    assert np.isnan(means["medium"])


@pytest.mark.skipif(not OVAD.exists(), reason="needs OVAD's annotations in ../shared, which are not shipped")
def test_random_scores_land_at_the_published_chance_level_of_ovad() -> None:
    annotations = json.loads(OVAD.read_text())
    labels = np.array([annotation["att_vec"] for annotation in annotations["annotations"]])
    groups = [attribute["freq_set"] for attribute in annotations["attributes"]]
    random_scores = np.random.default_rng(0).random(labels.shape)
    reached = ranking.group_means(ranking.attribute_precisions(labels, random_scores), groups)["all"]
    expected = ranking.group_means(ranking.chance_precisions(labels), groups)["all"]
    assert reached == pytest.approx(0.086, abs=0.01)
    assert expected == pytest.approx(reached, abs=0.01)


def test_class_precisions_agree_with_scikit_learn() -> None:
    chance = np.random.default_rng(2)
    truth, scores = chance.integers(0, 8, 200), chance.random((200, 9))
    found = ranking.class_precisions(truth, scores)
    for c in range(8):
        assert found[c] == pytest.approx(average_precision_score(truth == c, scores[:, c]))
    assert np.isnan(found[8])


def test_accuracy_counts_regions_and_its_class_mean_counts_classes() -> None:
    truth = np.array([0, 0, 0, 1])
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert ranking.class_accuracy(truth, scores) == (0.75, 0.5)


def test_box_oracle_map_is_one_for_right_answers_and_suffers_from_a_confident_mistake() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 60, 70], [5, 5, 30, 30]], dtype=float)
    truth, images = np.array([0, 1, 0]), ["a.jpg", "a.jpg", "b.jpg"]
    right = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert ranking.box_oracle_map(truth, right, boxes, images) == pytest.approx(1.0)
    wrong = np.array([[0.9, 0.1], [0.95, 0.8], [0.7, 0.3]])
    # Class 0 meets a false box above its two true ones: COCO's 101 points average (51 * 2/3 + 50 * 2/3) / 101.
    assert ranking.box_oracle_map(truth, wrong, boxes, images) == pytest.approx((2 / 3 + 0) / 2, abs=1e-3)
