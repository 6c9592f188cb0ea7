"""Dense captioning's average precision (Johnson et al., "DenseCap", CVPR 2016): box and words must both fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from dynrefer.evaluation.texts import meteor_scores

IOU_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
METEOR_THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
MERGE_IOU = 0.7
RECALL_POINTS = 100

Box = Sequence[float]
PairScorer = Callable[[Sequence[str], Sequence[Sequence[str]]], list[float]]


@dataclass(frozen=True)
class CaptionedBox:
    """A box x1, y1, x2, y2 in pixels and its words; `score` orders predictions and means nothing for true boxes."""

    box: tuple[float, float, float, float]
    caption: str
    score: float = 1.0


@dataclass(frozen=True)
class _Match:
    score: float
    iou: float
    caption: str
    references: tuple[str, ...]
    first: bool


def dense_caption_ap(
    images: Sequence[tuple[Sequence[CaptionedBox], Sequence[CaptionedBox]]], score_pairs: PairScorer = meteor_scores
) -> dict[tuple[float, float], float]:
    """Average precision (0 .. 1) at each pair of IoU and METEOR thresholds; its mean is dense captioning's mAP.

    True boxes that overlap by 0.7 or more are one box with several references. Predictions are taken by falling score;
    each claims the true box it overlaps most, and only the first to claim it can be right. A prediction is right where
    its IoU reaches the one threshold and its METEOR exceeds the other. Equal scores enter the curve together, and in a
    photograph the better overlap claims first, so that the order of equal scores changes nothing.

    Args:
        images: predictions and true boxes of each photograph.
        score_pairs: captions and their references -> METEOR of each.
    """
    matches = []
    truths = 0
    for predictions, truth in images:
        boxes, references = merge_truth(truth)
        truths += len(boxes)
        matches += _match(predictions, boxes, references)
    matches.sort(key=lambda match: -match.score)
    scores = np.array([match.score for match in matches])
    ious = np.array([match.iou if match.first else 0.0 for match in matches])
    meteors = np.full(len(matches), -1.0)
    candidates = np.flatnonzero(ious >= min(IOU_THRESHOLDS))
    meteors[candidates] = score_pairs(
        [matches[i].caption for i in candidates], [matches[i].references for i in candidates]
    )
    return {
        (iou, meteor): interpolated_ap((ious >= iou) & (meteors > meteor), scores, truths)
        for iou in IOU_THRESHOLDS
        for meteor in METEOR_THRESHOLDS
    }


def merge_truth(truth: Sequence[CaptionedBox]) -> tuple[torch.Tensor, list[tuple[str, ...]]]:
    """True boxes that mean the same object made one: their mean box [M, 4], and the captions of each.

    The box with most others around it (IoU of 0.7 or more) takes them all, then the next among what is left.
    """
    boxes = torch.tensor([item.box for item in truth], dtype=torch.float64).reshape(-1, 4)
    near = box_iou(boxes, boxes) >= MERGE_IOU
    merged, references = [], []
    while near.any():
        group = near[near.sum(dim=1).argmax()].nonzero().flatten()
        merged.append(boxes[group].mean(dim=0))
        references.append(tuple(truth[i].caption for i in group.tolist()))
        near[group] = False
        near[:, group] = False
    return torch.stack(merged) if merged else boxes, references


def _match(
    predictions: Sequence[CaptionedBox], boxes: torch.Tensor, references: Sequence[tuple[str, ...]]
) -> list[_Match]:
    if not len(boxes):
        return [_Match(item.score, 0.0, item.caption, (), False) for item in predictions]
    found = torch.tensor([item.box for item in predictions], dtype=torch.float64).reshape(-1, 4)
    best = [(float(row.max()), int(row.argmax())) for row in box_iou(found, boxes)]
    ranked = sorted(
        zip(predictions, best, strict=True), key=lambda pair: (-pair[0].score, -pair[1][0], pair[0].caption)
    )
    claimed: set[int] = set()
    matches = []
    for item, (iou, target) in ranked:
        first = iou > 0 and target not in claimed
        claimed |= {target} if iou > 0 else set()
        matches.append(_Match(item.score, iou, item.caption, references[target], first))
    return matches


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
