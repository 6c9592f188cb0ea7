"""Which looks to take at a region: perceptual hashes of the candidate views, their information gain, and the modes.

The gain of candidate t is hamming(hash of the region, hash of the view at t) / t: how much new there is to see, against
how much coarser it is seen (Zhao et al., CVPR 2025, section 3.3).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
import torch
from cachetools import LRUCache, cached
from PIL import Image

from dynrefer.boxes import Box, check_boxes, geometry, whole
from dynrefer.errors import InputError, shown
from dynrefer.photo import ImageSource, Photo
from dynrefer.question import Question
from dynrefer.views import CANDIDATES, boxes_in_views, pixel_boxes, view_boxes

PRIOR_CENTRES = {"prior:caption": 0.45, "prior:attributes": 0.2}
HASH_INPUT = 224
KEPT_HASHES = 8192
HASH_SIDE = 8
SMALLEST_STEP = 1e-6  # keeps the gain finite however close to 0 a coefficient set by hand is


def _cosines(rows: int, length: int) -> np.ndarray:
    """The first rows of the orthonormal DCT-II of so many values: float32 [rows, length]."""
    angles = np.pi / length * np.outer(np.arange(rows), np.arange(length) + 0.5)
    scales = np.where(np.arange(rows) == 0, 1, np.sqrt(2)) / np.sqrt(length)
    return (np.cos(angles) * scales[:, None]).astype(np.float32)


LOW_COSINES = _cosines(HASH_SIDE, HASH_INPUT)


@dataclass(frozen=True, slots=True)
class ViewChoice:
    """One view of a region and whether it was chosen."""

    t: float
    """Interpolation coefficient in [0, 1]: 0 is the region, 1 the whole image."""
    box: Box
    """Where the view lies, in pixels of the image, before truncation to whole pixels."""
    gain: float | None
    """Information gain over the region alone, bits per unit of t; None for t = 0."""
    rank: int | None
    """Place in the order of choice, which is the order the model takes; 0 for the region, None where not chosen."""


@dataclass(frozen=True)
class Region:
    """One box of one photograph with the views it is looked at through."""

    photo: Photo
    box: Box
    views: tuple[ViewChoice, ...]

    @property
    def geometry(self) -> np.ndarray:
        """x1, y1, x2, y2, width, height of the box as shares of the photograph: float32 [6]."""
        return geometry(self.box, self.photo.size)

    def chosen(self, num_views: int) -> np.ndarray:
        """Boxes [num_views, 4] in rank order; where fewer were chosen the region's own view fills up.

        The view at t = 1 is the image to the last pixel, so that all regions share it: interpolated in float32 it may
        end a rounding below the edge.
        """
        boxes = [whole(self.photo.size) if view.t == 1 else view.box for view in taken(self.views)]
        return np.array(boxes + boxes[:1] * (num_views - len(boxes)), dtype=np.float32)

    def inside(self, num_views: int, view_size: int) -> np.ndarray:
        """Where the region lies in each of the chosen views: float32 [num_views, 4] in pixels of the resized view."""
        return boxes_in_views(self.box, self.chosen(num_views), self.photo.size, view_size)


def taken(views: Sequence[ViewChoice]) -> list[ViewChoice]:
    """The views that were chosen, in the order of choice."""
    return sorted((view for view in views if view.rank is not None), key=lambda view: view.rank or 0)


def choose_regions(
    photo: Photo, boxes: object, question: Question, num_views: int, mode: str, generator: torch.Generator | None = None
) -> list[Region]:
    """Check the boxes and choose the views of each; `num_views` and `mode` where the question asks for none.

    Raises InputError that names the box at fault.
    """
    if generator is not None and not isinstance(generator, torch.Generator):
        raise InputError(f'the generator must be a torch.Generator, not "{shown(generator)}"')
    mode = question.mode_else(mode)
    steps = [0.0, *(question.coefficients[1:] if question.coefficients else CANDIDATES)]
    regions = []
    for box in check_boxes(boxes, photo.size):
        views = view_boxes(box, photo.size, steps)
        gains = information_gains(photo, views, steps, question.hash_method)
        order = _order(gains, question.num_views or num_views, mode, generator)
        ranks = {index: rank for rank, index in enumerate(order)}
        choices = (
            ViewChoice(t, tuple(view.tolist()), float(gain) if t else None, ranks.get(index))
            for index, (t, view, gain) in enumerate(zip(steps, views, gains, strict=True))
        )
        regions.append(Region(photo, box, tuple(choices)))
    return regions


def select_views(
    image: ImageSource,
    box: Sequence[float] | np.ndarray,
    num_views: int,
    mode: str = "dynamic",
    *,
    coefficients: Sequence[float] | np.ndarray | None = None,
    hash_method: str = "dct_mean",
    generator: torch.Generator | None = None,
) -> list[ViewChoice]:
    """Choose `num_views` views of the region `box`, the region itself first.

    Returns one entry a candidate, t = 0 first, then t ascending, each with its gain. In mode "manual" the entries are
    the given `coefficients` in their order (at most `num_views`, the first taken as 0), and all are chosen.
    `generator` draws the views of mode "random". Raises InputError on bad input.
    """
    question = Question.checked(num_views=num_views, mode=mode, coefficients=coefficients, hash_method=hash_method)
    (region,) = choose_regions(Photo.open(image), [box], question, num_views, mode, generator)
    return list(region.views)


def information_gains(
    photo: Photo, boxes: np.ndarray, steps: Sequence[float], hash_method: str = "dct_mean"
) -> np.ndarray:
    """Gains [V] (float64) of the views `boxes` [V, 4] over the first, the region; 0 for itself."""
    views = pixel_boxes(boxes, photo.size).tolist()
    hashes = [_hash_of(photo, tuple(view), hash_method) for view in views]
    distances = np.array([view - hashes[0] for view in hashes])
    return distances / np.maximum(steps, SMALLEST_STEP)


@cached(LRUCache(KEPT_HASHES), key=lambda photo, view, method: (photo.digest, view, method), lock=threading.Lock())
def _hash_of(photo: Photo, view: tuple[int, int, int, int], method: str) -> imagehash.ImageHash:
    """Hash of the whole pixels x1, y1, x2, y2; those asked for last are kept by the photograph's content."""
    x1, y1, x2, y2 = view
    return view_hash(photo.gray[y1:y2, x1:x2], method)


def view_hash(grey: np.ndarray, method: str = "dct_mean") -> imagehash.ImageHash:
    """64-bit perceptual hash of a grey view, float32 [h, w]; two hashes' difference is their Hamming distance.

    "dct_mean" is the paper's: 224 x 224, 2-D DCT, low 8 x 8 block, bit = above the block's mean.
    "imagehash" is `imagehash.phash`: 32 x 32 and the median.
    """
    if method == "imagehash":
        return imagehash.phash(Image.fromarray(grey.astype(np.uint8)))
    block = LOW_COSINES @ cv2.resize(grey, (HASH_INPUT, HASH_INPUT)) @ LOW_COSINES.T
    return imagehash.ImageHash(block > block.mean())


def _order(gains: np.ndarray, num_views: int, mode: str, generator: torch.Generator | None) -> list[int]:
    """Indices of the chosen views in the order chosen, the region's 0 first."""
    if mode == "manual":
        return list(range(len(gains)))
    if mode == "random":
        ranking = torch.randperm(len(CANDIDATES), generator=generator).numpy()
    elif mode == "dynamic":
        ranking = np.argsort(-gains[1:], kind="stable")
    else:
        ranking = np.argsort(np.abs(np.array(CANDIDATES) - PRIOR_CENTRES[mode]).round(6), kind="stable")
    return [0, *(int(index) + 1 for index in ranking[: num_views - 1])]
