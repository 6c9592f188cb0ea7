"""Figures from labels and scores: average precision, accuracy, COCO's mAP on true boxes, and calibration."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, recall_score

from dynrefer.datasets.sample import UNKNOWN

ATTRIBUTE_GROUPS = ("all", "head", "medium", "tail")
CALIBRATION_BINS = 15
RECALL_POINTS = 100


def attribute_precisions(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision (0 .. 1) of each attribute over the regions where it is known.

    Args:
        labels: 1 = has, 0 = has not, -1 = unknown, [N, A].
        scores: [N, A].

    Returns:
        [A], nan where no region is known to have the attribute.
    """
    precisions = np.full(labels.shape[1], np.nan)
    for a in np.flatnonzero((labels == 1).any(axis=0)):
        known = labels[:, a] != UNKNOWN
        precisions[a] = average_precision_score(labels[known, a], scores[known, a])
    return precisions


def chance_precisions(labels: np.ndarray) -> np.ndarray:
    """What random scores reach in the long run for each attribute: its share of positives among the known, [A]."""
    positives = (labels == 1).sum(axis=0)
    known = (labels != UNKNOWN).sum(axis=0)
    return np.where(positives > 0, positives / np.maximum(known, 1), np.nan)


def group_means(values: np.ndarray, groups: Sequence[str]) -> dict[str, float]:
    """Means of the defined values over all attributes and over OVAD's frequency groups (`head`, `medium`, `tail`)."""
    member = np.array(groups)
    means = {}
    for group in ATTRIBUTE_GROUPS:
        chosen = values[~np.isnan(values) & ((member == group) | (group == "all"))]
        means[group] = float(chosen.mean()) if len(chosen) else float("nan")
    return means


def class_accuracy(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Share of regions whose best class is right, and the mean of that share over the classes that occur.

    Args:
        truth: class index of each region, [N].
        scores: [N, C].
    """
    best = scores.argmax(axis=1)
    # Balanced accuracy, asked for in this way since scikit-learn's own warns of classes that only answers name.
    balanced = recall_score(truth, best, labels=np.unique(truth), average="macro")
    return float((best == truth).mean()), float(balanced)


def class_precisions(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision of each class with every region scored for every class, [C]; nan for an absent class."""
    return attribute_precisions((truth[:, None] == np.arange(scores.shape[1])).astype(int), scores)


def calibration_bins(scores: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """How often answers of about the same score are right, in 15 bins of equal width; empty bins are left out.

    Args:
        scores: probabilities, [N].
        right: whether each was right, [N].

    Returns:
        For each bin from the lowest on its `score` (mean), `right` (share) and `count`.
    """
    number = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    found = []
    for b in np.unique(number):
        inside = number == b
        share, mean = float(right[inside].mean()), float(scores[inside].mean())
        found.append({"score": mean, "right": share, "count": int(inside.sum())})
    return found


def expected_calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """Mean distance (0 .. 1) of score and share of right answers, bins by their counts (Guo et al., ICML 2017)."""
    total = sum(item["count"] for item in bins)
    return sum(item["count"] * abs(item["score"] - item["right"]) for item in bins) / max(total, 1)


def doubt_table(scores: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """What calling an answer sure from some score on would mean: thresholds 0, 0.05 .. 0.95.

    Returns:
        For each `threshold` the share of regions that are `sure`, and the share of right answers among the sure ones
        (`right_if_sure`) and the others (`right_if_unsure`), None where there is none.
    """
    rows = []
    for threshold in np.arange(20) / 20:
        sure = scores >= threshold
        shares = [float(right[chosen].mean()) if chosen.any() else None for chosen in (sure, ~sure)]
        rows.append(
            {
                "threshold": round(float(threshold), 2),
                "sure": float(sure.mean()),
                "right_if_sure": shares[0],
                "right_if_unsure": shares[1],
            }
        )
    return rows


def interpolated_ap(right: np.ndarray, scores: np.ndarray, truths: int) -> float:
    """Mean, over recalls of 0, 0.01 .. 0.99, of the best precision at that recall or above.

    Args:
        right: whether each prediction is right, by falling score, [N].
        scores: falling, [N].
        truths: number of true boxes.
    """
    if not len(right) or not truths:
        return 0.0
    last_of_equals = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(right)[last_of_equals]
    best_from_here = np.maximum.accumulate((hits / (last_of_equals + 1))[::-1])[::-1]
    reached = np.searchsorted(hits * RECALL_POINTS, np.arange(RECALL_POINTS) * truths)
    return float(np.append(best_from_here, 0.0)[reached].mean())


def box_oracle_map(truth: np.ndarray, scores: np.ndarray, boxes: np.ndarray, images: Sequence[str]) -> float:
    """COCO's detection mAP when the true boxes are given and each is answered with its best class and that score.

    Args:
        truth: class index of each region, [N].
        scores: [N, C].
        boxes: x1, y1, x2, y2, [N, 4].
        images: the photograph of each region.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers = {name: number for number, name in enumerate(dict.fromkeys(images), start=1)}
    best = scores.argmax(axis=1)
    annotations, answers = [], []
    for row, (name, (x1, y1, x2, y2)) in enumerate(zip(images, boxes.tolist(), strict=True)):
        place = {"image_id": numbers[name], "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        annotations.append({**place, "id": row + 1, "category_id": int(truth[row]) + 1, "iscrowd": 0})
        answers.append({**place, "category_id": int(best[row]) + 1, "score": float(scores[row, best[row]])})
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO()
        ground_truth.dataset = {
            "images": [{"id": number} for number in numbers.values()],
            "categories": [{"id": c + 1} for c in range(scores.shape[1])],
            "annotations": annotations,
        }
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])
