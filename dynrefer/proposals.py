"""Things on a photograph: what the pointing head says of its places, and which boxes that makes.

K clicks, C candidates of a click, N boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dynrefer.boxes import Box, apart, overlaps, share_inside
from dynrefer.candidates import THING_COUNTS, Look, agreed, averaged, candidates, evidence, take_look
from dynrefer.errors import InputError, shown
from dynrefer.model import DynRefer
from dynrefer.model.pointing import STRIDES, Refiner, centres
from dynrefer.photo import Photo
from dynrefer.pointing import PROMPT_SCHEMAS, encode_mask
from dynrefer.question import MAX_CONTROL_LENGTH, MAX_CONTROLS, words_of
from dynrefer.results import RegionResult

OVERLAP_COUNTS = 2  # power of the overlap that the refiner expects
POINTS_COUNT = 4  # power of the share of points that a box is right about
APART = 0.5  # overlap up to which two proposals are different things
PART = 0.6  # share of a box inside another of the same name from which it is a part of that, or that of it
LARGE_PART = 0.5  # the same where nobody asked for all of that name
CLEAR = 0.3  # score from which a proposal is a thing, whatever it may be called
FOUND = 0.5  # score from which something is said to be what a word names
MOST = 100  # proposals
EVERYTHING = 12  # things of a photograph that are described where a person asks for all of them
NAME_ALONE: dict[str, Any] = {"captions": False, "coefficients": (0.0,), "top_classes": 1, "tag_threshold": 1.0}
PROPOSE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "point": PROMPT_SCHEMAS["point"],
        "points": PROMPT_SCHEMAS["points"],
        "box": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "or x1, y1, x2, y2 around the thing",
        },
        "words": {"type": "array", "items": {"type": "string"}, "description": "names to look for"},
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 20},
    },
}
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

    def to_dict(self) -> dict[str, Any]:
        """Box, score and words as plain numbers, and the mask in COCO's run-length encoding where there is one."""
        words = {word: round(score, 4) for word, score in self.words.items()}
        mask = None if self.mask is None else encode_mask(self.mask)
        box = [round(side, 3) for side in self.box]
        return {"box": box, "score": round(self.score, 4), "words": words, "mask": mask}


@dataclass(frozen=True)
class BoxGrid:
    """For each place of a photograph, the box that a press at its centre takes."""

    boxes: np.ndarray
    """float32 [rows, columns, 4], pixels of the photograph."""
    scores: np.ndarray
    """float32 [rows, columns], 0 to 1."""


class Surroundings:
    """What the head says about one photograph of `size` (width, height), from all its looks together.

    A press means the candidate that the refiner prefers, or without one that most others agree with.
    """

    def __init__(self, looks: Sequence[Look], size: tuple[int, int], refiner: Refiner | None = None) -> None:
        self.looks, self.size, self.refiner = looks, size, refiner

    def at(self, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The box and score of the thing at each of the clicks [K, 2] (pixels): float32 [K, 4] and [K]."""
        boxes, speaks, scores, weights = self._candidates(clicks)
        best = speaks.argmax(1)
        rows = np.arange(len(clicks))
        box = averaged(boxes[rows, best][:, None], boxes, weights)[:, 0]
        return box.astype(np.float32), scores[rows, best].astype(np.float32)

    def around(self, points: np.ndarray, inside: np.ndarray, limit: int) -> list[Proposal]:
        """Things that hold the points [K, 2] marked `inside` [K] (bool) and none of the others, best first."""
        parts = (part.reshape(-1, *part.shape[2:]) for part in self._candidates(points[inside]))
        boxes, speaks, scores, weights = parts
        holds = _holds(boxes, points)  # [N, K]
        right = np.where(inside, holds, ~holds).mean(1)
        found = _best(boxes, speaks * right**POINTS_COUNT, scores, weights, limit)
        wanted = points[inside]
        if found and len(wanted) > 1 and not _holds(np.array([found[0].box]), wanted).all():
            found.insert(0, Proposal(_together(wanted, [proposal.box for proposal in found]), found[0].score))
        return found[:limit]

    def like(self, box: Box, limit: int) -> list[Proposal]:
        """Things that a box may be drawn around, the one that fits it best first."""
        boxes, scores = self._places
        fit = overlaps(np.array([box], dtype=np.float32), boxes)[0]
        return _best(boxes, scores * fit**POINTS_COUNT, scores, scores, limit)

    def everything(self, limit: int) -> list[Proposal]:
        """The surest things of the whole photograph, best first."""
        boxes, scores = self._places
        return _best(boxes, scores, scores, scores, limit)

    @property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes [N, 4] and scores [N] of all looks."""
        boxes, scores = zip(*((look.boxes, look.scores) for look in self.looks), strict=True)
        return np.concatenate(boxes), np.concatenate(scores)

    @cached_property
    def grid(self) -> BoxGrid:
        """The box of a press at each place of the finest level that lies on the photograph."""
        look = min(self.looks, key=lambda look: look.scale)
        width, height = (math.ceil(round(side / look.scale) / STRIDES[0]) for side in self.size)
        where = centres(look.canvas).numpy()[: look.canvas[0] * look.canvas[1] // STRIDES[0] ** 2, :2]
        where = where.reshape(look.canvas[0] // STRIDES[0], -1, 2)[:height, :width]
        clicks = np.minimum(where.reshape(-1, 2) * look.scale, np.array(self.size) - 1)
        boxes, scores = self.at(clicks)
        return BoxGrid(boxes.reshape(height, width, 4), scores.reshape(height, width))

    @torch.inference_mode()
    def _candidates(self, clicks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Boxes [K, C, 4] that clicks [K, 2] may mean; what speaks for each, its score, its weight in means: [K, C]."""
        boxes, scores = candidates(self.looks, clicks)
        if self.refiner is None:
            return boxes, agreed(boxes, scores), scores, scores
        speaks = evidence(self.looks, clicks, boxes, scores, self.size)
        of = next(self.refiner.parameters())
        quality, boxes = self.refiner(*(torch.from_numpy(x.astype(np.float32)).to(of) for x in (speaks, boxes)))
        boxes = boxes.float().cpu().numpy().clip(0, (*self.size, *self.size))
        preferred = quality.float().sigmoid().cpu().numpy() ** OVERLAP_COUNTS
        return boxes, preferred, scores, preferred


def _best(boxes: np.ndarray, order: np.ndarray, scores: np.ndarray, weights: np.ndarray, limit: int) -> list[Proposal]:
    """The first in `order` [N] that are apart, each averaged with what means the same by its `weights` [N]."""
    large = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1) & (order > 0)
    boxes, order, scores, weights = boxes[large], order[large], scores[large], weights[large]
    kept = apart(boxes, order, APART)[:limit]
    found = averaged(boxes[None, kept], boxes[None], weights[None])[0]
    return [Proposal(tuple(box), score) for box, score in zip(found.tolist(), scores[kept].tolist(), strict=True)]


def check_limit(limit: object) -> int:
    """How many proposals are wanted. Raises InputError unless it is a whole number from 1 to MOST."""
    if isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or not 1 <= limit <= MOST:
        raise InputError(f'the number of proposals must be a whole number from 1 to {MOST}, not "{shown(limit)}"')
    return int(limit)


def check_words(words: object) -> tuple[str, ...] | None:
    """The names to look for, None where none are asked for. Raises InputError where they are empty or no words."""
    names = words_of(words, "the names to look for", MAX_CONTROLS, MAX_CONTROL_LENGTH)
    if names == ():
        raise InputError("there is no word to look for; name at least one thing")
    return names


def named(found: Sequence[Proposal], words: Sequence[Mapping[str, float]], part: float = PART) -> list[Proposal]:
    """Proposals with the scores of words, one mapping each, the best-named first; parts of a thing are left out.

    A cup's handle looks like a cup, too: of boxes with the same best word that lie in one another, the one stays that
    is surest both to be a thing and to be called so.
    """
    best = [max(scores, key=scores.__getitem__) for scores in words]
    order = sorted(range(len(found)), key=lambda k: -words[k][best[k]] * found[k].score ** THING_COUNTS)
    kept: list[int] = []
    for k in order:
        others = [found[other].box for other in kept if best[other] == best[k]]
        if all(max(share_inside(found[k].box, box), share_inside(box, found[k].box)) < part for box in others):
            kept.append(k)
    kept.sort(key=lambda k: -words[k][best[k]])
    return [replace(found[k], words=words[k], score=words[k][best[k]]) for k in kept]


def things(
    photo: Photo, limit: int, propose: Callable[..., list[Proposal]], refer: Callable[..., list[RegionResult]]
) -> list[Proposal]:
    """All there is on a photograph, best first, as a person would count it: at most `limit`, see `distinct`.

    Args:
        propose, refer: those of a Predictor.

    Raises InputError where the model has no pointing head.
    """
    found = propose(photo, limit=limit)
    return distinct(found, refer(photo, boxes=[one.box for one in found], **NAME_ALONE)) if found else []


def distinct(found: Sequence[Proposal], results: Sequence[RegionResult]) -> list[Proposal]:
    """Proposals as a person would count the things, in their order: parts of a thing of the same name are left out.

    So is what neither looks much like a thing nor is called, in its result, by a name that the model is sure of.
    """
    clear = [(one, said) for one, said in zip(found, results, strict=True) if said.sure or one.score >= CLEAR]
    names = [{said.classes[0].name: said.classes[0].score} for _, said in clear]
    kept = {one.box for one in named([one for one, _ in clear], names, LARGE_PART)}
    return [one for one, _ in clear if one.box in kept] or list(found[:1])


def look_around(model: DynRefer, photo: Photo) -> Surroundings:
    """What encoder and pointing head say about a whole photograph, in each of the head's sizes.

    Raises InputError where the model has no pointing head.
    """
    if model.pointing is None or model.config.pointing is None:
        raise InputError(CANNOT_POINT.format(model.config.name))
    longest = model.config.pointing.longest
    looks = [take_look(model, photo, side, mirrored=number % 2 == 1) for number, side in enumerate(longest)]
    return Surroundings(looks, photo.size, model.pointing.refiner)


def _holds(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether boxes [N, 4] hold points [K, 2]: bool [N, K]."""
    return np.asarray(((points >= boxes[:, None, :2]) & (points <= boxes[:, None, 2:])).all(-1))


def _together(points: np.ndarray, boxes: Sequence[Box]) -> Box:
    """The bounds of the points and of the first box that holds each of them."""
    first = [next((box for box in boxes if _holds(np.array([box]), point[None]).all()), None) for point in points]
    corners = np.array([box if box is not None else (*point, *point) for box, point in zip(first, points, strict=True)])
    return (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
