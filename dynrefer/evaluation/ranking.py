"""Ranking metrics: average precision, OVAD's mean over attributes, accuracy and mean average precision over classes."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np

UNKNOWN = -1
ATTRIBUTE_GROUPS = ("all", "head", "medium", "tail")


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall steps of one class; regions of equal score enter together.

    Args:
        labels: 1 or 0, [N].
        scores: any finite numbers, [N], the higher the more likely.

    Returns:
        0 .. 1, or nan where no label is 1.
    """
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last_of_equals = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = hits[last_of_equals]
    recall_steps = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(recall_steps * hits / (last_of_equals + 1)))


def attribute_precisions(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision of each attribute over the regions where it is known.

    Args:
        labels: 1 = has, 0 = has not, -1 = unknown, [N, A].
        scores: [N, A].

    Returns:
        [A], nan where no region is known to have the attribute.
    """
    known = labels != UNKNOWN
    columns = range(labels.shape[1])
    return np.array([average_precision(labels[known[:, a], a], scores[known[:, a], a]) for a in columns])


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
    right = scores.argmax(axis=1) == truth
    return float(right.mean()), float(np.mean([right[truth == c].mean() for c in np.unique(truth)]))


def class_precisions(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision of each class with every region scored for every class, [C]; nan for an absent class."""
    return np.array([average_precision(truth == c, scores[:, c]) for c in range(scores.shape[1])])


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
