"""What the pointing head says about a photograph, its levels at a press, and what speaks for each of their boxes.

K clicks, C candidates of a click (a box of each level of each look), P places of a look, N boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from dynrefer.boxes import overlaps, shares_inside
from dynrefer.model import DynRefer
from dynrefer.model.encoder import EfficientNetEncoder
from dynrefer.model.pointing import EVIDENCE, STRIDES, centres
from dynrefer.photo import Photo

CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
INNER = np.stack(np.meshgrid([0.25, 0.5, 0.75], [0.25, 0.5, 0.75]), -1).reshape(-1, 2)  # places asked inside a box
THING_COUNTS = 0.25  # power of the probability of a thing where it is known that something is meant
GREY = 127  # of the canvas where there is no photograph
ALIKE = 0.6  # overlap from which boxes mean the same thing
LEAST = 1e-4  # probabilities below it are alike


@dataclass(frozen=True)
class Look:
    """What the head says about a photograph shown to it in one size."""

    boxes: np.ndarray
    """float32 [P, 4], pixels of the photograph."""
    things: np.ndarray
    """[P], probability of there being a thing."""
    quality: np.ndarray
    """[P], expected overlap of the box with what a press at the place means."""
    canvas: tuple[int, int]
    """(height, width) of what it was shown."""
    scale: float
    """Pixels of the photograph for one of the canvas."""

    @property
    def scores(self) -> np.ndarray:
        """[P], for all things of a photograph."""
        return self.things * self.quality

    @property
    def meant(self) -> np.ndarray:
        """[P], for what a press at the place means."""
        return np.asarray(self.things**THING_COUNTS * self.quality)

    def levels(self) -> Iterator[Level]:
        """Its levels, the finest first."""
        start = 0
        for stride in STRIDES:
            rows, columns = (side // stride for side in self.canvas)
            yield Level(self, start, rows, columns, self.scale * stride)
            start += rows * columns


@dataclass(frozen=True)
class Level:
    """The places of one stride of a look: the first one's number, rows, columns, and a side in pixels."""

    look: Look
    first: int
    rows: int
    columns: int
    side: float

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Numbers of the places that hold the points [.., 2] (pixels), or are next to them."""
        return self._numbers(np.floor(points[..., ::-1] / self.side))

    def between(self, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Box [K, 4] and score [K] at clicks [K, 2] from the four places around each.

        They speak by how near they are, as far as they mean the same as the nearest.
        """
        place = clicks[:, ::-1] / self.side - 0.5  # row and column, in places
        corners = np.floor(place)[:, None] + CORNERS
        near = (1 - np.abs(corners.clip(0, [self.rows - 1, self.columns - 1]) - place[:, None])).clip(0, 1).prod(-1)
        near, chosen = near + 1e-6, self._numbers(corners)
        boxes, scores = self.look.boxes[chosen], self.look.meant[chosen]
        nearest = boxes[np.arange(len(clicks)), near.argmax(1)][:, None]
        return averaged(nearest, boxes, near * scores)[:, 0], (near * scores).sum(1) / near.sum(1)

    def inner(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What nine places inside boxes [K, 4] say: overlaps of their boxes with it, and scores, both [K, 9]."""
        points = boxes[:, None, :2] + INNER * (boxes[:, 2:] - boxes[:, :2])[:, None]
        places = self.nearest(points)
        return overlaps(boxes[:, None], self.look.boxes[places])[:, 0], self.look.meant[places]

    def _numbers(self, places: np.ndarray) -> np.ndarray:
        """Of places as row and column [.., 2]."""
        return self.first + (places.clip(0, [self.rows - 1, self.columns - 1]) @ [self.columns, 1]).astype(int)


def take_look(model: DynRefer, photo: Photo, longest: int, *, mirrored: bool) -> Look:
    """What the head says about a photograph shown `longest` pixels long; of a mirrored one, turned back."""
    head, encoder = model.pointing, model.encoder
    assert head is not None and isinstance(encoder, EfficientNetEncoder)
    shown, scale = _canvas(photo, longest)
    canvas = shown.shape[:2]
    pixels = model.normalize(torch.from_numpy(shown[None]))
    if mirrored:
        pixels = pixels.flip(3)
    places = head([level.permute(0, 2, 3, 1) for level in encoder.levels(pixels)])
    if mirrored:
        places = places.mirrored(canvas)
    boxes = places.boxes[0].float().cpu().numpy() * scale
    boxes = boxes.clip(0, np.tile(np.array(photo.size, dtype=np.float32), 2))
    there = (centres(canvas).numpy()[:, :2] * scale < photo.size).all(1)
    things, quality = (logits[0].float().sigmoid().cpu().numpy() * there for logits in (places.things, places.quality))
    return Look(boxes, things, quality, canvas, scale)


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


def candidates(looks: Sequence[Look], clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each level of each look says at the clicks [K, 2] (pixels): boxes [K, C, 4], scores [K, C]."""
    found = [level.between(clicks) for look in looks for level in look.levels()]
    return np.stack([box for box, _ in found], 1), np.stack([score for _, score in found], 1)


def evidence(
    looks: Sequence[Look], clicks: np.ndarray, boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """What speaks for each of `candidates`, for `Refiner`: float32 [K, C, EVIDENCE].

    Its own scores; how far the others and the places inside it agree; where the click lies in it; its size and shape.

    Args:
        size: width and height of the photograph.
    """
    own = _own(looks, clicks, boxes)
    sides, least = (boxes[..., 2:] - boxes[..., :2]).clip(1), np.maximum(scores, LEAST)
    offset = np.abs(clicks[:, None] - (boxes[..., :2] + boxes[..., 2:]) / 2) / sides
    shape = np.log(sides[..., 0] / sides[..., 1])
    edges = np.stack([boxes[..., 0] < 2, boxes[..., 1] < 2, boxes[..., 2] > size[0] - 2, boxes[..., 3] > size[1] - 2])
    found = [
        *(np.log(least), np.log(least / least.max(1, keepdims=True))),
        *_others(boxes, scores, len(STRIDES)),
        *(np.log(sides.prod(-1) / (size[0] * size[1])), shape, np.abs(shape)),
        *(offset[..., 0], offset[..., 1], offset.max(-1), edges.sum(0)),
        *np.broadcast_to(np.tile(np.eye(len(STRIDES)), len(looks))[:, None], (len(STRIDES), *scores.shape)),
    ]
    together = np.concatenate([own, np.stack(found, -1)], -1).astype(np.float32)
    assert together.shape[-1] == EVIDENCE
    return together


def _own(looks: Sequence[Look], clicks: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Of each candidate: logits of quality and thing, agreement of the places inside, size in places: [K, C, 6]."""
    rows = []
    for number, level in enumerate(level for look in looks for level in look.levels()):
        place, box = level.nearest(clicks), boxes[:, number]
        agree, inner = level.inner(box)
        side = np.log(np.maximum((box[:, 2:] - box[:, :2]).max(1), 1) / level.side)
        known = (_logit(level.look.quality[place]), _logit(level.look.things[place]))
        rows.append(np.stack([*known, agree.mean(1), agree.min(1), np.log(inner.mean(1) + LEAST), side], -1))
    return np.stack(rows, 1)


def _others(boxes: np.ndarray, scores: np.ndarray, levels: int) -> list[np.ndarray]:
    """How the other candidates lie to each, all [K, C].

    The mean overlap with all by their scores, with the same level of other looks, the largest; the shares of it inside
    others and of others inside it, by their scores.
    """
    count = boxes.shape[1]
    alike, inside = overlaps(boxes, boxes), shares_inside(boxes, boxes)
    other, total = 1 - np.eye(count), np.maximum(scores.sum(1, keepdims=True) - scores, 1e-9)
    level = np.arange(count) % levels
    twins = other * (level == level[:, None])
    return [
        (alike * scores[:, None]).sum(-1) / np.maximum(scores.sum(1, keepdims=True), 1e-9),
        (alike * twins).sum(-1) / np.maximum(twins.sum(-1), 1),
        (alike * other).max(-1),
        (inside * other * scores[:, None]).sum(-1) / total,
        (inside.swapaxes(1, 2) * other * scores[:, None]).sum(-1) / total,
    ]


def _logit(chance: np.ndarray) -> np.ndarray:
    chance = chance.clip(LEAST, 1 - LEAST)
    return np.asarray(np.log(chance / (1 - chance)))


def agreed(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How much speaks for each of the candidates [K, C, 4] of a click: its score, and those of what overlaps it."""
    return np.asarray(scores * (overlaps(boxes, boxes) * scores[:, None]).sum(-1))


def averaged(best: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes `best` [K, N, 4], each as the mean of the candidates [K, C, 4] that mean the same, by their scores."""
    weights = (overlaps(best, boxes) >= ALIKE) * scores[:, None]
    total = weights.sum(-1, keepdims=True)
    return np.where(total > 0, weights @ boxes / np.maximum(total, 1e-9), best)
