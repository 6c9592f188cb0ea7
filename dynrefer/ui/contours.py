"""Finds regions worth describing on a whole photograph: closed outlines first, then the model's own class scores.

The first step follows the idea of Edge Boxes (Zitnick and Dollar, ECCV 2014): the more contours a box encloses wholly,
for its perimeter, the likelier it holds one thing. It needs no weights.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import cv2
import numpy as np

from dynrefer.boxes import Box, apart, overlaps
from dynrefer.photo import Photo
from dynrefer.question import Question

SIDE = 240  # pixels of the longer side on which contours are traced
BLUR = 2.0
EDGE_THRESHOLDS = (50, 120)
SCALES = (0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8)
SHAPES = (0.4, 0.65, 1.0, 1.5, 2.5)
STRIDE = 0.3
PROPOSED = 48
PROPOSED_OVERLAP = 0.6
BATCH = 4  # each of a single view and without a caption
MOST = 12
OVERLAP = 0.3
LEAST_SCORE = 0.6
SAME, EQUAL = 0.5, 0.999  # overlap from which two boxes mean one thing, and are one but for rounding


def describe_everything(
    refer: Callable[..., Any], photo: Photo, question: Question
) -> Iterator[tuple[int, int, list[Box]]]:
    """Look at every proposal with a single view; yields (done, all, best boxes so far, best first)."""
    quick = {"classes": question.classes, "coefficients": (0.0,), "top_classes": 1, "tag_threshold": 1.0}
    places, outlines = propose(photo.pixels)
    scores: list[float] = []
    yield 0, len(places), []
    for start in range(0, len(places), BATCH):
        results = refer(photo, boxes=places[start : start + BATCH], captions=False, **quick)
        scores += [result.classes[0].score for result in results]
        yield len(scores), len(places), best(places, [c * o**0.5 for c, o in zip(scores, outlines, strict=False)])


def propose(image: np.ndarray) -> tuple[list[Box], list[float]]:
    """At most PROPOSED boxes on uint8 RGB [H, W, 3] that enclose contours, best first, with scores up to 1."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), BLUR)
    contours = cv2.connectedComponentsWithStats(cv2.Canny(small, *EDGE_THRESHOLDS), connectivity=8)[2][1:]
    boxes = windows(size)
    scores = _enclosed(boxes, contours.astype(np.float32)) / (boxes[:, 2:] - boxes[:, :2]).sum(axis=1)
    kept = apart(boxes, scores, PROPOSED_OVERLAP)[:PROPOSED]
    full = boxes[kept] * np.tile(np.array([width, height]) / size, 2)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in full.tolist()], (scores[kept] / max(scores.max(), 1e-6)).tolist()


def windows(size: tuple[int, int]) -> np.ndarray:
    """Overlapping boxes [N, 4] (float32) of many sizes and shapes that cover an image of (width, height)."""
    width, height = size
    boxes: list[Box] = []
    for scale, shape in product(SCALES, SHAPES):
        side = scale * (width * height) ** 0.5
        wide = min(max(side * shape**0.5, 1.0), width)
        high = min(max(side / shape**0.5, 1.0), height)
        boxes += [(x, y, x + wide, y + high) for x, y in product(_starts(width, wide), _starts(height, high))]
    return np.unique(np.array(boxes, dtype=np.float32), axis=0)


def best(boxes: list[Box], scores: list[float]) -> list[Box]:
    """At most MOST of the boxes that have a score (the first ones) and hardly overlap, best first.

    Scores far below the best one's are left out.
    """
    known = np.array(boxes[: len(scores)]).reshape(-1, 4)
    kept = apart(known, np.array(scores), OVERLAP).tolist()
    return [boxes[place] for place in kept if scores[place] >= LEAST_SCORE * scores[kept[0]]][:MOST]


def fresh(boxes: list[Box], known: list[Box]) -> list[Box]:
    """Without boxes that nearly are a known one; exactly a known one stays, for it may be asked about anew."""
    if not boxes or not known:
        return boxes
    nearest = overlaps(np.array(boxes), np.array(known)).max(1).tolist()
    return [box for box, overlap in zip(boxes, nearest, strict=True) if not SAME <= overlap < EQUAL]


def _enclosed(boxes: np.ndarray, contours: np.ndarray) -> np.ndarray:
    """Pixels of the contours wholly inside each box [N]; `contours` [M, 5] are x, y, width, height, pixels."""
    starts, ends = contours[:, :2], contours[:, :2] + contours[:, 2:4]
    inside = (starts >= boxes[:, None, :2]).all(axis=2) & (ends <= boxes[:, None, 2:]).all(axis=2)
    return inside.astype(np.float32) @ contours[:, 4]


def _starts(length: float, size: float) -> list[float]:
    """Where windows of `size` begin so that they cover `length` evenly."""
    count = 1 + int(np.ceil((length - size) / (STRIDE * size))) if length > size else 1
    return np.linspace(0, length - size, count).tolist()
