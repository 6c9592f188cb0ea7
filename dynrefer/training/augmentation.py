"""Chance in training: which views are drawn, and how a region is jittered, mirrored and coloured anew."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from PIL import Image, ImageEnhance

from dynrefer.views import CANDIDATES

Box = tuple[float, float, float, float]
BLANK = 127  # what erased pixels become: 0 after normalisation
ERASED_SIDE = (0.15, 0.5)  # of an erased rectangle, as a share of the view's


def generator_for(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on nothing but the seed and the names, so that work can be resumed anywhere."""
    digest = sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def draw_coefficients(count: int, rng: np.random.Generator, whole_image: bool = True) -> list[float]:
    """`count` different candidates for t in (0, 1], in random order; without t = 1 unless `whole_image`."""
    candidates = CANDIDATES if whole_image else CANDIDATES[:-1]
    return [float(t) for t in rng.choice(candidates, count, replace=False)]


def jitter_box(box: Box, image_size: tuple[int, int], amount: float, rng: np.random.Generator) -> Box:
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


def mirror_image(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], flipped left to right."""
    return np.ascontiguousarray(image[:, ::-1])


def draw_colours(amount: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Factors of brightness, contrast and saturation, each within 1 +- `amount`."""
    return tuple(rng.uniform(1 - amount, 1 + amount, 3).tolist())


def vary_colours(image: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """uint8 [H, W, 3] with brightness, contrast and saturation scaled by `factors`."""
    picture = Image.fromarray(image)
    for enhancer, factor in zip(
        (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True
    ):
        picture = enhancer(picture).enhance(factor)
    return np.asarray(picture)


def draw_erasures(count: int, size: int, chance: float, rng: np.random.Generator) -> np.ndarray:
    """A rectangle [count, 4] in each of `count` square views, of no area where it is not erased (1 - `chance`)."""
    sides = size * rng.uniform(*ERASED_SIDE, (count, 2)) * (rng.random((count, 1)) < chance)
    starts = rng.random((count, 2)) * (size - sides)
    return np.concatenate([starts, starts + sides], 1).astype(int)
