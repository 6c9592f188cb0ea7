"""Things on a photograph: what the pointing head says of its places, and which boxes that makes.

K clicks, C candidates of a click, P places of a photograph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch

from dynrefer.boxes import Box, apart, overlaps
from dynrefer.errors import InputError, shown
from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.model.pointing import STRIDES, centres
from dynrefer.photo import Photo
from dynrefer.question import Question

REACH = 1  # places around a click, in each direction, that have a say
ALIKE = 0.6  # overlap from which boxes mean the same thing
APART = 0.5  # overlap up to which two proposals are different things
MOST = 100  # proposals
GREY = 127  # of the canvas where there is no photograph
CANNOT_POINT = "The model {!r} cannot point: it has no pointing head; draw a box, or use dynrefer-mini."


@dataclass(frozen=True)
class Proposal:
    """Something on a photograph that may be asked about."""

    box: Box
    """x1, y1, x2, y2 in pixels of the upright photograph."""
    score: float
    """How surely this is a thing and its box, 0 to 1; with words, the best word's score."""
    words: Mapping[str, float] = field(default_factory=dict)
    """Score of each word that was asked for, 0 to 1."""
    mask: np.ndarray | None = field(default=None, compare=False)
    """bool [H, W], where a segmenter made one."""


@dataclass(frozen=True)
class BoxGrid:
    """For each place of a photograph, the box that a press at its centre takes."""

    boxes: np.ndarray
    """float32 [rows, columns, 4], pixels of the photograph."""
    scores: np.ndarray
    """float32 [rows, columns], 0 to 1."""


class Surroundings:
    """What the head says about one photograph.

    Args:
        boxes: [P, 4] in pixels of the photograph. scores: [P]. canvas: (height, width) of the head's canvas.
        scale: pixels of the photograph for one of the canvas.
    """

    def __init__(
        self, boxes: np.ndarray, scores: np.ndarray, canvas: tuple[int, int], scale: float, size: tuple[int, int]
    ) -> None:
        self.boxes, self.scores, self.canvas, self.scale, self.size = boxes, scores, canvas, scale, size

    def at(self, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The box and score of the thing at each of the clicks [K, 2] (pixels): float32 [K, 4] and [K]."""
        boxes, scores = self._candidates(clicks)
        best = _votes(boxes, scores).argmax(1)
        rows = np.arange(len(clicks))
        box = _averaged(boxes[rows, best][:, None], boxes, scores)[:, 0]
        return box.astype(np.float32), scores[rows, best].astype(np.float32)

    def around(self, points: np.ndarray, inside: np.ndarray, limit: int) -> list[Proposal]:
        """Things that hold the points [K, 2] marked `inside` [K] (bool) and none of the others, best first."""
        boxes, scores = self._candidates(points[inside])
        flat, weights = boxes.reshape(-1, 4), _votes(boxes, scores).reshape(-1)
        holds = _holds(flat, points)  # [N, K]
        right = np.where(inside, holds, ~holds).mean(1)
        found = self._best(flat, weights / max(float(weights.max()), 1e-6) * right**4, scores.reshape(-1), limit)
        together = _together(points[inside], [proposal.box for proposal in found if proposal.score])
        if found and len(points[inside]) > 1 and not _holds(np.array([found[0].box]), points[inside]).all():
            found.insert(0, Proposal(together, found[0].score))
        return found[:limit]

    def everything(self, limit: int) -> list[Proposal]:
        """The surest things of the whole photograph, best first."""
        return self._best(self.boxes, self.scores, self.scores, limit)

    @cached_property
    def grid(self) -> BoxGrid:
        """The box of a press at each place of the finest level that lies on the photograph."""
        width, height = (math.ceil(side / self.scale / STRIDES[0]) for side in self.size)
        where = centres(self.canvas).numpy()[: self.canvas[0] * self.canvas[1] // STRIDES[0] ** 2, :2]
        where = where.reshape(self.canvas[0] // STRIDES[0], -1, 2)[:height, :width]
        clicks = np.minimum(where.reshape(-1, 2) * self.scale, np.array(self.size) - 1)
        boxes, scores = self.at(clicks)
        return BoxGrid(boxes.reshape(height, width, 4), scores.reshape(height, width))

    def _candidates(self, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [K, C, 4] of the places near each click, and scores [K, C], 0 where the click is not inside."""
        numbers, start = [], 0
        steps = np.array([(y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)])
        for stride in STRIDES:
            rows, columns = (side // stride for side in self.canvas)
            place = np.floor(clicks / (self.scale * stride)).astype(int)[:, None, ::-1] + steps
            place = place.clip(0, [rows - 1, columns - 1])
            numbers.append(start + place[..., 0] * columns + place[..., 1])
            start += rows * columns
        chosen = np.concatenate(numbers, 1)
        boxes = self.boxes[chosen]
        inside = ((clicks[:, None] >= boxes[..., :2]) & (clicks[:, None] <= boxes[..., 2:])).all(-1)
        return boxes, self.scores[chosen] * inside

    def _best(self, boxes: np.ndarray, order: np.ndarray, scores: np.ndarray, limit: int) -> list[Proposal]:
        large = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1) & (order > 0)
        boxes, order, scores = boxes[large], order[large], scores[large]
        kept = apart(boxes, order, APART)[:limit]
        found = _averaged(boxes[None, kept], boxes[None], scores[None])[0]
        return [Proposal(tuple(box), score) for box, score in zip(found.tolist(), scores[kept].tolist(), strict=True)]


def check_limit(limit: object) -> int:
    """How many proposals are wanted. Raises InputError unless it is a whole number from 1 to MOST."""
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or not 1 <= limit <= MOST:
        raise InputError(f'the number of proposals must be a whole number from 1 to {MOST}, not "{shown(limit)}"')
    return int(limit)


def check_words(words: object) -> tuple[str, ...] | None:
    """The names to look for, None where none are asked for. Raises InputError where they are empty or no words."""
    if words is None:
        return None
    names = Question.checked(controls=words).controls
    if not names:
        raise InputError("there is no word to look for; name at least one thing")
    return names


def look_around(model: DynRefer, photo: Photo) -> Surroundings:
    """One pass of encoder and pointing head over a whole photograph.

    Raises InputError where the model has no pointing head.
    """
    head, encoder = model.pointing, model.encoder
    if head is None:
        raise InputError(CANNOT_POINT.format(model.config.name))
    assert isinstance(encoder, EfficientNetEncoder) and model.config.pointing is not None
    shown, scale = _canvas(photo, model.config.pointing.longest)
    pixels = model.normalize(torch.from_numpy(shown[None]))
    places = head([level.permute(0, 2, 3, 1) for level in encoder.levels(pixels)])
    boxes = places.boxes[0].float().cpu().numpy() * scale
    boxes = boxes.clip(0, np.tile(np.array(photo.size, dtype=np.float32), 2))
    where = centres(shown.shape[:2]).numpy()  # type: ignore[arg-type]
    there = (where[:, :2] * scale < photo.size).all(1)
    scores = places.scores[0].cpu().numpy() * there
    return Surroundings(boxes, scores, shown.shape[:2], scale, photo.size)  # type: ignore[arg-type]


def _canvas(photo: Photo, longest: int) -> tuple[np.ndarray, float]:
    """The photograph on a canvas uint8 [H, W, 3] of sides divisible by 32, and its pixels for one of the canvas."""
    scale = max(photo.size) / longest
    size = tuple(max(1, round(side / scale)) for side in photo.size)
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    source = next((level for level in reversed(photo.prepared.halves) if max(level.shape) >= 2 * longest), photo.pixels)
    rows, columns = (math.ceil(side / STRIDES[-1]) * STRIDES[-1] for side in (size[1], size[0]))
    canvas = np.full((rows, columns, 3), GREY, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(source, size, interpolation=how)
    return canvas, scale


def _votes(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each candidate [K, C] the scores of all that mean the same, times its own."""
    alike = overlaps(boxes, boxes) >= ALIKE
    return scores * (alike * scores[:, None, :]).sum(-1)


def _averaged(best: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes `best` [K, N, 4], each as the mean of the candidates [K, C, 4] that mean the same, by their scores."""
    weights = (overlaps(best, boxes) >= ALIKE) * scores[:, None]
    total = weights.sum(-1, keepdims=True)
    return np.where(total > 0, weights @ boxes / np.maximum(total, 1e-9), best)


def _holds(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether boxes [N, 4] hold points [K, 2]: bool [N, K]."""
    return ((points >= boxes[:, None, :2]) & (points <= boxes[:, None, 2:])).all(-1)


def _together(points: np.ndarray, boxes: Sequence[Box]) -> Box:
    """The bounds of the points and of the first box that holds each of them."""
    first = [next((box for box in boxes if _holds(np.array([box]), point[None]).all()), None) for point in points]
    corners = np.array([box if box is not None else (*point, *point) for box, point in zip(first, points, strict=True)])
    return (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
