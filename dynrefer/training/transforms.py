"""Chance in training and what it does to a photograph: which views are drawn, jittered, mirrored and coloured.

Views are cut here alone, for batches from photographs and for the feature cache. V views, s their side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from PIL import Image, ImageEnhance

from dynrefer.boxes import Box, check_box, geometry
from dynrefer.errors import InputError
from dynrefer.views import CANDIDATES, boxes_in_views, crop_views

Rng = np.random.Generator


@dataclass(frozen=True)
class ViewPlan:
    """How a sample's views are cut.

    Attributes:
        box: jittered, in pixels of the photograph after it was mirrored, as are `views` [V, 4].
        size: (width, height) of the photograph.
        colours: factors of brightness, contrast and saturation.
    """

    box: Box
    views: np.ndarray
    size: tuple[int, int]
    mirror: bool = False
    colours: tuple[float, ...] | None = None

    def cut(self, pixels: np.ndarray, side: int) -> dict[str, np.ndarray]:
        """Views of a photograph uint8 [H, W, 3]: pixels uint8 [V, s, s, 3], boxes [V, 4] and geometry [6], float32."""
        crops = crop_views(changed(pixels, self.colours, self.mirror), self.views, side)
        inside = boxes_in_views(self.box, self.views, self.size, side)
        return {"pixels": crops, "boxes": inside, "geometry": geometry(self.box, self.size)}


def region_box(box: Box, stated: tuple[int, int] | None, size: tuple[int, int]) -> Box:
    """The box, checked against the photograph's (width, height) and that of the photograph it was `stated` for.

    Raises InputError where they are different photographs, or the box has no area in it.
    """
    if stated is not None and tuple(stated) != size:
        raise InputError(f"it is {size[0]} x {size[1]} pixels, its annotations say {stated[0]} x {stated[1]}")
    return check_box(box, size)


def generator_for(seed: int, *names: str | int) -> Rng:
    """A generator that depends on nothing but the seed and the names, so that work can be resumed anywhere."""
    digest = sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def draw_coefficients(count: int, rng: Rng, whole_image: bool = True) -> list[float]:
    """`count` different candidates for t in (0, 1], in random order; without t = 1 unless `whole_image`."""
    candidates = CANDIDATES if whole_image else CANDIDATES[:-1]
    return [float(t) for t in rng.choice(candidates, count, replace=False)]


def repeat_first(views: list, share: float, rng: Rng) -> list:
    """With chance `share`, all views from a random place on become the first, as where fewer are asked for."""
    if len(views) < 2 or rng.random() >= share:
        return views
    kept = int(rng.integers(1, len(views)))
    return views[:kept] + views[:1] * (len(views) - kept)


def jitter_box(box: Box, image_size: tuple[int, int], amount: float, rng: Rng) -> Box:
    """Move every edge by up to `amount` of the box's size; a box of the whole image, or one left too thin, stays."""
    width, height = box[2] - box[0], box[3] - box[1]
    if (width, height) == tuple(image_size):
        return box
    x1, y1, x2, y2 = np.asarray(box) + rng.uniform(-amount, amount, 4) * (width, height, width, height)
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(image_size[0])), min(y2, float(image_size[1]))
    return (x1, y1, x2, y2) if x2 - x1 >= 2 and y2 - y1 >= 2 else box


def mirror_box(box: Box, image_size: tuple[int, int]) -> Box:
    """The box after the image was flipped left to right."""
    return image_size[0] - box[2], box[1], image_size[0] - box[0], box[3]


def move_views(views: np.ndarray, box: Box, image_size: tuple[int, int], rng: Rng) -> np.ndarray:
    """Views [V, 4] of the same sizes at random places that still hold the region (the paper's "random" crops)."""
    size = views[:, 2:] - views[:, :2]
    low = np.maximum(np.asarray(box[2:]) - size, 0)
    high = np.maximum(np.minimum(np.asarray(box[:2]), np.asarray(image_size) - size), low)
    starts = rng.uniform(low, high)
    return np.concatenate([starts, starts + size], 1).astype(np.float32)


def draw_colours(amount: float, rng: Rng) -> tuple[float, ...]:
    """Factors of brightness, contrast and saturation, each within 1 +- `amount`."""
    return tuple(rng.uniform(1 - amount, 1 + amount, 3).tolist())


def changed(pixels: np.ndarray, colours: Sequence[float] | None, mirror: bool) -> np.ndarray:
    """A photograph uint8 [H, W, 3] with its brightness, contrast and saturation scaled, and flipped left to right."""
    if colours is not None:
        picture = Image.fromarray(pixels)
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for enhancer, factor in zip(enhancers, colours, strict=True):
            picture = enhancer(picture).enhance(factor)
        pixels = np.asarray(picture)
    return np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels
