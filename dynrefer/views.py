"""Nested views of a region: where they lie, how they are cut out, and where the region lies inside each.

view(t) = b + t * (B - b) between the region's box b and the whole image's box B (Zhao et al., CVPR 2025, section 3.1).
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from dynrefer.boxes import finite_number
from dynrefer.errors import InputError, shown

CANDIDATES = tuple(tenth / 10 for tenth in range(1, 11))
VIEW_SIZE = 224


def validate_coefficients(coefficients: object) -> list[float]:
    """Return interpolation coefficients as floats; InputError where one is not a finite number in [0, 1]."""
    values = coefficients.tolist() if hasattr(coefficients, "tolist") else coefficients
    if not isinstance(values, (list, tuple)):
        raise InputError(f'coefficients must be a list of numbers from 0 to 1, not "{shown(values)}"')
    numbers = [finite_number(value, "every coefficient") for value in values]
    for number in numbers:
        if not 0 <= number <= 1:
            raise InputError(f"coefficients go from 0 (the region) to 1 (the whole image), and {number:g} is outside")
    return numbers


def view_boxes(
    box: Sequence[float] | np.ndarray, image_size: tuple[int, int], coefficients: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Boxes [V, 4] (float32, pixels) of the views of `box` at each coefficient in [0, 1]; 0 is the box itself.

    Computed in float32 throughout, as the authors do: a coordinate that differs by one rounding may fall into
    another pixel when it is truncated, and change a hash.
    """
    region = np.asarray(box, dtype=np.float32)
    image = np.array([0, 0, *image_size], dtype=np.float32)
    steps = np.array(validate_coefficients(coefficients), dtype=np.float32)
    return region + (image - region) * steps[:, None]


def pixel_boxes(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Boxes [V, 4] clipped to the image and truncated to whole pixels (int64), of at least one pixel."""
    size = np.array(image_size, dtype=np.float32)
    boxes = np.asarray(boxes, dtype=np.float32)
    starts = np.clip(boxes[:, :2], 0, size - 1).astype(np.int64)
    ends = np.clip(boxes[:, 2:], 0, size).astype(np.int64)
    return np.concatenate([starts, np.maximum(ends, starts + 1)], axis=1)


def crop_views(image: np.ndarray, boxes: np.ndarray, size: int = VIEW_SIZE) -> np.ndarray:
    """Cut the pixel boxes of `boxes` [V, 4] out of `image` (uint8 [H, W, 3]) and resize each: uint8 [V, size, size, 3].

    Bicubic with antialiasing; the aspect ratio is not kept. Cut before resizing, so nothing outside a view bleeds in.
    """
    height, width = image.shape[:2]
    crops = [Image.fromarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in pixel_boxes(boxes, (width, height))]
    return np.stack([np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC)) for crop in crops])


def boxes_in_views(
    box: Sequence[float] | np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], size: int = VIEW_SIZE
) -> np.ndarray:
    """Where the region `box` lies in each of its resized views `boxes` [V, 4]: float32 [V, 4] in pixels of the view.

    Region and views are both truncated to whole pixels first, because that is how they were cut.
    """
    region = pixel_boxes(np.asarray(box, dtype=np.float32)[None], image_size)
    views = pixel_boxes(boxes, image_size)
    scale = size / (views[:, 2:] - views[:, :2])
    return ((region - np.tile(views[:, :2], 2)) * np.tile(scale, 2)).astype(np.float32)
