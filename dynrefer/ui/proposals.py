"""Finds regions worth describing on a whole photograph, with the model's own class scores and no other weights."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torchvision.ops import nms

from dynrefer.regions import Box

from .asker import Asker
from .photo import Photo
from .settings import Settings

SCALES = (0.35, 0.6)
SHAPES = (0.6, 1.0, 1.7)
STRIDE = 0.6
BATCH = 16
OVERLAP = 0.3
MOST = 12
LEAST_SCORE = 0.5


def windows(image_size: tuple[int, int]) -> list[Box]:
    """Overlapping boxes of several sizes and shapes (width to height) that cover a photograph of (width, height)."""
    width, height = image_size
    boxes: list[Box] = []
    for scale in SCALES:
        for shape in SHAPES:
            side = scale * (width * height) ** 0.5
            wide = min(max(side * shape**0.5, 1), width)
            high = min(max(side / shape**0.5, 1), height)
            corners = product(_starts(width, wide), _starts(height, high))
            boxes += [(left, top, left + wide, top + high) for left, top in corners]
    return boxes


def describe_everything(asker: Asker, photo: Photo, settings: Settings) -> Iterator[tuple[int, int, list[Box]]]:
    """Look at every window with a single view; yields (windows done, all windows, best boxes so far, best first).

    Of windows that overlap, the one whose class is the most certain is kept.
    """
    quick = replace(settings, mode="manual", coefficients=(0.0,), num_views=1, top_classes=1, tag_threshold=1.0)
    places = windows(photo.size)
    scores: list[float] = []
    yield 0, len(places), []
    for start in range(0, len(places), BATCH):
        results = asker.regions(photo, places[start : start + BATCH], quick, captions=False)
        scores += [result.classes[0].score for result in results]
        yield len(scores), len(places), best(places[: len(scores)], scores)


def best(boxes: list[Box], scores: list[float]) -> list[Box]:
    """At most MOST boxes with a score of LEAST_SCORE or more that hardly overlap, best first; at least one."""
    kept = nms(torch.tensor(boxes), torch.tensor(scores), OVERLAP).tolist()
    sure = [place for place in kept if scores[place] >= LEAST_SCORE][:MOST]
    return [boxes[place] for place in sure or kept[:1]]


def _starts(length: float, size: float) -> list[float]:
    """Where windows of `size` begin so that they cover `length` evenly."""
    count = 1 + int(np.ceil((length - size) / (STRIDE * size))) if length > size else 1
    return np.linspace(0, length - size, count).tolist()
